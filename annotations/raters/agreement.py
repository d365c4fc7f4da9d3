"""Agreement between raters: Krippendorff's alpha with an interval, confused labels, and Cohen's kappa of each pair.

Pure numpy over columns of votes, with one reader of the store; who is right is in `annotations.raters.reliability`.
"""

import importlib
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from annotations.raters.ratings import Ratings

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

RESAMPLES = 1000
"""Draws of a bootstrap interval."""

GROUPS = 1000
"""Greatest number of units of the bootstrap; more clips are put into that many groups first."""

LEVEL = 0.95
"""Confidence level of every interval."""

# Source: Krippendorff 2018, "Content Analysis", 4th edition, chapter 12: conclusions from 0.800 on, tentative ones
# from 0.667 on, none below.
RELIABLE, TENTATIVE = 0.8, 0.667

MIN_SHARED = 5
"""Clips that a pair must share: with fewer, kappa means next to nothing."""

MAX_RATERS = 40
"""Raters with the most votes; they have 780 pairs."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of raters beyond chance.

    Attributes:
        alpha: Krippendorff's alpha: 1 complete agreement, 0 as by chance, below it systematic disagreement; None
            where it cannot be said: no clip has two votes, or all votes say the same.
        low: lower end of the 95 % bootstrap interval over clips; None without alpha.
        high: upper end.
        share: how often two raters of one clip say the same, 0..1; None for numbers, and without a pair.
        clips: those with at least two votes; the others say nothing here.
        votes: on those clips.
    """

    alpha: float | None
    low: float | None
    high: float | None
    share: float | None
    clips: int
    votes: int


def label_agreement(ratings: Ratings, *, resamples: int = RESAMPLES) -> Agreement:
    """Krippendorff's alpha on the label, over everyone's newest standing votes that carry one.

    It is the nominal one where every vote names one label; a vote that spreads over several counts as that
    distribution: see `agreement`.

    Args:
        ratings: of all raters.
        resamples: draws for the interval; 0 leaves it out.
    """
    votes = ratings.labelled()
    return agreement(votes.clips, votes.shares, resamples=resamples)


def scale_agreement(ratings: Ratings, scale: str, *, resamples: int = RESAMPLES) -> Agreement:
    """Agreement on one of `annotations.raters.ratings.SCALES`: interval alpha; votes without a number are left out."""
    values = ratings.scales[scale]
    given = ~np.isnan(values)
    found = agreement(ratings.clips[given], values[given, None], resamples=resamples)
    return Agreement(found.alpha, found.low, found.high, None, found.clips, found.votes)


def agreement_by_label(ratings: Ratings, *, resamples: int = RESAMPLES) -> dict[str, Agreement]:
    """Compute, for each emotion, the agreement on its presence.

    `share` is here the specific agreement: how often a second rater also names the emotion when a first one did.
    Source: Krippendorff 2018, chapter 12 (alpha of one category against the rest); Fleiss, Levin & Paik 2003,
    "Statistical Methods for Rates and Proportions", section 18.1 (specific agreement).
    """
    votes = ratings.labelled()
    return {
        label: agreement(votes.clips, votes.shares[:, [index]], resamples=resamples, specific=True)
        for index, label in enumerate(votes.labels)
    }


