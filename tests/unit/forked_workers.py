"""Training processes for tests: forked from the warm test process, or new ones of normal priority."""

import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from annotations.learning.config import log_path
from annotations.learning.runs.process import Spawn, keep_log, spawn_worker
from annotations.learning.runs.worker import work_on
from annotations.learning.trainer import Trainer


class ForkedWorker:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            try:
                found, status = os.waitpid(self.pid, os.WNOHANG)
                self._code = os.waitstatus_to_exitcode(status) if found else None
            except ChildProcessError:  # Whoever stopped it has waited for it.
                self._code = 0
        return self._code


def as_usual_work() -> Spawn:
    """Return a spawner of new processes with the priority of the tests, which end with this process."""
    return partial(spawn_worker, app=os.getpid(), niceness=0)


STARTED: list[ForkedWorker] = []
"""Workers of this process that may still run."""


def end_leftovers() -> None:
    """Kill what a test has left running: a child that outlives the tests would hold their output open."""
    while STARTED:
        worker = STARTED.pop()
        if worker.poll() is None:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)


def forking(trainer: Trainer | None = None, *, app: bool = False) -> Callable[[Path, int], ForkedWorker]:
    """Return a spawner of runs.

    Args:
        trainer: of the test's own; by default the target's.
        app: if a run ends with the process that starts it.
    """

    def fork(data_dir: Path, run_id: int) -> ForkedWorker:
        parent = os.getpid()
        # Before there is a process, as in `spawn_worker`: whoever looks next finds the file.
        log_path(data_dir, run_id).touch()
        pid = os.fork()
        if pid:
            STARTED.append(worker := ForkedWorker(pid))
            return worker
        code = 1
        try:
            log = log_path(data_dir, run_id).open("ab")
            os.dup2(log.fileno(), sys.__stdout__.fileno())
            os.dup2(log.fileno(), sys.__stderr__.fileno())
            sys.stdout = sys.stderr = log_path(data_dir, run_id).open("a", buffering=1)
            keep_log()
            code = work_on(data_dir, run_id, app=parent if app else None, spawn=fork, trainer=trainer)
        finally:
            os._exit(code)

    return fork


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """A guard against hanging, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
