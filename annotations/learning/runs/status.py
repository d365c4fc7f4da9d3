"""The status file of a training run: what the worker writes and every page reads.

One JSON file, replaced as a whole, so that a reader never sees half of it. Knows no database.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from annotations.learning.run_files import status_path


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
    """The status of a run; None if the worker has not written one yet."""
    try:
        fields = json.loads(status_path(data_dir, run_id).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    known = {name: value for name, value in fields.items() if name in TrainingStatus.__dataclass_fields__}
    return TrainingStatus(**{**known, "curve": tuple(fields["curve"]), "queued": ()})
