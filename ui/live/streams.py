"""Live streams of open pages: so many at once, each let go when its page is. Knows no component and no request."""

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from ser.errors import SerError
from ser.timeline.live import LiveAnswer, LiveTimeline
from ui.backend.turns import BusyError

MOST_LIVE = 3
"""Streams that two cores can answer twice a second, with the words of each (`benchmarks.live`)."""

SILENT = 60.0
"""Seconds without a block of sound after which a stream counts as left; browsers end a recording before."""

FULL_SCALE = 32_768.0

ENDED = "This live recording has ended. Press Record to begin another."


class NotLiveError(SerError):
    """A stream is asked for that has ended, or is another's."""


class MissingSoundError(ValueError):
    """A block of sound leaves out some that has not come."""


@dataclass(eq=False)
class LiveStream:
    """A stream of a page; safe to use from several threads.

    Attributes:
        owner: whose it is.
        rate: of its sound, Hz.
        timeline: answers it.
        answers: runs that.
        received: samples that have come.
        last_block: when the newest block came, seconds of the monotonic clock.
    """

    owner: str
    rate: int
    timeline: LiveTimeline
    answers: Executor
    received: int = 0
    last_block: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: Future[LiveAnswer] | None = None
    _over: bool = False

    @property
    def seconds(self) -> float:
        """Length of the sound that has come."""
        return self.received / self.rate

    def take(self, at: int, samples: np.ndarray) -> None:
        """Append a block; what has come before, as in a block that is sent again, is left out.

        Args:
            at: number of the block's first sample in the stream.
            samples: int16.

        Raises:
            MissingSoundError: if sound between the last block and this one has not come; nothing is taken then.
            NotLiveError: if the stream has ended.
        """
        with self._lock:
            if self._over:
                raise NotLiveError(ENDED)
            self.last_block = time.monotonic()
            if at > self.received:
                raise MissingSoundError(at)
            fresh = samples[self.received - at :]
            if len(fresh):
                self.timeline.take(self.rate, fresh.astype(np.float32) / np.float32(FULL_SCALE))
                self.received += len(fresh)

    def answer(self) -> Future[LiveAnswer]:
        """The answer to what has come; where the one before is not ready yet, that one."""
        with self._lock:
            if self._running is None or self._running.done():
                self._running = self.answers.submit(self.timeline.answer)
            return self._running

    def recording(self) -> np.ndarray:
        """All of the sound, at 16 kHz, as int16: the stream has ended."""
        with self._lock:
            self._over = True
            self.timeline.end()
        return np.rint(np.clip(self.timeline.signal * FULL_SCALE, -FULL_SCALE, FULL_SCALE - 1)).astype(np.int16)


class LiveStreams:
    """The streams by the number that their page alone knows; safe to call from several threads.

    Args:
        most: streams at once.
        silent: seconds without sound after which one counts as left.
    """

    def __init__(self, most: int = MOST_LIVE, silent: float = SILENT) -> None:
        self._most, self._silent = most, silent
        self._lock = threading.Lock()
        self._streams: dict[str, LiveStream] = {}
        self._executors: tuple[Executor, Executor] | None = None

    def open(self, owner: str, rate: int, make: Callable[[Executor], LiveTimeline]) -> str:
        """Begin a stream; returns its number.

        Args:
            owner: whose it is.
            rate: of its sound, Hz.
            make: begins to answer, given what reads the words of utterances.

        Raises:
            BusyError: if there are as many as can be answered.
        """
        self.sweep()
        with self._lock:
            if len(self._streams) >= self._most:
                raise BusyError(
                    f"{len(self._streams)} people are live already, as many as this machine can follow. "
                    "Record a clip instead, or try again in a minute."
                )
            if self._executors is None:
                self._executors = ThreadPoolExecutor(self._most), ThreadPoolExecutor(1)
            answers, words = self._executors
            number = secrets.token_hex(16)
            self._streams[number] = LiveStream(owner, rate, make(words), answers)
            return number

    def get(self, number: str, owner: str) -> LiveStream:
        """The stream of a number.

        Raises:
            NotLiveError: if there is none, or it is another's.
        """
        with self._lock:
            return self._find(number, owner)

    def end(self, number: str, owner: str) -> LiveStream:
        """Let the stream of a number go, and return it.

        Raises:
            NotLiveError: if there is none, or it is another's.
        """
        with self._lock:
            found = self._find(number, owner)
            del self._streams[number]
            return found

    def sweep(self) -> None:
        """Let streams go that nobody sends sound to any more."""
        with self._lock:
            since = time.monotonic() - self._silent
            self._streams = {number: live for number, live in self._streams.items() if live.last_block > since}

    def _find(self, number: str, owner: str) -> LiveStream:
        live = self._streams.get(number)
        if live is None or live.owner != owner:
            raise NotLiveError(ENDED)
        return live
