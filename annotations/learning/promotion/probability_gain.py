"""Gain in the probability of the correct label: it shows a gain earlier than labels alone do.

Pure: probabilities in, figures out. Knows no model and no database, and decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ser.labels import EMOTIONS
from ser.types import EmotionScores

FLOOR = 0.02
"""Least probability of a label: one clip must not outweigh all others."""

EVEN_SHARE = 0.2
"""Share of even odds that probabilities are mixed with before a gain is tested: the more, the less a few surprises
count, and the more true gains are found, but also the more often one of two unrelated models of equal worth wins."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProbabilityGain:
    """Gain in log probability of the correct label, in nats, all mixed with even odds; e to that power is the factor.

    Attributes:
        gain: mean over labels of the mean over their clips of the difference in log probability, after minus before.
        low: end of the bootstrap interval that is passed by the stated share of the draws.
        high: the other end.
        p_value: chance of such a gain or a larger one between two models that are equally good.
    """

    gain: float
    low: float
    high: float
    p_value: float

    def as_dict(self) -> dict[str, float]:
        """Convert to JSON values for the store."""
        return {name: round(value, 5) for name, value in asdict(self).items()}

    def words(self) -> str:
        """Express it in words, as a factor.

        >>> ProbabilityGain(0.1, -0.02, 0.2, 0.07).words()
        'the correct label gets 1.11x the smoothed probability [0.98, 1.22]'
        """
        value, low, high = (math.exp(each) for each in (self.gain, self.low, self.high))
        return f"the correct label gets {value:.2f}x the smoothed probability [{low:.2f}, {high:.2f}]"


def stacked(scores: Sequence[EmotionScores]) -> Array:
    """Stack probabilities into an array of shape (clips, labels).

    >>> stacked([EmotionScores((0.5, 0.5, 0, 0, 0, 0, 0))]).shape
    (1, 7)
    """
    return np.array([said.probabilities for said in scores], dtype=np.float64).reshape(len(scores), len(EMOTIONS))


def true_log_probabilities(probabilities: Array, shares: Array, even_share: float = 0.0) -> Array:
    """Log probability of what is true, label by label.

    Source: the logarithmic score, Gneiting & Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation",
    https://doi.org/10.1198/016214506000001437

    Args:
        probabilities: of each clip, shape (clips, labels); see `annotations.learning.promotion.label_knowledge.adjust`.
        shares: what each clip is, same shape, rows of sum 1.
        even_share: of even odds, that the probabilities are mixed with.

    Returns:
        Of the same shape: 0 where a label has no share.
    """
    mixed = (1.0 - even_share) * probabilities + even_share / probabilities.shape[1]
    return np.asarray(shares * np.log(np.maximum(mixed, FLOOR)))


def mean_log_probability(probabilities: Array, shares: Array) -> float:
    """Mean over labels of the mean log probability of what is true over their clips, in nats.

    >>> round(mean_log_probability(np.array([[0.5, 0.5]] * 3), np.eye(2)[[0, 0, 1]]), 3)
    -0.693
    """
    totals = shares.sum(0)
    occurs = totals > 0
    return float((true_log_probabilities(probabilities, shares).sum(0)[occurs] / totals[occurs]).mean())
