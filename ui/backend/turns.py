"""Fair turns: recordings of many connections, answered on a few threads. Knows no model and no page.

Start-time fair queueing over the seconds of sound that each connection has asked for: Goyal, Vin and Cheng, Start-time
fair queuing, IEEE/ACM Transactions on Networking 5, 1997. One place is kept from long recordings, so that a short one
waits for short ones alone.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ser.errors import SerError

T = TypeVar("T")

PLACES = 2
LONG = 15.0
"""Seconds of sound from which on a recording is a long one."""

MOST_WAITING = 32
BUDGET = 60.0
"""Seconds that the answer to one recording may take, its waiting not counted."""

RECOGNITION: dict[str, Any] = {"concurrency_limit": MOST_WAITING, "concurrency_id": "recognition"}
"""Options of an event whose answer waits for a turn: they have a queue of their own, so that votes need not wait."""

PRESSED: dict[str, Any] = {
    **RECOGNITION,
    "show_progress": "hidden",
    "trigger_mode": "once",
    "api_visibility": "private",
}
"""The same of a button of the page, which does nothing while its answer is on its way."""

LOOK = 0.25
"""Seconds between looks at the place in the queue."""


class BusyError(SerError):
    """Too many recordings wait already, or an answer took too long."""


@dataclass(frozen=True)
class Waiting:
    """Place of a recording in the queue, from 1."""

    place: int


def last_step(steps: Iterator[T | Waiting]) -> T:
    """Return the last of the steps of an answer, once it is there."""
    *_, answer = (step for step in steps if not isinstance(step, Waiting))
    return answer


@dataclass(eq=False)
class _Job(Generic[T]):
    seconds: float
    tag: float
    steps: Callable[[], Iterator[T]]
    began: float | None = None
    given_up: bool = False
    results: "queue.Queue[T | BaseException | None]" = field(default_factory=queue.Queue)


class Turns:
    """The queue and its threads; safe to call from several threads.

    Args:
        places: recordings that are answered at the same time.
        most_waiting: recordings that may wait.
        budget: seconds that one answer may take.
    """

    def __init__(self, places: int = PLACES, most_waiting: int = MOST_WAITING, budget: float = BUDGET) -> None:
        self._places = places
        self._most_waiting = most_waiting
        self._budget = budget
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._running: list[_Job] = []
        self._ends: dict[str, float] = {}
        self._now = 0.0
        self._threads = 0

    def run(
        self, connection: str, seconds: float, steps: Callable[[], Iterator[T]], budget: float | None = None
    ) -> Iterator[T | Waiting]:
        """Answer a recording in its turn: yields its places while it waits, then what `steps` yields.

        Args:
            connection: that asks.
            seconds: length of the recording.
            steps: makes the answer, on another thread.
            budget: seconds that this answer may take, in place of the usual.

        Raises:
            BusyError: if too many wait, or the answer takes longer than it may.
        """
        job = self._join(connection, seconds, steps)
        try:
            yield from self._follow(job, budget or self._budget)
        finally:
            with self._changed:
                job.given_up = True
                if job in self._waiting:
                    self._waiting.remove(job)

    @property
    def most_waiting(self) -> int:
        """Recordings that may wait."""
        return self._most_waiting

    def load(self) -> tuple[int, int]:
        """Recordings that wait, and recordings that are being answered."""
        with self._changed:
            return len(self._waiting), len(self._running)

    def _join(self, connection: str, seconds: float, steps: Callable[[], Iterator[T]]) -> _Job[T]:
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                raise BusyError(
                    f"{len(self._waiting)} recording{' waits' if len(self._waiting) == 1 else 's wait'} already. Try "
                    "again in a minute."
                )
            self._ends = {one: end for one, end in self._ends.items() if end > self._now}
            tag = max(self._now, self._ends.get(connection, 0.0))
            self._ends[connection] = tag + seconds
            job = _Job(seconds, tag, steps)
            self._waiting.append(job)
            while self._threads < self._places:
                self._threads += 1
                threading.Thread(target=self._work, name=f"answers-{self._threads}", daemon=True).start()
            self._changed.notify()
        return job

    def _follow(self, job: _Job[T], budget: float) -> Iterator[T | Waiting]:
        place = 0
        while True:
            try:
                result = job.results.get(timeout=LOOK)
            except queue.Empty:
                if job.began is not None and time.monotonic() - job.began > budget:
                    raise BusyError(
                        f"The answer took longer than {budget:.0f} s and was given up. Try a shorter recording."
                    ) from None
                now = self._place(job)
                if now and now != place:
                    place = now
                    yield Waiting(place)
                continue
            if result is None:
                return
            if isinstance(result, BaseException):
                raise result
            yield result

    def _place(self, job: _Job[T]) -> int:
        with self._changed:
            return sorted(self._waiting, key=lambda one: one.tag).index(job) + 1 if job in self._waiting else 0

    def _next(self) -> _Job | None:
        """The job whose turn it is; None if none may begin."""
        long_ones = sum(job.seconds > LONG for job in self._running)
        may = [job for job in self._waiting if job.seconds <= LONG or long_ones < max(1, self._places - 1)]
        return min(may, key=lambda job: job.tag, default=None)

    def _work(self) -> None:
        while True:
            with self._changed:
                while (job := self._next()) is None:
                    self._changed.wait()
                self._waiting.remove(job)
                self._running.append(job)
                self._now = max(self._now, job.tag)
                job.began = time.monotonic()
            try:
                for result in job.steps():
                    job.results.put(result)
                    if job.given_up:
                        break
                job.results.put(None)
            except BaseException as error:  # It is raised where the answer is awaited.
                job.results.put(error)
            finally:
                with self._changed:
                    self._running.remove(job)
                    self._changed.notify_all()
