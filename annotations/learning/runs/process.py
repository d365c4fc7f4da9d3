"""The process that trains: started at low priority, found again, measured, stopped, and ended with its app.

Knows no votes and no model.
"""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

from annotations.learning.config import log_path

if TYPE_CHECKING:
    from annotations.learning.runs.status import TrainingStatus

PAUSE_PATIENCE = 20.0
"""Seconds that a process has to save its state before it is killed."""

CANCEL_PATIENCE = 1.0
"""Likewise for a process whose state is not kept."""

NICENESS = 10
"""Niceness of training: the page goes first, and training still gets a tenth of a busy core.
SCHED_IDLE was tried: on a machine with other work a run got 5 s of CPU in 14 minutes."""

WATCH_INTERVAL = 1.0

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
    data_dir = data_dir.resolve()
    command = ["annotations.learning.runs.worker", "--data-dir", str(data_dir), "--run", str(run_id)]
    command += ["--niceness", str(niceness)]
    command += ["--app", str(app)] if app is not None else []
    worker = run_module(command, log_path(data_dir, run_id))
    # From its first moment: loading its libraries takes seconds of a core.
    yield_the_processor(worker.pid, niceness)
    return worker


def run_module(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a module of this program in an interpreter and a session of its own.

    Args:
        command: the module and its arguments.
        log: what it prints is added to this file.
    """
    # One thread: with two the page's own answers take twice as long on a small machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=Path(__file__).resolve().parents[3],
            start_new_session=True,
        )


def spawn_for_this_app(data_dir: Path, run_id: int) -> subprocess.Popen[bytes]:
    """Start the process of a run that ends with this process."""
    return spawn_worker(data_dir, run_id, os.getpid())


def find_worker(status: "TrainingStatus") -> psutil.Process | None:
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
        """True if it waits for the processor more than it trains."""
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


def yield_the_processor(pid: int = 0, niceness: int = NICENESS) -> None:
    """Give a process a low priority, within its session and among sessions.

    Source: sched(7), "The autogroup feature": where Linux groups processes by session, niceness counts within the
    session alone, and a training process has one of its own.

    Args:
        pid: of a process that has just started, and whose threads will do as its first one; 0 for this one.
        niceness: 0 leaves a new process as it is.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid or None)
        if psutil.WINDOWS:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(process.nice(), niceness))
    # Absent, or not allowed: then niceness is all there is.
    with suppress(OSError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(niceness), encoding="ascii")


def end_with(pid: int, stop: Callable[[], None], patience: float) -> None:
    """Stop this process once another has ended: first by request, then by force.

    Args:
        pid: of the app.
        stop: requests the stop; called from a thread.
        patience: seconds from the request to the force.
    """
    try:
        app = psutil.Process(pid)
        app.create_time()
    except psutil.NoSuchProcess:
        stop()
        return

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while app.is_running() and app.status() != psutil.STATUS_ZOMBIE:
                time.sleep(WATCH_INTERVAL)
        stop()
        time.sleep(patience)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_log() -> None:
    """Write log records, warnings included, line by line with the time."""
    logging.Formatter.converter = time.gmtime
    form = "%(asctime)sZ %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    logging.captureWarnings(True)
