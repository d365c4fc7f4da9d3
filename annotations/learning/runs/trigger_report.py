"""Report of the automatic triggers, kept in a file of the store's folder. Knows no votes."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

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
    path = trigger_path(data_dir)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    part.write_text(json.dumps(asdict(report)), encoding="utf-8")
    os.replace(part, path)


def trigger_path(data_dir: Path) -> Path:
    """The file."""
    return data_dir / "runs" / "trigger.json"
