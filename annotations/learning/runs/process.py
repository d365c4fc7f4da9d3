"""The process that trains: started, found again, measured, stopped. Knows no votes and no model."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from annotations.learning.run_files import log_path
from annotations.learning.runs.niceness import NICENESS, yield_the_processor
from annotations.learning.runs.status import TrainingStatus

PAUSE_PATIENCE = 20.0
"""Seconds that a process has to save its state before it is killed."""

CANCEL_PATIENCE = 1.0
"""Argument that says nothing of the process is kept."""

STARVED_SHARE = 0.3
"""Share of one core under which a process waits for the processor more than it trains."""

STARVED_AFTER = 15.0
"""Seconds before anything is said of that."""


class WorkerProcess(Protocol):
    """Handle of a started process."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    def poll(self) -> int | None:
        """Exit code; None while it runs."""
        ...


Spawn = Callable[[Path, int], WorkerProcess]
"""Starts the process of a run: the store's folder and the run's id in."""


def spawn_worker(
    data_dir: Path, run_id: int, app: int | None = None, niceness: int = NICENESS
) -> subprocess.Popen[bytes]:
    """Start the process of a run in a new interpreter.

    Args:
        data_dir: the store's folder.
        run_id: of the run.
        app: process that the run ends with; None lets it outlive the one that starts it.
        niceness: of the process, and of those that it starts for the next runs.
    """
    # One thread: with two the page's own answers take twice as long on a small machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    data_dir = data_dir.resolve()
    command = [sys.executable, "-m", "annotations.learning.runs.worker"]
    command += ["--data-dir", str(data_dir), "--run", str(run_id), "--niceness", str(niceness)]
    command += ["--app", str(app)] if app is not None else []
    with log_path(data_dir, run_id).open("ab") as log:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=Path(__file__).resolve().parents[3],
            start_new_session=True,
        )
    # From its first moment: to load its libraries takes seconds of a core.
    yield_the_processor(worker.pid, niceness)
    return worker


def spawn_for_this_app(data_dir: Path, run_id: int) -> subprocess.Popen[bytes]:
    """Start the process of a run that ends with this process."""
    return spawn_worker(data_dir, run_id, os.getpid())


def find_worker(status: TrainingStatus) -> psutil.Process | None:
    """The process that the status names, if it still runs; a later process of the same number does not count."""
    if status.pid is None:
        return None
    try:
        process = psutil.Process(status.pid)
        same = status.pid_created is None or abs(process.create_time() - status.pid_created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


@dataclass(frozen=True)
class ProcessorUse:
    """Share of the machine that a process got so far.

    Attributes:
        cpu: seconds of all its threads and processes.
        wall: seconds since it began.
    """

    cpu: float
    wall: float

    @property
    def share(self) -> float:
        """Return the share of one core, above 0 and at most 1."""
        return min(1.0, max(self.cpu / max(self.wall, 1e-3), 1e-3))

    @property
    def starved(self) -> bool:
        """If it waits for the processor more than it trains."""
        return self.wall >= STARVED_AFTER and self.share < STARVED_SHARE

    def words(self) -> str:
        """Describe it for people.

        >>> ProcessorUse(6.2, 181.0).words()
        'waiting for the processor: 6 s of CPU in 3 min'
        """
        wall = f"{self.wall / 60:.0f} min" if self.wall >= 90 else f"{self.wall:.0f} s"
        return f"waiting for the processor: {self.cpu:.0f} s of CPU in {wall}"


def processor_use(process: psutil.Process) -> ProcessorUse | None:
    """Measure what a process and its children got so far; None if it has just ended."""
    try:
        used = process.cpu_times()
        cpu = used.user + used.system + used.children_user + used.children_system
        for child in process.children(recursive=True):
            times = child.cpu_times()
            cpu += times.user + times.system
        return ProcessorUse(cpu, max(time.time() - process.create_time(), 0.0))
    except psutil.NoSuchProcess:
        return None


def stop_worker(process: psutil.Process, *, gently: bool, patience: float) -> None:
    """Wait for a process that was asked to stop, and kill it if it does not.

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
