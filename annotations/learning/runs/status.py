"""The files that tell the page of training: each run's status and its writer, and the report of the automatic triggers.

Each is replaced as a whole, so that a reader never sees half of it. Knows no database.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from annotations.learning.config import status_path, write_json
from annotations.learning.runs.process import processor_use
from annotations.store.records import TrainingRun

if TYPE_CHECKING:
    from ser.training.progress import TrainProgress

TRAINED_SHARE = 0.9
"""Share of the progress bar for training; the rest is the comparison."""

log = logging.getLogger("training")


@dataclass(frozen=True)
class TrainingStatus:
    """State of a training run.

    Attributes:
        state: `idle`, `running`, or how the last run ended (one of `records.RUN_STATUSES`).
        run_id: None while there was no run yet.
        message: a sentence for people.
        progress: 0..1.
        eta: seconds left, or None if unknown.
        cpu_left: seconds of the processor that are left, or None if unknown.
        device: `cpu` or `cuda`.
        epoch: the current one, from 1; 0 before the first.
        epochs: how many are planned.
        loss: of the last epoch, on training clips.
        uar: unweighted average recall of the last epoch on feedback that is held out, 0..1.
        curve: {"epoch", "loss", "uar"} of each epoch so far.
        seconds: that training took so far, pauses not counted.
        resumed: how often the run went on after it had been interrupted.
        target: what is trained.
        preset: `quick` or `thorough`.
        cause: why it began.
        log: the file with all its messages, relative to the store's folder.
        queued: numbers of the runs that wait.
        trigger: what the settings' own requests for runs found last, for people.
        pid: of the process that trains.
        pid_created: when that process started, seconds since 1970: tells it from a later one of the same number.
        updated_at: ISO 8601, UTC.
    """

    state: str = "idle"
    run_id: int | None = None
    message: str = "No training run yet."
    progress: float = 0.0
    eta: float | None = None
    cpu_left: float | None = None
    device: str = "cpu"
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    uar: float | None = None
    curve: tuple[Mapping[str, float | None], ...] = field(default=())
    seconds: float = 0.0
    resumed: int = 0
    target: str = "acoustic"
    preset: str = "quick"
    cause: str = "asked"
    log: str | None = None
    queued: tuple[int, ...] = ()
    trigger: str = ""
    pid: int | None = None
    pid_created: float | None = None
    updated_at: str = ""

    def changed(self, **changes: object) -> "TrainingStatus":
        """A copy with other values and the present time."""
        return replace(self, **changes, updated_at=datetime.now(UTC).isoformat(timespec="seconds"))  # type: ignore[arg-type]


def change_status(data_dir: Path, run_id: int, **changes: object) -> None:
    """Change some of what the status file of a run says."""
    write_status(data_dir, read_status(data_dir, run_id).changed(**changes))


def write_status(data_dir: Path, status: TrainingStatus) -> None:
    """Replace the status file of the run as a whole."""
    if status.run_id is None:
        raise ValueError("a status without a run has no file")
    write_json(status_path(data_dir, status.run_id), asdict(status))


def read_status(data_dir: Path, run_id: int) -> TrainingStatus:
    """The status of a run; a new one if nothing was written yet."""
    try:
        fields = json.loads(status_path(data_dir, run_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return TrainingStatus(run_id=run_id)
    known = {name: value for name, value in fields.items() if name in TrainingStatus.__dataclass_fields__}
    return TrainingStatus(**{**known, "curve": tuple(fields["curve"]), "queued": ()})


class RunReport:
    """The status of a run, as the process that does the run writes it.

    Args:
        data_dir: the store's folder.
        run_id: of the run; the report of an earlier process of it is continued.
    """

    def __init__(self, data_dir: Path, run_id: int) -> None:
        self._data_dir, self._run_id = data_dir, run_id
        self._last_write = 0.0
        process = psutil.Process()
        before = read_status(data_dir, run_id)
        self._earlier, self._started = before.seconds, time.monotonic()
        self.status = before.changed(state="running", pid=process.pid, pid_created=process.create_time())
        write_status(data_dir, self.status)

    @property
    def seconds(self) -> float:
        """Seconds of the run so far, without pauses."""
        return self._earlier + time.monotonic() - self._started

    def read_again(self) -> None:
        """Take up what another process of the same run has reported since."""
        self.status = read_status(self._data_dir, self._run_id)

    def say(self, message: str, *, logged: bool = True, **changes: object) -> None:
        """Tell people, in a sentence, what is being done now; a new sentence goes to the log as well, if wanted."""
        if logged and message != self.status.message:
            log.info("%s", message)
        changes = {"cpu_left": self._cpu_left(changes["eta"])} | changes if "eta" in changes else changes
        self.status = self.status.changed(message=message, seconds=round(self.seconds, 1), **changes)
        write_status(self._data_dir, self.status)
        self._last_write = time.monotonic()

    def _cpu_left(self, eta: object) -> float | None:
        """Seconds of the processor that are left, by what this process got of it so far: see `TrainingStatus`."""
        if not isinstance(eta, float | int):
            return None
        use = processor_use(psutil.Process())
        return None if use is None else round(eta * use.share, 2)

    def on_progress(self, progress: "TrainProgress") -> None:
        """Tell of a step; of those that follow each other closely, one in a while."""
        curve = self.status.curve
        if progress.epoch_done:
            # An epoch whose end was not kept before a kill comes twice.
            known = [entry for entry in curve if (entry["epoch"] or 0) < progress.epoch]
            curve = (*known, {"epoch": progress.epoch, "loss": progress.loss, "uar": progress.uar})
            figures = {"loss": progress.loss, "UAR": progress.uar}
            shown = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
            log.info("epoch %d of %d: %s", progress.epoch, progress.epochs, shown or "no figures")
        elif time.monotonic() - self._last_write < 0.3:
            return
        if progress.stage == "preparing":
            # A run that goes on reads its clips again, and is no less far for it.
            done = max(self.status.progress, TRAINED_SHARE * progress.fraction)
            self.say("Reading the clips.", progress=done, eta=progress.eta)
            return
        if progress.stage == "choosing":
            done = max(self.status.progress, TRAINED_SHARE * progress.fraction)
            message = f"Fold {progress.epoch} of {progress.epochs}: predicting clips that this fit has not seen."
            self.say(message, progress=done, eta=progress.eta)
            return
        in_parts = f" A step is computed in {progress.parts} parts, as the memory does not hold it whole."
        self.say(
            f"Epoch {progress.epoch} of {progress.epochs}.{in_parts if progress.parts > 1 else ''}",
            # The log has a line of each epoch as it is.
            logged=progress.parts > 1,
            progress=TRAINED_SHARE * progress.fraction,
            eta=progress.eta,
            epoch=progress.epoch,
            epochs=progress.epochs,
            loss=progress.loss,
            uar=progress.uar,
            curve=curve,
        )


def describe(run: TrainingRun) -> Mapping[str, object]:
    """Describe a run for the head of its log."""
    return {
        "run": run.id,
        "target": run.target,
        "preset": run.preset,
        "cause": run.cause,
        "by": run.started_by,
        "votes": run.snapshot_sha256,
        "config": dict(run.config),
    }


AFTER, AT = "retrain_after", "retrain_at"
"""The causes, named as the settings are."""


@dataclass(frozen=True)
class TriggerReport:
    """Outcome of the last look.

    Attributes:
        message: a sentence for people.
        at: when a run was last asked for, ISO 8601, UTC; None if never.
        cause: of that: `AFTER` or `AT`.
        run_id: of that run; None if it was refused.
        votes: hash of the votes that it was asked on.
        began: whether it was this look that asked, and the run began or waits.
    """

    message: str
    at: str | None = None
    cause: str | None = None
    run_id: int | None = None
    votes: str | None = None
    began: bool = False


def read_trigger(data_dir: Path) -> TriggerReport | None:
    """Read the outcome of the last look; None before the first."""
    try:
        return TriggerReport(**json.loads(trigger_path(data_dir).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_trigger(data_dir: Path, report: TriggerReport) -> None:
    """Keep what a look found."""
    write_json(trigger_path(data_dir), asdict(report))


def trigger_path(data_dir: Path) -> Path:
    """The file."""
    return data_dir / "runs" / "trigger.json"
