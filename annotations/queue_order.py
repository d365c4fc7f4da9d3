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
    """Drawn by chance, the uncertain far likelier; what sounds as something judged lately or before it comes later."""
    RANDOM = "random"
    """By chance; the same for one rater every time, another for each."""
    OLDEST = "oldest"
    """As they were stored."""


POOL = 512
"""The first clips drawn for `MOST_INFORMATIVE`: of those that sound alike, all but one are put last among them."""

POWER = 4.0
"""How much likelier an uncertain clip is drawn: as its entropy to this power. The least certain alone are of few labels
and speakers, those that a model confuses most, and teach less than clips drawn blindly (`benchmarks.learning_curve`).
Source: Kirsch et al. 2023, "Stochastic Batch Acquisition: A Simple Baseline for Deep Active Learning", TMLR,
https://arxiv.org/abs/2106.12059 (power sampling); chosen among 2, 4 and 8."""

ALIKE = 0.9
"""Cosine of two clips' embeddings from which on they count as nearly the same."""

LAST = np.float32(-1e30)
"""Key of clips of which nothing is known."""


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
        order: for `MOST_INFORMATIVE`, that in which its pool is drawn.
        rater: whose queue it is; chance differs between raters.
        returned: clips whose label a training did not believe; `LEAST_CERTAIN` gives them before all others.

    Returns:
        Shape (index.size,), not to be written to.
    """
    size = index.size
    if order is QueueOrder.OLDEST:
        return -np.arange(size, dtype=np.float64)
    if order is QueueOrder.RANDOM:
        return _chances(index, rater).astype(np.float64)
    if order is QueueOrder.MOST_INFORMATIVE:
        return drawn_keys(index.columns["entropy"][:size], _chances(index, rater))
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


def drawn_keys(entropy: npt.NDArray[np.float32], chances: npt.NDArray[np.uint32]) -> Keys:
    """Keys whose order draws clips without putting back, each as likely as its entropy to the `POWER`.

    Source: Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir", Information Processing Letters
    97(5).

    Args:
        entropy: of each answer, 0..1; less than 0 where there is none.
        chances: even over all of uint32, shape as `entropy`.

    Returns:
        Float32, at most 0.

    >>> drawn_keys(np.array([1, 0.5, -1], np.float32), np.full(3, 2**31, np.uint32)).tolist()[1:]
    [-11.090354919433594, -1.0000000150474662e+30]
    """
    even = chances.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    weight = np.maximum(entropy, np.float32(1e-3)) ** np.float32(POWER)
    keys: Keys = np.where(entropy < 0, LAST, np.log(np.minimum(even, np.float32(1 - 2.0**-24))) / weight)
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


def unlike_first(vectors: npt.NDArray[np.float32], known: npt.NDArray[np.float32], count: int) -> list[int]:
    """An order that stays as it is, but for what sounds nearly as something before it or known: that comes last.

    Nothing further is asked of how clips differ: an order in which each clip is as unlike those before it as can be, as
    in Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, ICLR 2018, gives odd
    recordings first, and taught less than chance alone (`benchmarks.learning_curve`).

    Args:
        vectors: shape (n, size).
        known: shape (m, size), of clips that were judged lately; m may be 0.
        count: how many are wanted.

    Returns:
        The first `count` of them, each of 0..n-1.

    >>> vectors = np.array([[1, 0], [1, 0.01], [0, 1]], np.float32)
    >>> unlike_first(vectors, vectors[:0], 3)
    [0, 2, 1]
    """
    # Embeddings share a large common part, which would make all of them look alike.
    centre = vectors.mean(axis=0) if len(vectors) else 0.0
    points, seen = _unit(vectors - centre), _unit(known - centre)
    repeated: Mask = np.any(points @ seen.T > ALIKE, axis=1)
    kept: list[int] = []
    for place in range(len(points)):
        if repeated[place]:
            continue
        kept.append(place)
        if len(kept) == count:
            return kept
        repeated[place + 1 :] |= points[place + 1 :] @ points[place] > ALIKE
    return (kept + np.flatnonzero(repeated).tolist())[:count]


def _unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-9)
