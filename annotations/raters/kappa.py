"""Agreement beyond chance of every pair of raters who labelled the same clips. Pure; knows no storage."""

import importlib
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotations.raters.ratings import Codes, Ratings

MIN_SHARED = 5
"""Clips that a pair must share: with fewer, kappa means next to nothing."""

MAX_RATERS = 40
"""Raters with the most votes; they have 780 pairs."""


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two raters on the clips that both have labelled.

    Attributes:
        first: name, before `second` in the alphabet.
        clips: number of clips that both have labelled.
        share: share of them with the same label, 0..1.
        kappa: Cohen's: 1 complete agreement, 0 no more than chance; None if both gave all clips the same one label.
    """

    first: str
    second: str
    clips: int
    share: float
    kappa: float | None


def pairwise_kappa(ratings: Ratings, *, least: int = MIN_SHARED, most: int = MAX_RATERS) -> list[PairAgreement]:
    """Compute Cohen's kappa of every pair of raters.

    Of a distribution over labels the largest share counts.

    Source: Cohen 1960, "A Coefficient of Agreement for Nominal Scales", https://doi.org/10.1177/001316446002000104

    Args:
        ratings: everyone's standing votes; those without a label do not count.
        least: clips that a pair must share to be listed.
        most: greatest number of raters, those with the most votes.

    Returns:
        Pairs in alphabetical order.
    """
    votes = ratings.labelled()
    counts = np.bincount(votes.raters, minlength=len(ratings.names))
    chosen = sorted(np.argsort(-counts, kind="stable")[:most].tolist(), key=lambda rater: ratings.names[rater])
    _, clips = np.unique(votes.clips, return_inverse=True)
    labels = votes.shares.argmax(1)
    table = np.full((len(ratings.names), clips.max() + 1 if len(clips) else 0), -1, dtype=np.int8)
    table[votes.raters, clips] = labels
    pairs = []
    for one, other in combinations(chosen, 2):
        both = (table[one] >= 0) & (table[other] >= 0)
        if int(both.sum()) >= max(1, least):
            share, kappa = cohens_kappa(table[one, both], table[other, both])
            pairs.append(PairAgreement(ratings.names[one], ratings.names[other], int(both.sum()), share, kappa))
    return pairs


def cohens_kappa(one: Codes | npt.NDArray[np.int8], other: Codes | npt.NDArray[np.int8]) -> tuple[float, float | None]:
    """Compute the share of equal labels, and Cohen's kappa.

    Args:
        one: places in `EMOTIONS`, shape (clips,), at least one clip.
        other: of the other rater, same shape.

    >>> cohens_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    (0.75, 0.5)
    """
    share = float((one == other).mean())
    if len({*one.tolist(), *other.tolist()}) == 1:  # Chance alone agrees as often.
        return share, None
    # By name: only the Insights tab needs scikit-learn.
    metrics = importlib.import_module("sklearn.metrics")
    return share, float(metrics.cohen_kappa_score(one, other))
