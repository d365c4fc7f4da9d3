"""Seconds spent in the steps of an answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ser.types import Signal, Timings


class Clock:
    """Seconds by the name of a step, from the clock's making on."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Count the time since the last lap."""
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Count the time within."""
        started = time.perf_counter()
        yield
        self._laps[name] = self._laps.get(name, 0.0) + time.perf_counter() - started

    def timed(self, blocks: Iterator[Signal]) -> Iterator[Signal]:
        """Count the time that blocks take to be decoded."""
        while True:
            with self.within("decode"):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def share(self, together: "Clock", count: int) -> None:
        """Take over an even part of the laps that were made together with others, in place of waiting for them."""
        self._laps |= {name: seconds / count for name, seconds in together._laps.items()}
        self._last = time.perf_counter()
        self._start = self._last - sum(self._laps.values())

    def timings(self, rest: str | None = None) -> Timings:
        """Seconds of each step and of all.

        Args:
            rest: the step that all counts for which is in no other, up to now; without it the total ends with the
                last lap.
        """
        if rest is None:
            return Timings(**self._laps, total=self._last - self._start)
        total = time.perf_counter() - self._start
        return Timings(**self._laps, **{rest: total - sum(self._laps.values())}, total=total)
