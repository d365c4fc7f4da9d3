"""The status file of a training run: what the worker writes and every page reads.

One JSON file, replaced as a whole, so that a reader never sees half of it. Knows no database.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class TrainingStatus:
    """Where a training run stands.

    Attributes:
        state: `idle`, `running`, or how the last run ended (one of `records.RUN_STATUSES`).
        run_id: None while there was no run yet.
        message: a sentence for people.
        progress: 0..1.
        eta: seconds left, or None where unknown.
        epoch: the current one, from 1; 0 before the first.
        epochs: how many are planned.
        loss: of the last epoch, on the training side.
        uar: unweighted average recall of the last epoch on feedback that is held out, 0..1.
        curve: {"epoch", "loss", "uar"} of each epoch so far.
        seconds: that training took so far, pauses not counted.
        resumed: how often the run went on after it had been interrupted.
        target: what is trained.
        preset: how thoroughly.
        cause: why it began.
        log: the file with all that it said, relative to the store's folder.
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


def status_path(data_dir: Path, run_id: int) -> Path:
    """Where the status of a run lies."""
    return run_folder(data_dir, run_id) / "status.json"


def run_folder(data_dir: Path, run_id: int) -> Path:
    """Where a run keeps its status and its log.

    >>> run_folder(Path("data"), 12).as_posix()
    'data/runs/0012'
    """
    return data_dir / "runs" / f"{run_id:04d}"


def write_status(data_dir: Path, status: TrainingStatus) -> None:
    """Replace the status file of the run as a whole."""
    if status.run_id is None:
        raise ValueError("a status without a run has no file")
    path = status_path(data_dir, status.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"status.{os.getpid()}.tmp")
    part.write_text(json.dumps(asdict(status)), encoding="utf-8")
    os.replace(part, path)


def read_status(data_dir: Path, run_id: int) -> TrainingStatus | None:
    """The status of a run; None where the worker has not written one yet."""
    try:
        fields = json.loads(status_path(data_dir, run_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    known = {name: value for name, value in fields.items() if name in TrainingStatus.__dataclass_fields__}
    return TrainingStatus(**{**known, "curve": tuple(fields["curve"]), "queued": ()})


def snapshot_path(data_dir: Path, run_id: int) -> Path:
    """The votes as they stood when the run began; gone when it has ended."""
    return run_folder(data_dir, run_id) / "feedback.db"


def checkpoint_folder(data_dir: Path, run_id: int) -> Path:
    """Where the training keeps itself, to go on after a kill; gone when the run has ended."""
    return run_folder(data_dir, run_id) / "checkpoint"


def candidate_path(data_dir: Path, run_id: int) -> Path:
    """What names the model that the run has made, so that it is not made twice; gone when the run has ended."""
    return run_folder(data_dir, run_id) / "candidate.json"


def log_path(data_dir: Path, run_id: int) -> Path:
    """What the training process said, each line with its time."""
    return run_folder(data_dir, run_id) / "log.txt"


def wish_path(data_dir: Path, run_id: int, wish: str) -> Path:
    """The file that asks a running training for something: `pause` or `cancel`."""
    return run_folder(data_dir, run_id) / wish


def wish_of(data_dir: Path, run_id: int) -> str | None:
    """What a run was asked for, `cancel` before `pause`; None where nobody wants anything of it."""
    wishes = (wish for wish in ("cancel", "pause") if wish_path(data_dir, run_id, wish).exists())
    return next(wishes, None)


def clear_run(data_dir: Path, run_id: int) -> None:
    """Remove what a run needs to go on; its status and its log stay."""
    for name in ("feedback.db", "candidate.json", "pause", "cancel"):
        for path in run_folder(data_dir, run_id).glob(f"{name}*"):
            path.unlink(missing_ok=True)
    for folder in (checkpoint_folder(data_dir, run_id), run_folder(data_dir, run_id) / "features"):
        shutil.rmtree(folder, ignore_errors=True)
