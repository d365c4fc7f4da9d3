"""Lets the writers of all threads and processes wait in line, so that none of them starves.

SQLite makes a waiting writer look again after growing pauses: under load a patient one is overtaken again and
again. The line here is only for speed; what keeps the data whole are SQLite's own locks.
"""

import importlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Windows has no such module; its writers make do with SQLite's own waiting.
fcntl = importlib.import_module("fcntl") if os.name == "posix" else None


class FairLock:
    """A lock that is handed to the thread that has waited longest; `threading.Lock` goes to whoever is quickest."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:  # Interrupted: leave the line, or pass on a turn that came just then.
            with self._guard:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                else:
                    self._hand_over()
            raise

    def __exit__(self, *error: object) -> None:
        with self._guard:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._held = False


class Turns:
    """A line of writers.

    Args:
        path: of the file that the processes lock in turn; made when first used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = FairLock()
        self._descriptor: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn; the next one is let in when the block is left, or the process is gone."""
        with self._threads:
            locked = self._lock()
            try:
                yield
            finally:
                if locked:
                    self._unlock()

    def close(self) -> None:
        """Let go of the file."""
        with self._threads:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _lock(self) -> bool:
        if fcntl is None:
            return False
        try:
            if self._descriptor is None:
                self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError:
            # A file system without such locks, or a full one: SQLite's own locks will do, and say what is wrong.
            return False
        return True

    def _unlock(self) -> None:
        if fcntl is not None and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
