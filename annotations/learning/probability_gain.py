"""How much more probable a new model holds what is true, its confidence as such apart: what labels alone tell too late.

Pure: probabilities in, figures out. Knows no model and no database, and decides nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from ser.calibration import fit_temperature
from ser.types import EmotionScores

FLOOR = 0.02
"""No label is taken to be less probable: one clip must not outweigh all others."""

TEMPERATURES = (0.05, 100.0)
"""As good as no bounds, so that a model that knows nothing comes out as one that says nothing."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ProbabilityGain:
    """How much nearer the new probabilities are to the truth, in nats; e to that power is how many times as probable.

    Attributes:
        gain: mean over labels of the mean over their clips of the difference in log probability, after minus before.
        low: end of the bootstrap interval that is passed by the stated share of the draws.
        high: the other end.
        p_value: chance of such a gain or a larger one, were the two models equally good.
    """

    gain: float
    low: float
    high: float
    p_value: float

    def as_dict(self) -> dict[str, float]:
        """As the store keeps it."""
        return {name: round(value, 5) for name, value in asdict(self).items()}

    def words(self) -> str:
        """In words, as a factor.

        >>> ProbabilityGain(0.1, -0.02, 0.2, 0.07).words()
        'what is true is 1.11 times as probable to it [0.98, 1.22]'
        """
        value, low, high = (math.exp(each) for each in (self.gain, self.low, self.high))
        return f"what is true is {value:.2f} times as probable to it [{low:.2f}, {high:.2f}]"


def stacked(scores: Sequence[EmotionScores]) -> Array:
    """As an array of shape (clips, labels).

    >>> stacked([EmotionScores((0.5, 0.5, 0, 0, 0, 0, 0))]).shape
    (1, 7)
    """
    return np.array([said.probabilities for said in scores], dtype=np.float64).reshape(len(scores), -1)


def true_log_probabilities(probabilities: Array, shares: Array) -> Array:
    """Log probability of what is true, label by label, at the temperature that suits the model best on these clips.

    Each model is given its own best temperature, so that one which is only more or less sure gains nothing; the fit is
    of one number, and both models are given it alike. Source: the logarithmic score, Gneiting & Raftery 2007, "Strictly
    Proper Scoring Rules, Prediction, and Estimation", https://doi.org/10.1198/016214506000001437

    Args:
        probabilities: of each clip, shape (clips, labels).
        shares: what each clip is, same shape, rows of sum 1.

    Returns:
        Of the same shape: 0 where a label has no share.

    >>> shares = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> sure = np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    >>> surer = sure**3 / (sure**3).sum(1, keepdims=True)
    >>> bool(np.abs(true_log_probabilities(sure, shares) - true_log_probabilities(surer, shares)).max() < 1e-4)
    True
    """
    logits = np.log(np.clip(probabilities, 1e-9, 1.0))
    totals = shares.sum(0)
    # Labels count alike, as they do in unweighted average recall.
    wanted = shares * np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    scaled = logits / fit_temperature(logits, wanted, limits=TEMPERATURES)
    scaled -= scaled.max(1, keepdims=True)
    chances = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    return np.asarray(shares * np.log(np.maximum(chances, FLOOR)))
