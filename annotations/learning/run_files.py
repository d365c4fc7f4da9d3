"""The files of a training run: its folder, and if the run keeps what.

Knows names and places only.
"""

import shutil
from pathlib import Path


def run_folder(data_dir: Path, run_id: int) -> Path:
    """Path of a run's folder.

    >>> run_folder(Path("data"), 12).as_posix()
    'data/runs/0012'
    """
    return data_dir / "runs" / f"{run_id:04d}"


def status_path(data_dir: Path, run_id: int) -> Path:
    """Path of a run's status file."""
    return run_folder(data_dir, run_id) / "status.json"


def snapshot_path(data_dir: Path, run_id: int) -> Path:
    """The votes as they stood when the run began; gone when it has ended."""
    return run_folder(data_dir, run_id) / "feedback.db"


def checkpoint_folder(data_dir: Path, run_id: int) -> Path:
    """Path of the training checkpoint, to go on after a kill; removed when the run has ended."""
    return run_folder(data_dir, run_id) / "checkpoint"


def candidate_path(data_dir: Path, run_id: int) -> Path:
    """Path of the file that names the finished candidate, so that it is not trained twice; removed at the end."""
    return run_folder(data_dir, run_id) / "candidate.json"


def log_path(data_dir: Path, run_id: int) -> Path:
    """Path of the training process's log."""
    return run_folder(data_dir, run_id) / "log.txt"


def stop_request_path(data_dir: Path, run_id: int, request: str) -> Path:
    """The file that asks a running training for something: `pause` or `cancel`."""
    return run_folder(data_dir, run_id) / request


def stop_request_of(data_dir: Path, run_id: int) -> str | None:
    """Read the stop request of a run, `cancel` before `pause`; None without one."""
    requests = (request for request in ("cancel", "pause") if stop_request_path(data_dir, run_id, request).exists())
    return next(requests, None)


def clear_run(data_dir: Path, run_id: int) -> None:
    """Remove what a run needs to go on; its status and its log stay."""
    for name in ("feedback.db", "candidate.json", "pause", "cancel"):
        for path in run_folder(data_dir, run_id).glob(f"{name}*"):
            path.unlink(missing_ok=True)
    for folder in (checkpoint_folder(data_dir, run_id), run_folder(data_dir, run_id) / "features"):
        shutil.rmtree(folder, ignore_errors=True)
