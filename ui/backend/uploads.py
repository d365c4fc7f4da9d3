"""Keeps track of the uploaded files of each browser session and deletes them as soon as they are not needed.

Gradio writes an upload to its cache folder under a name made from its content, so that two people who
upload the same recording share one file: it is deleted when the last of them releases it, those included whose
upload has just come and is not in use yet. Knows no component.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gradio.utils import get_upload_folder

ABANDONED = 300.0
"""Seconds after which an upload that nobody came for was left: its page was closed before it could say so."""

HELD = 3600.0
"""Seconds after which a session that has not said that it is over is taken to be."""


class Uploads:
    """Uploads of the open sessions; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Path, float]] = {}
        self._users: Counter[Path] = Counter()
        self._waiting: dict[Path, list[float]] = {}
        self._arriving = 0
        self._unused: set[Path] = set()

    @contextmanager
    def arriving(self) -> Iterator[Callable[[Sequence[str]], None]]:
        """Delete nothing while Gradio puts an upload in its place, where the same recording may lie already.

        Yields:
            To be called with the paths, before the uploader learns them: each is kept until it is used once.
        """
        with self._lock:
            self._arriving += 1
        try:
            yield self._wait
        finally:
            with self._lock:
                self._arriving -= 1
                if not self._arriving:
                    for path in self._unused - set(self._users):
                        _delete(path)
                    self._unused.clear()

    def _wait(self, paths: Sequence[str]) -> None:
        with self._lock:
            for path in map(Path, paths):
                self._users[path] += 1
                self._waiting.setdefault(path, []).append(time.time())

    def hold(self, session: str, path: str | Path) -> None:
        """Keep one file for a session; the one it held before is released."""
        new = Path(path)
        with self._lock:
            self._use(new)
            self._let_go(session)
            self._held[session] = new, time.time()

    def release(self, session: str) -> None:
        """Let go of a session's file, if it holds one."""
        with self._lock:
            self._let_go(session)

    @contextmanager
    def borrow(self, path: str | Path) -> Iterator[Path]:
        """Use a file for the length of a call and let it go afterwards, however the call ends."""
        borrowed = Path(path)
        with self._lock:
            self._use(borrowed)
        try:
            yield borrowed
        finally:
            with self._lock:
                self._drop(borrowed)

    def sweep(self, age: float = ABANDONED) -> int:
        """Delete files that lie in the cache without anybody holding them, or held too long; returns how many.

        Args:
            age: seconds since they came; younger ones may be on their way to somebody.
        """
        folder = Path(get_upload_folder())
        before = time.time() - age
        swept = 0
        with self._lock:
            for session, (_, since) in list(self._held.items()):
                if since < time.time() - HELD:
                    self._let_go(session)
            for path in [path for path, since in self._waiting.items() for came in since if came < before]:
                self._take(path)
                self._drop(path)
                swept += 1
            held = {path.resolve() for path in self._users}
            # Gradio puts an upload in a folder of its own, and leaves empty files next to these.
            for path in [*folder.glob("*/*"), *folder.glob("*")]:
                if path.is_file() and path.resolve() not in held and path.stat().st_mtime < before:
                    path.unlink(missing_ok=True)
                    swept += 1
                    if path.parent != folder:
                        with suppress(OSError):  # Another file lies there, or has just come.
                            path.parent.rmdir()
        return swept

    def _use(self, path: Path) -> None:
        """Count a user, who takes the place of an upload that waited for one."""
        if not self._take(path):
            self._users[path] += 1

    def _take(self, path: Path) -> bool:
        """Let one upload wait no more; False if none did."""
        since = self._waiting.get(path)
        if not since:
            return False
        since.pop(0)
        if not since:
            del self._waiting[path]
        return True

    def _let_go(self, session: str) -> None:
        self._drop(self._held.pop(session, (None, 0.0))[0])

    def _drop(self, path: Path | None) -> None:
        if path is None:
            return
        self._users[path] -= 1
        if self._users[path] > 0:
            return
        del self._users[path]
        if self._arriving:
            self._unused.add(path)
        else:
            _delete(path)


def _delete(path: Path) -> None:
    """Delete a file of the cache; a path from elsewhere belongs to somebody."""
    folder = Path(get_upload_folder()).resolve()
    if folder not in path.resolve().parents:
        return
    path.unlink(missing_ok=True)
    if path.parent.resolve() != folder:
        with suppress(OSError):  # Another file lies there, or has just come.
            path.parent.rmdir()
