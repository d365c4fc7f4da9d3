"""Times the review queue: every order with every filter, for a rater who has labelled much and for a newcomer."""

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from annotations.review.filters import QueueFilter
from annotations.review.queue import QueueOrder, next_clip, queue_length, queue_page
from annotations.store import AnnotationStore, NewVote
from benchmarks.store.filling import VETERAN

FILTERS = (
    QueueFilter(),
    QueueFilter(label="fear"),
    QueueFilter(version_id=2),
    QueueFilter(rater="rater 1"),
    QueueFilter(source="nemo"),
    QueueFilter(min_duration=2.0, max_duration=4.0),
    QueueFilter(language="pl"),
    QueueFilter(text="word3"),  # a frequent one
    QueueFilter(text="word4000"),
    QueueFilter(text="word10 word20*"),
    QueueFilter("anger", 1, "rater 2", "page", 1.0, 9.0, "en", "word1"),
)
"""Filters of the page, alone and all at once."""

Numbers = dict[str, object]


def time_queue(store: AnnotationStore, rounds: int) -> Numbers:
    """Time looks at the first fifty clips, with a vote before each as the page would save it.

    Args:
        store: filled; another rater's votes are added to it.
        rounds: how often each order meets each filter.

    Returns:
        `queue_p50_ms, queue_p95_ms, queue_max_ms`, of processor time too (`queue_p95_cpu_ms`), for what another
        program on the machine cannot slow down; the 95th percentile by order; the first look of a process
        (`queue_cold_ms`), which reads the whole index; the next clip and the length of the queue.
    """
    cold = time.perf_counter()
    queue_page(store, "newcomer")
    cold = time.perf_counter() - cold
    spent: list[float] = []
    busy: list[float] = []
    by_order: dict[str, list[float]] = defaultdict(list)
    clip_id, clips = 0, queue_length(store, "newcomer")
    for number in range(rounds):
        for order in QueueOrder:
            for filters in FILTERS:
                rater = (VETERAN, "newcomer")[number % 2]
                clip_id = clip_id % clips + 1
                store.add_correction(clip_id, NewVote("passer-by", "correct", label="fear", transcript="word3"))
                start, start_cpu = time.perf_counter(), time.thread_time()
                queue_page(store, rater, order, filters)
                seconds = time.perf_counter() - start
                busy.append(time.thread_time() - start_cpu)
                spent.append(seconds)
                by_order[order].append(seconds)
    return {
        "queue_p50_ms": percentile_ms(spent, 50),
        "queue_p95_ms": percentile_ms(spent, 95),
        "queue_max_ms": percentile_ms(spent, 100),
        "queue_p95_cpu_ms": percentile_ms(busy, 95),
        "queue_cold_ms": round(cold * 1000, 1),
        "queue_pages": len(spent),
        "queue_p95_ms_by_order": {name: percentile_ms(values, 95) for name, values in by_order.items()},
        **_time_next(store, 50 * rounds),
    }


def _time_next(store: AnnotationStore, rounds: int) -> Numbers:
    spent, lengths = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        item = next_clip(store, VETERAN)
        spent.append(time.perf_counter() - start)
        if item is not None:
            store.add_correction(item.clip.id, NewVote(VETERAN, "correct", label="fear"))
        start = time.perf_counter()
        queue_length(store, VETERAN)
        lengths.append(time.perf_counter() - start)
    return {"next_clip_p95_ms": percentile_ms(spent, 95), "queue_length_p95_ms": percentile_ms(lengths, 95)}


def percentile_ms(spent: Sequence[float], percent: float) -> float:
    """A percentile of seconds, in milliseconds.

    >>> percentile_ms([0.001, 0.003], 50)
    2.0
    """
    return round(float(np.percentile(np.asarray(spent) * 1000.0, percent)), 3)
