"""Says when an answer should not be relied on: its two likeliest emotions are near, or the recording is novel. Pure."""

import numpy as np
import numpy.typing as npt

from ser.types import EmotionScores

MIN_MARGIN = 0.15
"""Distance of the two largest probabilities below which an answer is unsure."""

NOVELTY_LIMIT = 1.0
"""Novelty above which a recording is unlike anything known; see `ser.acoustic.novelty`."""


def find_doubt(scores: EmotionScores, novelty: float | None = None) -> str | None:
    """The reason not to rely on an answer, as a sentence; None where nothing speaks against it.

    Args:
        scores: the whole answer.
        novelty: of the recording, 1 at the limit of what is known; None where the model does not tell.

    >>> find_doubt(EmotionScores.from_dict({"anger": 0.45, "fear": 0.4, "sadness": 0.15}))
    'Anger (45 %) and fear (40 %) are nearly as likely.'
    >>> find_doubt(EmotionScores.from_dict({"anger": 0.9, "fear": 0.1}), novelty=1.3)
    'This recording is unlike the speech that the model was trained on.'
    """
    if novelty is not None and novelty > NOVELTY_LIMIT:
        return "This recording is unlike the speech that the model was trained on."
    (first, p), (second, q) = sorted(scores.as_dict().items(), key=lambda pair: -pair[1])[:2]
    if p - q < MIN_MARGIN:
        return f"{first.capitalize()} ({p:.0%}) and {second} ({q:.0%}) are nearly as likely.".replace("%", " %")
    return None


def risk_coverage(right: npt.ArrayLike, certainty: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Accuracy on the most certain share of the answers, for every share.

    Source: El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification",
    https://jmlr.org/papers/v11/el-yaniv10a.html

    Args:
        right: of each answer, shape (answers,).
        certainty: of each answer; ties count in the order given.

    Returns:
        Shape (answers,): entry k - 1 is the accuracy on the k most certain ones.

    >>> risk_coverage([False, True, True, False], [0.2, 0.9, 0.8, 0.6]).round(2).tolist()
    [1.0, 1.0, 0.67, 0.5]
    """
    order = np.argsort(-np.asarray(certainty), kind="stable")
    correct = np.asarray(right, dtype=np.float64)[order]
    return np.asarray(np.cumsum(correct) / np.arange(1, len(correct) + 1))
