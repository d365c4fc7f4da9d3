"""How far two raters agree beyond chance, for every pair that has judged the same clips. Pure; knows no storage."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotations.ratings import Codes, Ratings
from ser.labels import EMOTIONS

MIN_SHARED = 5
"""Clips that a pair must share: with fewer, kappa says next to nothing."""

MAX_RATERS = 40
"""Of those with the most votes; their pairs are 780."""


@dataclass(frozen=True)
class PairAgreement:
    """Two raters on the clips that both have labelled.

    Attributes:
        first: name, before `second` in the alphabet.
        clips: how many both have labelled.
        share: of them with the same label, 0..1.
        kappa: Cohen's: 1 complete agreement, 0 no more than chance; None where both gave all the same one label.
    """

    first: str
    second: str
    clips: int
    share: float
    kappa: float | None


def pairwise_kappa(ratings: Ratings, *, least: int = MIN_SHARED, most: int = MAX_RATERS) -> list[PairAgreement]:
    """Cohen's kappa of every pair of raters.

    Of a distribution over labels the largest share counts.

    Source: Cohen 1960, "A Coefficient of Agreement for Nominal Scales", https://doi.org/10.1177/001316446002000104

    Args:
        ratings: everyone's standing votes; those without a label are left out.
        least: clips that a pair must share to be listed.
        most: raters that are looked at, those with the most votes.

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
    """Share of equal labels, and what of it is more than chance.

    Args:
        one: places in `EMOTIONS`, shape (clips,), at least one clip.
        other: of the other rater, same shape.

    >>> cohens_kappa(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 0]))
    (0.75, 0.5)
    """
    share = float((one == other).mean())
    ours, theirs = (np.bincount(labels, minlength=len(EMOTIONS)) / len(labels) for labels in (one, other))
    chance = float(ours @ theirs)
    return share, None if chance >= 1.0 else (share - chance) / (1.0 - chance)
