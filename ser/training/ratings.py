"""Fits linear predictors of ratings, such as valence, on embeddings, and tells if they agree with raters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from ser.acoustic.head import ClassifierHead

FEWEST_CLIPS, FEWEST_GROUPS = 60, 3
"""Fewest rated clips, and speakers among them: with fewer nothing is fitted."""

LEAST_CONCORDANCE = 0.2
"""Agreement with raters below which a predictor is not kept."""

FOLDS = 5
PENALTIES = (0.1, 0.3, 1.0, 3.0)
"""Of ridge regression, relative to the mean squared length of an embedding."""

WIDEST = 3.0
"""Greatest factor by which predictions are spread: a penalised fit lies nearer to the mean than what it predicts."""

Array = npt.NDArray[np.floating]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RatingFit:
    """A predictor of one rating from standardised embeddings.

    Attributes:
        weights: shape (size,).
        bias: added to the sum.
        concordance: with the ratings of clips whose speakers it was not fitted on.
        clips: number of rated clips.
        speakers: number of speakers among them.
    """

    weights: npt.NDArray[np.float32]
    bias: float
    concordance: float
    clips: int
    speakers: int

    @property
    def kept(self) -> bool:
        """True if it agrees well enough with raters to be shown."""
        return self.concordance >= LEAST_CONCORDANCE


def concordance(predicted: Array, given: Array) -> float:
    """Lin's concordance correlation: 1 for equal numbers, 0 for unrelated ones; lower for other means or spreads.

    Source: Lin 1989, "A Concordance Correlation Coefficient to Evaluate Reproducibility", Biometrics 45(1).

    >>> concordance(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    apart = (predicted.mean() - given.mean()) ** 2
    total = predicted.var() + given.var() + apart
    return float(2 * np.cov(predicted, given, bias=True)[0, 1] / total) if total > 0 else 0.0


def fit_rating(
    embeddings: Array, ratings: Array, groups: Sequence[str], folds: npt.NDArray[np.int64]
) -> RatingFit | None:
    """Fit a predictor; penalty and spread are chosen on speakers left out.

    Args:
        embeddings: standardised, shape (clips, size).
        ratings: of each clip, NaN where nobody gave one.
        groups: who speaks in each clip.
        folds: of each clip; no group is in two.

    Returns:
        None if there are too few ratings, or all are equal.
    """
    rows = [row for row, known in enumerate(~np.isnan(ratings)) if known]
    speakers = {groups[row] for row in rows}
    if len(rows) < FEWEST_CLIPS or len(speakers) < FEWEST_GROUPS or ratings[rows].std() == 0:
        return None
    points, wanted, parts = embeddings[rows].astype(np.float64), ratings[rows].astype(np.float64), folds[rows]
    size = float((points**2).sum(1).mean())
    kernel = points @ points.T / size
    left_out = np.stack([_out_of_fold(kernel, wanted, parts, penalty) for penalty in PENALTIES])
    place = int(np.argmax([concordance(_spread(said, wanted), wanted) for said in left_out]))
    said = left_out[place]
    # The spread of a fold's predictions is that of the other folds': what is reported has seen nothing of the speaker.
    scaled = np.empty(len(rows))
    for fold in np.unique(parts):
        own, rest = parts == fold, parts != fold
        scaled[own] = _spread(said[rest], wanted[rest], said[own])
    middle = float(wanted.mean())
    coefficients = _solve(kernel, wanted - middle, PENALTIES[place])
    factor = _factor(said, wanted)
    weights = factor * (points.T @ coefficients) / size
    return RatingFit(weights.astype(np.float32), middle, concordance(scaled, wanted), len(rows), len(speakers))


def rated_words(rated: Mapping[str, RatingFit]) -> str:
    """Say how well ratings are predicted on other speakers; empty if there are none."""
    said = [
        f"{name} is {'predicted, too' if fit.kept else 'not predicted yet'} (concordance {fit.concordance:.2f} with "
        f"raters of {fit.speakers} speaker{'' if fit.speakers == 1 else 's'} left out in turn, "
        f"{fit.clips} clip{'' if fit.clips == 1 else 's'})"
        for name, fit in rated.items()
    ]
    return "; ".join(said)


def with_ratings(head: ClassifierHead, rated: Mapping[str, RatingFit]) -> ClassifierHead:
    """The head with predictors of ratings; as it is without any."""
    if not rated:
        return head
    return replace(
        head,
        ratings={name: fit.concordance for name, fit in rated.items()},
        rating_weights=np.stack([fit.weights for fit in rated.values()], axis=1),
        rating_bias=np.array([fit.bias for fit in rated.values()], dtype=np.float32),
    )


def _out_of_fold(kernel: Numbers, wanted: Numbers, folds: npt.NDArray[np.int64], penalty: float) -> Numbers:
    said = np.empty(len(wanted))
    for fold in np.unique(folds):
        own, rest = folds == fold, folds != fold
        middle = wanted[rest].mean()
        said[own] = middle + kernel[np.ix_(own, rest)] @ _solve(
            kernel[np.ix_(rest, rest)], wanted[rest] - middle, penalty
        )
    return said


def _solve(kernel: Numbers, wanted: Numbers, penalty: float) -> Numbers:
    return np.asarray(cho_solve(cho_factor(kernel + penalty * np.eye(len(kernel))), wanted))


def _factor(said: Numbers, wanted: Numbers) -> float:
    return float(np.clip(wanted.std() / max(said.std(), 1e-9), 1.0, WIDEST))


def _spread(said: Numbers, wanted: Numbers, asked: Numbers | None = None) -> Numbers:
    """Predictions with the spread of the ratings, around their mean."""
    asked = said if asked is None else asked
    return np.asarray(wanted.mean() + _factor(said, wanted) * (asked - said.mean()))