def agreement(clips: Codes, values: Numbers, *, resamples: int = RESAMPLES, specific: bool = False) -> Agreement:
    """Krippendorff's alpha with squared Euclidean distance between values.

    On one-hot rows that distance is 0 or 2, and alpha is the nominal one; on one column of numbers it is the
    interval one; on rows that spread over labels it grows with how far two distributions lie apart. A clip drawn
    into the bootstrap brings all its votes. Written out, because the `krippendorff` package knows neither
    distributions nor weights for clips: a thousand draws over 100,000 votes would take it minutes. The tests hold
    its figures against these.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability",
    https://repository.upenn.edu/asc_papers/43; clips as what is drawn: Zapf et al. 2016, BMC Medical Research
    Methodology 16:93.

    Args:
        clips: of each vote, shape (votes,).
        values: of each vote, shape (votes, dimensions).
        resamples: draws for the interval; 0 leaves it out.
        specific: give as `share` the specific agreement on a single 0/1 column.

    >>> same, split = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> found = agreement(np.array([1, 1, 2, 2]), np.vstack([same, split]))
    >>> round(found.alpha, 3), found.share, found.clips
    (0.0, 0.5, 2)
    """
    units = _units(clips, values)
    if not len(units):
        return Agreement(None, None, None, None, 0, 0)
    total = units.sum(0)
    alpha = float(_alphas(total[None])[0])
    votes, observed = total[0], total[1] / (2 * total[0])
    share = _specific(total) if specific else 1 - float(observed)
    size = len(units), round(votes)
    if np.isnan(alpha):
        return Agreement(None, None, None, share, *size)
    if not resamples or len(units) == 1:
        return Agreement(alpha, None, None, share, *size)
    drawn = _alphas(_resample(units, resamples))
    # A draw of clips on which everybody says the same has no alpha.
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Agreement(alpha, None, None, share, *size)
    low, high = np.percentile(known, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Agreement(alpha, float(low), float(high), share, *size)


def confusion_between_raters(ratings: Ratings) -> Numbers:
    """Compute how often another rater names the column's label when one names the row's; rows sum to 1, or are all NaN.

    The coincidence matrix of Krippendorff's alpha with its rows brought to 1, shape (labels, labels).
    """
    votes = ratings.labelled()
    _, unit = np.unique(votes.clips, return_inverse=True)
    sums = np.zeros((unit.max() + 1 if len(unit) else 0, len(votes.labels)))
    np.add.at(sums, unit, votes.shares)
    size = np.bincount(unit, minlength=len(sums)).astype(float)
    several = size >= 2
    weight = 1 / (size[several] - 1)
    # Each vote is paired with the others of its clip, not with itself.
    together = (sums[several] * weight[:, None]).T @ sums[several]
    kept = several[unit]
    itself = (votes.shares[kept] / (size[unit[kept]] - 1)[:, None]).T @ votes.shares[kept]
    pairs = together - itself
    rows = pairs.sum(1, keepdims=True)
    return np.divide(pairs, rows, out=np.full_like(pairs, np.nan), where=rows > 1e-9)


def in_words(found: Agreement) -> str:
    """Explain an alpha in a sentence for people who do not know it.

    >>> in_words(Agreement(0.28, 0.27, 0.29, 0.5, 7442, 68568))
    'Weak: a single vote says little, only several together do.'
    """
    if not found.clips:
        return "Nobody can say yet: no clip has votes of two people."
    if found.alpha is None:
        return "All votes say the same, so agreement cannot be distinguished from chance."
    if found.alpha >= RELIABLE:
        return "Strong: votes can be relied upon."
    if found.alpha >= TENTATIVE:
        return "Fair: good enough for tentative conclusions."
    if found.low is not None and found.low <= 0:
        return "Not measurably better than chance: more votes, or clearer guidelines, are needed."
    return "Weak: a single vote says little, only several together do."


def as_dict(found: Agreement) -> dict[str, float | int | None]:
    """An agreement as plain values for JSON, rounded to four places."""
    return {name: value if value is None else round(value, 4) for name, value in asdict(found).items()}


def _units(clips: Codes, values: Numbers) -> Numbers:
    """Sum up each clip with two votes: their number, within-clip distance, sum of squares, sums."""
    _, unit = np.unique(clips, return_inverse=True)
    size = np.bincount(unit).astype(float)
    sums = np.stack([np.bincount(unit, column) for column in values.T], axis=1) if len(unit) else np.zeros((0, 1))
    squares = np.bincount(unit, (values**2).sum(1))
    pairs = 2 * (size * squares - (sums**2).sum(1))
    within = np.divide(pairs, size - 1, out=np.zeros_like(size), where=size > 1)
    return np.column_stack([size, within, squares, sums])[size > 1]


def _alphas(totals: Numbers) -> Numbers:
    """Alpha from sums over clips, shape (draws, 3 + dimensions); NaN where all values are alike."""
    size, within, squares = totals[:, 0], totals[:, 1], totals[:, 2]
    apart = 2 * (size * squares - (totals[:, 3:] ** 2).sum(1))
    known = apart > 1e-9 * np.maximum(size * squares, 1.0)
    ratio = np.divide(within * (size - 1), apart, out=np.full_like(apart, np.nan), where=known)
    return np.asarray(1 - ratio)


def _specific(total: Numbers) -> float | None:
    # On a 0/1 column half the distance is the number of pairs apart, from either side.
    named = float(total[3])
    return None if named < 1e-9 else 1 - float(total[1]) / (2 * named)


def _resample(units: Numbers, resamples: int) -> Numbers:
    """Sums over clips drawn with replacement, shape (resamples, columns)."""
    random = np.random.default_rng(0)
    if len(units) > GROUPS:
        # Sums over clips thrown together by lot vary as the clips do: the width is right to some 2 %, at a price
        # that does not grow with the votes.
        shuffled = random.permutation(units)
        units = np.add.reduceat(shuffled, np.arange(0, len(units), -(-len(units) // GROUPS)))
    evenly = np.full(len(units), 1 / len(units))
    return np.asarray(random.multinomial(len(units), evenly, size=resamples) @ units)


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


def pairwise_kappa(ratings: Ratings, *, least: int = MIN_SHARED) -> list[PairAgreement]:
    """Compute Cohen's kappa of every pair of raters.

    Of a distribution over labels the largest share counts.

    Source: Cohen 1960, "A Coefficient of Agreement for Nominal Scales", https://doi.org/10.1177/001316446002000104

    Args:
        ratings: everyone's standing votes; those without a label do not count.
        least: clips that a pair must share to be listed.

    Returns:
        Pairs in alphabetical order.
    """
    votes = ratings.labelled()
    counts = np.bincount(votes.raters, minlength=len(ratings.names))
    chosen = sorted(np.argsort(-counts, kind="stable")[:MAX_RATERS].tolist(), key=lambda rater: ratings.names[rater])
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
        one: places in the label set, shape (clips,), at least one clip.
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
