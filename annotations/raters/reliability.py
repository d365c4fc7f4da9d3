"""Reliability of raters, and soft labels that take it into account.

Votes by name in, soft labels and figures out, by the model of `annotations.raters.consensus`. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from annotations.raters import consensus
from annotations.raters.consensus import Fit, Votes
from annotations.raters.ratings import Ratings
from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]

UNSURE_WEIGHT = 0.5
"""Weight of a vote whose rater was unsure."""

LEAST_SHARE = 0.01
"""Smaller probabilities are left out of a soft label: they say nothing and make every label a mix of seven."""

IMAGINED_VOTES = 4.0
"""Imagined votes behind the interval of a rater without a vote."""

DRAWS = 2000
"""Draws for the interval of each rater's reliability."""

LEVEL = 0.95


@dataclass(frozen=True)
class RaterReliability:
    """Reliability of a rater.

    Attributes:
        rater: who.
        votes: labels of theirs that it rests on.
        reliability: how often their label is the right one, 0..1, were all emotions equally common; pulled towards
            the average of all raters as far as their votes are few. A random voter has 1/7, and listeners of acted
            emotions by voice alone 0.41 of six: compare raters of one collection with each other.
        interval: (low, high) of 95 %, wide where votes are few.
        gold_right: their votes on gold clips that name the known label.
        gold_total: their votes on gold clips.
    """

    rater: str
    votes: int
    reliability: float
    interval: tuple[float, float]
    gold_right: int = 0
    gold_total: int = 0


@dataclass(frozen=True)
class Consensus:
    """Soft labels and raters of some votes.

    Attributes:
        soft_labels: {clip: {label: probability}} of every clip with a vote that names a label; probabilities sum to 1.
        raters: their reliability, by name.
        confusion: all raters' together, shape (labels, labels): the row is the right label, the column the vote.
    """

    soft_labels: Mapping[int, Mapping[str, float]]
    raters: Sequence[RaterReliability]
    confusion: Numbers = field(compare=False)


def agree(ratings: Ratings, gold: Mapping[int, str]) -> Consensus:
    """Fit the model to votes.

    Args:
        ratings: as `read_ratings` gives them.
        gold: {clip: known label}.
    """
    given = ratings.labelled()
    if not len(given):
        return Consensus({}, [], np.full((len(given.labels), len(given.labels)), 1 / len(given.labels)))
    clips, places = np.unique(given.clips, return_inverse=True)
    place = {label: index for index, label in enumerate(given.labels)}
    known = np.array([place[gold[clip]] if clip in gold else -1 for clip in clips.tolist()], dtype=np.int64)
    weights = np.where(given.unsure, UNSURE_WEIGHT, 1.0)
    votes = Votes(places, given.raters, given.shares, weights)
    fitted = consensus.fit(votes, known, len(given.names))
    labels = {clip: to_soft_label(row, given.labels) for clip, row in zip(clips.tolist(), fitted.truth, strict=True)}
    return Consensus(labels, _raters(given, votes, known, fitted), fitted.pooled)


def to_soft_label(row: Numbers, labels: Sequence[str] = EMOTIONS) -> dict[str, float]:
    """Convert probabilities of shape (labels,) to {label: share}, without shares under `LEAST_SHARE`."""
    kept = np.where(row >= LEAST_SHARE, row, 0.0)
    kept /= kept.sum()
    return {label: float(share) for label, share in zip(labels, kept, strict=True) if share > 0}


def _raters(given: Ratings, votes: Votes, known: npt.NDArray[np.int64], fitted: Fit) -> list[RaterReliability]:
    # A label that hardly any clip has says nothing of a rater: there only the prior would speak.
    occurs = fitted.truth.sum(0) >= min(1.0, fitted.truth.sum(0).max())
    random = np.random.default_rng(0)
    gold = known[votes.clips]
    right = (gold >= 0) & (votes.shares.argmax(1) == gold)
    size = len(given.names)
    counts = [np.bincount(votes.raters, chosen, minlength=size) for chosen in (votes.weights, right, gold >= 0)]
    number = np.bincount(votes.raters, minlength=size)
    found = []
    for index in np.flatnonzero(number).tolist():
        reliability = float(np.diag(fitted.confusion[index])[occurs].mean())
        # Not from the rows of the fit: who is careless is so on every label, and the rows' prior hides that.
        behind = counts[0][index] + IMAGINED_VOTES
        drawn = random.beta(max(reliability * behind, 1e-6), max((1 - reliability) * behind, 1e-6), DRAWS)
        low, high = np.percentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
        found.append(
            RaterReliability(
                rater=given.names[index],
                votes=int(number[index]),
                reliability=reliability,
                interval=(float(low), float(high)),
                gold_right=round(counts[1][index]),
                gold_total=round(counts[2][index]),
            )
        )
    return found
