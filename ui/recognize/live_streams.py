"""Live streams of open pages: so many at once, each let go when its page is. Knows no component."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor

from ser.timeline.live import LiveStream, LiveTimeline
from ui.backend.turns import BusyError

MOST_LIVE = 3
"""Streams that two cores can answer twice a second, with the words of each (`benchmarks.live`)."""

SILENT = 15.0
"""Seconds without a block of sound after which a stream counts as left."""


ENDED = 3.0
"""Seconds in which blocks that come after the end of a stream do not begin another."""


class LiveStreams:
    """The streams by session; safe to call from several threads.

    Args:
        most: streams at once.
        silent: seconds without sound after which one counts as left.
    """

    def __init__(self, most: int = MOST_LIVE, silent: float = SILENT) -> None:
        self._most, self._silent = most, silent
        self._lock = threading.Lock()
        self._streams: dict[str, LiveStream] = {}
        self._ended: dict[str, float] = {}
        self._executors: tuple[Executor, Executor] | None = None

    def open(self, session: str) -> None:
        """A microphone was switched on: blocks of this session count again."""
        with self._lock:
            self._ended.pop(session, None)

    def get(self, session: str, make: Callable[[Executor], LiveTimeline]) -> LiveStream | None:
        """The stream of a session, begun if it has none; None if it was just ended.

        Args:
            session: of the page.
            make: begins to answer, given what reads the words of utterances.

        Raises:
            BusyError: if there are as many as can be answered.
        """
        with self._lock:
            now = time.monotonic()
            self._ended = {one: at for one, at in self._ended.items() if now - at < ENDED}
            if session in self._streams or session in self._ended:
                return self._streams.get(session)
            self._streams = {one: live for one, live in self._streams.items() if now - live.last_block < self._silent}
            if len(self._streams) >= self._most:
                raise BusyError(
                    f"{len(self._streams)} people are live already, as many as this machine can follow. "
                    "Record a clip instead, or try again in a minute."
                )
            if self._executors is None:
                self._executors = ThreadPoolExecutor(self._most), ThreadPoolExecutor(1)
            answers, words = self._executors
            self._streams[session] = LiveStream(make(words), answers)
            return self._streams[session]

    def end(self, session: str) -> LiveStream | None:
        """Let the stream of a session go, and return it."""
        with self._lock:
            self._ended[session] = time.monotonic()
            return self._streams.pop(session, None)
