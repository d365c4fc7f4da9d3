"""The orders of the review queue: what makes one clip come before another. Pure but for the embeddings it is given."""

import zlib
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from annotations.queue_index import Mask, Places, QueueIndex

Keys = npt.NDArray[np.floating]


class QueueOrder(StrEnum):
    """What comes first; clips of which it is not known come last, and equal ones in the order they were stored."""

    LEAST_CERTAIN = "least certain"
    """Labels that a training did not believe, then the highest entropy of the newest answer."""
    SMALLEST_MARGIN = "smallest margin"
    """The first two labels of the newest answer closest together."""
    SOUND_AGAINST_WORDS = "sound against words"
    """Sound and words say the most different things."""
    MOST_DISPUTED = "most disputed"
    """Raters disagree most."""
    MOST_INFORMATIVE = "most informative"
    """Uncertain, and unlike what was judged lately and what comes before it."""
    RANDOM = "random"
    """By chance; the same for one rater every time, another for each."""
    OLDEST = "oldest"
    """As they were stored."""


POOL = 512
"""The least certain clips among which `MOST_INFORMATIVE` looks for ones that differ; the rest follow by certainty."""


ABOVE = 8.0
"""More than the largest key of an order by certainty less the smallest."""

SAMPLED = 4096
"""Keys that are looked at to guess from where on the best ones lie, where there are many times as many."""

RESERVE = 8
"""Of the sampled keys, those that count as best: some hundreds of clips of a million, whatever the page's length."""


def order_keys(index: QueueIndex, order: QueueOrder, rater: str, returned: Places | None = None) -> Keys:
    """A number for each clip: the larger, the earlier it comes.

    Args:
        index: up to date and locked.
        order: for `MOST_INFORMATIVE`, that of its pool.
        rater: whose queue it is.
        returned: clips whose label a training did not believe; `LEAST_CERTAIN` gives them before all others.

    Returns:
        Shape (index.size,), not to be written to.
    """
    size = index.size
    if order is QueueOrder.OLDEST:
        return -np.arange(size, dtype=np.float64)
    if order is QueueOrder.RANDOM:
        return (index.columns["chance"][:size] ^ np.uint32(zlib.crc32(rater.encode()))).astype(np.float64)
    if order is QueueOrder.SMALLEST_MARGIN:
        margins = index.columns["margin"][:size]
        return np.where(margins < 0, margins, 1 - margins)
    name = {
        QueueOrder.SOUND_AGAINST_WORDS: "disagreement",
        QueueOrder.MOST_DISPUTED: "dispute",
    }.get(order, "entropy")
    keys: Keys = index.columns[name][:size]
    return raised(keys, returned) if returned is not None and order is QueueOrder.LEAST_CERTAIN else keys


def raised(keys: Keys, places: Places) -> Keys:
    """The keys with those of some places above all others; among themselves these keep their order.

    >>> raised(np.array([0.5, 0.9, 0.1]), np.array([2, 0])).argsort().tolist()
    [1, 2, 0]
    """
    if not len(places):
        return keys
    keys = keys.copy()
    keys[places] += ABOVE
    return keys


def first_places(keys: Keys, mask: Mask, count: int) -> Places:
    """The places of the largest keys among those of a mask, largest first, equal ones by place.

    A guess from a sample leaves most keys alone, as copying and dividing a million of them is what takes time.

    Args:
        keys: shape (n,).
        mask: which of them count, shape (n,).
        count: how many at most.

    >>> first_places(np.array([0.5, 0.9, 0.5, 0.1]), np.array([True, False, True, True]), 2).tolist()
    [0, 2]
    """
    step = len(keys) // SAMPLED
    if step > RESERVE and count <= RESERVE * step // 2:
        sample = keys[::step][mask[::step]]
        if len(sample) > RESERVE:
            floor = np.partition(sample, len(sample) - RESERVE)[len(sample) - RESERVE]
            places = np.flatnonzero(mask & (keys >= floor))
            if len(places) >= count:
                return best_places(keys[places], places, count)
    places = np.flatnonzero(mask)
    return best_places(keys[places], places, count)


def best_places(keys: Keys, places: Places, count: int) -> Places:
    """The places of the largest keys, largest first, equal ones by place.

    Args:
        keys: shape (n,).
        places: shape (n,), ascending.
        count: how many at most.

    >>> best_places(np.array([0.5, 0.9, 0.5, 0.1]), np.array([3, 5, 7, 9]), 2).tolist()
    [5, 3]
    """
    if len(keys) > count:
        # Many clips may share the smallest key, as most do that nobody disputes: they need no ordering.
        floor = keys.min()
        raised = np.flatnonzero(keys > floor)
        if len(raised) < count:
            chosen = np.concatenate([raised, np.flatnonzero(keys == floor)[: count - len(raised)]])
        else:
            least = np.partition(keys[raised], len(raised) - count)[len(raised) - count]
            above = np.flatnonzero(keys > least)
            chosen = np.concatenate([above, np.flatnonzero(keys == least)[: count - len(above)]])
        keys, places = keys[chosen], places[chosen]
    order: Places = places[np.lexsort((places, -keys))]
    return order


def spread_out(
    uncertainty: npt.NDArray[np.floating],
    vectors: npt.NDArray[np.float32],
    known: npt.NDArray[np.float32],
    count: int,
) -> list[int]:
    """An order in which each clip is uncertain and unlike all before it: the largest product of both comes next.

    Unlike is the cosine distance to the nearest of those before it and of those known.
    Source: greedy cover of the embedding space, Sener and Savarese, Active learning for convolutional neural networks:
    a core-set approach, ICLR 2018, among the most uncertain only, as in Zhdanov, Diverse mini-batch active learning,
    2019.

    Args:
        uncertainty: shape (n,), 0..1.
        vectors: shape (n, size).
        known: shape (m, size), of clips that were judged lately; m may be 0.
        count: how many are wanted.

    Returns:
        The first `count` of them, each of 0..n-1.

    >>> vectors = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    >>> spread_out(np.array([0.9, 0.8, 0.5]), vectors, vectors[:0], 3)
    [0, 2, 1]
    """
    # Embeddings share a large common part, which would make all of them look alike.
    centre = vectors.mean(axis=0) if len(vectors) else 0.0
    points, seen = _unit(vectors - centre), _unit(known - centre)
    distance = np.ones(len(points)) if not len(seen) else 1 - (points @ seen.T).max(axis=1)
    left = np.ones(len(points), np.bool_)
    order: list[int] = []
    for _ in range(min(count, len(points))):
        best = int(np.argmax(np.where(left, uncertainty * distance, -np.inf)))
        order.append(best)
        left[best] = False
        distance = np.minimum(distance, 1 - points @ points[best])
    return order


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)
