"""Counts and times of a running page, in memory. Knows no format; `ui.operations.exposition` prints them."""

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields

from ser.types import Recognition, Timings

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Distribution:
    """A histogram.

    Args:
        bounds: upper ends of its buckets; one without an end follows.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[str, float]]:
        """Buckets as Prometheus has them: {upper end: values up to it}.

        >>> found = Distribution((1.0, 2.0)); found.add(0.5); found.add(9.0); found.cumulated()
        [('1.0', 1.0), ('2.0', 1.0), ('+Inf', 2.0)]
        """
        buckets, so_far = [], 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            so_far += count
            buckets.append((bound, float(so_far)))
        return buckets


class Measures:
    """Counts since the start; safe to call from several threads. Holds nothing of anybody's recording or name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stages: dict[str, Distribution] = {}
        self.confidence = Distribution(SHARES)
        self.answers: Counter[str] = Counter()
        self.unsure = 0
        self.requests: Counter[str] = Counter()
        self.began = time.time()

    def answered(self, answer: Recognition) -> None:
        """Count a finished answer: the times of its stages, its label and its confidence."""
        for field in fields(Timings):
            seconds = getattr(answer.timings, field.name)
            # Files are decoded before their turn, where it is timed; samples have nothing to decode.
            if seconds > 0 and field.name != "decode":
                self.took(field.name, seconds)
        with self._lock:
            self.confidence.add(answer.confidence)
            self.answers[answer.label] += 1
            self.unsure += answer.unsure is not None

    def took(self, stage: str, seconds: float) -> None:
        """Count the time of one stage."""
        with self._lock:
            self.stages.setdefault(stage, Distribution(SECONDS)).add(seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Count the time that a block takes, whether it ends well or not."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.took(stage, time.perf_counter() - start)

    def responded(self, status: int) -> None:
        """Count a response by the class of its status."""
        with self._lock:
            self.requests[f"{status // 100}xx"] += 1


class Errors:
    """Errors that people were shown, by kind; the message is never kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: Counter[str] = Counter()

    def add(self, error: BaseException) -> None:
        """Count an error by its class."""
        with self._lock:
            self._kinds[type(error).__name__] += 1

    def kinds(self) -> Mapping[str, int]:
        """{class of error: how often}."""
        with self._lock:
            return dict(self._kinds)


ERRORS = Errors()
"""Of this process: errors are turned into sentences in one place, which knows no services."""
