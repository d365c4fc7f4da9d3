"""The orders of the review queue: what makes one clip come before another. Pure."""

import zlib
from collections.abc import Iterator
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from annotations.review.index import Mask, Places, QueueIndex

Keys = npt.NDArray[np.floating]


class QueueOrder(StrEnum):
    """Order of the queue; clips without the value come last, equal ones in the order they were stored."""

    LEAST_CERTAIN = "least certain"
    """Suspected label errors, then the highest entropy of the newest prediction."""
    SMALLEST_MARGIN = "smallest margin"
    """The first two labels of the newest prediction closest together."""
    SOUND_AGAINST_WORDS = "sound against words"
    """Voice and words disagree most."""
    MOST_DISPUTED = "most disputed"
    """Raters disagree most."""
    MOST_INFORMATIVE = "most informative"
    """Of randomly drawn clips, those typical of many others and unlike recent and earlier ones."""
    NEW_OR_SECOND = "new or second vote"
    """A first vote on the most informative new clip, or another one on a doubtful clip, whichever tells more."""
    RANDOM = "random"
    """Random; the same for one rater every time, another for each."""
    OLDEST = "oldest"
    """In the order they were stored."""


RETURNED_FIRST = (QueueOrder.LEAST_CERTAIN, QueueOrder.MOST_INFORMATIVE, QueueOrder.NEW_OR_SECOND)
"""Orders that give suspected label errors, and what was queued again, before all others."""

DEFAULT_ORDER = QueueOrder.MOST_INFORMATIVE
"""Suspected label errors first, then clips that are unlike each other. No order trained a better model than chance did
(benchmarks/README.md, "Retraining")."""

POOL = 512
"""Clips that are drawn for `MOST_INFORMATIVE`; they stand for all that nobody has labelled."""

SIMILARITY_POWER = 2.0
"""Power of the cosine between two embeddings: the higher, the more alike clips must be to stand for one another."""

FAR = 3.0
"""Deviations beyond which a measured number counts as this: a recording unlike any other must not decide alone."""


ABOVE = 8.0
"""Difference larger than that of any two keys of an order by certainty."""

SAMPLED = 4096
"""Keys that are looked at to guess from where on the best ones lie, if there are many times as many."""

RESERVE = 8
"""Number of sampled keys that count as best: some hundreds of clips of a million, whatever the page's length."""


def order_keys(index: QueueIndex, order: QueueOrder, rater: str, returned: Places | None = None) -> Keys:
    """A number for each clip: the larger, the earlier it comes.

    Args:
        index: up to date and locked.
        order: which; for `MOST_INFORMATIVE` that in which its pool is drawn.
        rater: whose queue it is; chance differs between raters.
        returned: clips with a suspected label error; `LEAST_CERTAIN` gives them before all others.

    Returns:
        Shape (index.size,), not to be written to.
    """
    size = index.size
    if order is QueueOrder.OLDEST:
        return -np.arange(size, dtype=np.float64)
    if order in (QueueOrder.RANDOM, QueueOrder.MOST_INFORMATIVE):
        return _chances(index, rater).astype(np.float64)
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


def _chances(index: QueueIndex, rater: str) -> npt.NDArray[np.uint32]:
    drawn: npt.NDArray[np.uint32] = index.columns["chance"][: index.size] ^ np.uint32(zlib.crc32(rater.encode()))
    return drawn


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


def covering(embeddings: npt.NDArray[np.floating], known: npt.NDArray[np.floating]) -> Iterator[int]:
    """An order in which each clip stands for as much as possible of what those before it leave uncovered.

    A clip covers another as far as their embeddings are alike; each counts with the one that covers it best.
    Uncertainty has no say: clips that a model is unsure of improved it no more than random ones, also where each new
    model predicted again (`benchmarks.learning_curve`).
    Source: Wei, Iyer and Bilmes 2015, "Submodularity in data subset selection and active learning", ICML (greedy
    facility location).

    Args:
        embeddings: shape (n, size).
        known: shape (m, size), of clips that were labelled lately; m may be 0.

    Yields:
        Each of 0..n-1, once.

    >>> embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.9, 0.0], [0.0, 1.0]])
    >>> list(covering(embeddings, embeddings[:0]))[:2], next(covering(embeddings, embeddings[:1]))
    ([0, 3], 3)
    """
    # Measured numbers have scales of their own, and a large part that all clips share.
    centre, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
    scale[scale == 0] = 1.0
    points, seen = (_unit(((part - centre) / scale).clip(-FAR, FAR)) for part in (embeddings, known))
    alike = _alike(points, points)
    covered = _alike(points, seen).max(axis=1, initial=0.0)
    gains = np.maximum(alike - covered, 0.0).sum(axis=1)
    for _ in range(len(points)):
        place = int(gains.argmax())
        gains[place] = -np.inf
        # Only what this clip covers better than those before it changes what the others would add.
        better = np.flatnonzero(alike[place] > covered)
        part, now = alike[:, better], alike[place, better]
        gains -= np.maximum(part - covered[better], 0.0).sum(axis=1) - np.maximum(part - now, 0.0).sum(axis=1)
        covered[better] = now
        yield place


def _alike(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.maximum(one @ other.T, 0.0) ** SIMILARITY_POWER


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)
