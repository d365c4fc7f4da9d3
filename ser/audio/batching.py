"""Many recordings at once: several threads, each with a batch of its own, answers in order.

Knows the protocols of `ser.protocols`, no model behind them.
"""

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

BATCH_SIZE = 32
"""Recordings that are embedded together; more is hardly quicker and takes more memory."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_batches(
    function: Callable[[Sequence[Item]], Sequence[Answer]],
    items: Iterable[Item],
    *,
    batch_size: int = BATCH_SIZE,
    workers: int | None = None,
) -> Iterator[Answer]:
    """Apply a function to batches of items in several threads.

    Args:
        function: takes up to `batch_size` items, gives one answer for each. Called from several threads at once.
        items: drawn as they are needed, never more than a few batches ahead of what is taken out.
        batch_size: at least 1.
        workers: threads; one for each core where left out.

    Yields:
        An answer for each item, in the order of the items. An exception of `function` is raised in its place.

    >>> list(map_batches(lambda batch: [2 * item for item in batch], range(5), batch_size=2, workers=2))
    [0, 2, 4, 6, 8]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least 1 is expected")
    threads = workers or available_cores()
    remaining = iter(items)
    pending: deque[Future[Sequence[Answer]]] = deque()
    # Each worker computes on one core: threads within threads wait for each other (22 clips a second, not 70).
    # The limit of OpenMP, which torch computes with, holds for the thread that sets it; that of NumPy's BLAS for all.
    alone = functools.partial(threadpool_limits, limits=1, user_api="openmp")
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads, initializer=alone) as pool:
        try:
            while True:
                # One batch more than threads, so that none waits while answers are taken out.
                while len(pending) <= threads and (batch := list(itertools.islice(remaining, batch_size))):
                    pending.append(pool.submit(function, batch))
                if not pending:
                    return
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def available_cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
