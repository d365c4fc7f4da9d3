"""Progress reports of a training process: status file, curve and log. Knows no store and no model."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from annotations.learning.runs.process import processor_use
from annotations.learning.runs.status import TrainingStatus, read_status, write_status
from annotations.store.records import TrainingRun
from ser.training.progress import TrainProgress

TRAINED_SHARE = 0.9
"""Share of the progress bar for training; the rest is the comparison."""

log = logging.getLogger("training")


class RunReport:
    """The status of a run, as the process that does the run writes it.

    Args:
        data_dir: the store's folder.
        run_id: of the run; what an earlier process of it has told goes on.
    """

    def __init__(self, data_dir: Path, run_id: int) -> None:
        self._data_dir, self._run_id = data_dir, run_id
        self._last_write = 0.0
        process = psutil.Process()
        before = read_status(data_dir, run_id) or TrainingStatus(run_id=run_id)
        self._earlier, self._started = before.seconds, time.monotonic()
        self.status = before.changed(state="running", pid=process.pid, pid_created=process.create_time())
        write_status(data_dir, self.status)

    @property
    def seconds(self) -> float:
        """Seconds of the run so far, without pauses."""
        return self._earlier + time.monotonic() - self._started

    def read_again(self) -> None:
        """Take up what another process of the same run has told since."""
        self.status = read_status(self._data_dir, self._run_id) or self.status

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

    def on_progress(self, progress: TrainProgress) -> None:
        """Tell of a step; of those that follow each other closely, one in a while."""
        curve = self.status.curve
        if progress.epoch_done:
            # An epoch whose end was not kept before a kill comes twice.
            known = [entry for entry in curve if (entry["epoch"] or 0) < progress.epoch]
            curve = (*known, {"epoch": progress.epoch, "loss": progress.loss, "uar": progress.uar})
            figures = {"loss": progress.loss, "UAR": progress.uar}
            told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
            log.info("epoch %d of %d: %s", progress.epoch, progress.epochs, told or "no figures")
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
