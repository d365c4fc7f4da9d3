"""The process that trains: started, found again, stopped. Knows no votes and no model."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from annotations.learning.process import yield_the_processor
from annotations.learning.run_status import TrainingStatus, log_path

PATIENCE = 20.0
"""Seconds that a process has to stop by itself before it is killed."""


def spawn_worker(data_dir: Path, run_id: int) -> subprocess.Popen[bytes]:
    """Start the process of a run; it outlives the one that starts it."""
    # One thread: with two the page's own answers take twice as long on a small machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    data_dir = data_dir.resolve()
    command = [sys.executable, "-m", "annotations.learning.worker", "--data-dir", str(data_dir), "--run", str(run_id)]
    with log_path(data_dir, run_id).open("ab") as log:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )
    # From its first moment: to load its libraries takes seconds of a core.
    yield_the_processor(worker.pid)
    return worker


def find_worker(status: TrainingStatus) -> psutil.Process | None:
    """The process that the status names, where it still runs; a later process of the same number does not count."""
    if status.pid is None:
        return None
    try:
        process = psutil.Process(status.pid)
        same = status.pid_created is None or abs(process.create_time() - status.pid_created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def stop_worker(process: psutil.Process, *, gently: bool, patience: float = PATIENCE) -> None:
    """Wait for a process that was asked to stop to do so, and kill it where it does not.

    Args:
        process: of a run.
        gently: False also sends it SIGTERM.
        patience: seconds.
    """
    try:
        if not gently:
            process.terminate()
        process.wait(timeout=patience)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        process.kill()
        process.wait()
