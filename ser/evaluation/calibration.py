"""How honest confidence is, and the one temperature for all logits that makes it more so. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser.evaluation.metrics import indices_of

ECE_BINS = 15
"""Equal-width bins over 0..1. Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 5."""

TEMPERATURE_RANGE = (0.4, 4.0)
"""Outside of it the dev examples say nothing useful (too few, or all alike)."""


def fit_temperature(
    logits: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating] | None = None,
    limits: tuple[float, float] = TEMPERATURE_RANGE,
) -> float:
    """The temperature under which the logits explain the truths best (least cross entropy).

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599

    Args:
        logits: shape (examples, labels).
        targets: probabilities of the same shape.
        weights: shape (examples,); all alike where None.
        limits: of the temperature.

    Returns:
        Within `limits`; above 1 makes answers less sure.

    >>> certain = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]], dtype=np.float32)
    >>> fit_temperature(certain, np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)) > 1.5
    True
    """
    shares = np.ones(len(logits)) if weights is None else weights.astype(np.float64)
    values = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = values / np.exp(log_temperature)
        top = scaled.max(1, keepdims=True)
        log_probabilities = scaled - top - np.log(np.exp(scaled - top).sum(1, keepdims=True))
        return float(np.average(-(targets * log_probabilities).sum(1), weights=shares))

    # Golden section: the loss has one valley in 1 / temperature.
    low, high = np.log(limits)
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))


def ece(probabilities: npt.ArrayLike, truth: Sequence[str], labels: Sequence[str], bins: int = ECE_BINS) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, in equal-width bins of confidence.

    Args:
        probabilities: shape (examples, labels).
        truth: a label of each example.
        labels: names of the columns.
        bins: equal-width bins over 0..1; a confidence on an edge belongs to the bin below it.

    Returns:
        Mean of |accuracy - confidence| over bins, weighted by their examples; NaN without examples.

    >>> round(ece([[0.9, 0.1], [0.9, 0.1]], ["a", "b"], ["a", "b"]), 6)  # sure to 0.9, right in half
    0.4
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    known = indices_of(truth, labels)
    if rows.shape != (len(known), len(labels)):
        raise ValueError(f"probabilities have shape {rows.shape}, expected {(len(known), len(labels))}")
    if not len(known):
        return float("nan")
    confidence, right = rows.max(1), rows.argmax(1) == known
    gaps = np.bincount(_bins_of(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(known))


def ece_by_chance(probabilities: npt.ArrayLike, bins: int = ECE_BINS, *, draws: int = 200, seed: int = 0) -> float:
    """The calibration error that answers of such confidence show by chance alone, were each exactly as sure as right.

    With few examples in a bin its accuracy scatters, so that `ece` is above 0 for the most honest of models; what a
    model shows beyond this is its own.
    Source: Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams",
    https://doi.org/10.1175/WAF993.1 (consistency resampling)

    Args:
        probabilities: shape (examples, labels).
        bins: as `ece`'s.
        draws: of right and wrong answers, at random.
        seed: of the draws.

    Returns:
        The mean over the draws; NaN without examples.

    >>> ece_by_chance([[1.0, 0.0]] * 3)
    0.0
    >>> ece_by_chance([[0.5, 0.5]] * 10) > ece_by_chance([[0.5, 0.5]] * 1000)
    True
    """
    confidence = np.asarray(probabilities, dtype=np.float64).max(1, initial=0.0)
    if not len(confidence):
        return float("nan")
    bin_of = _bins_of(confidence, bins)
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(draws):
        right = rng.random(len(confidence)) < confidence
        total += float(np.abs(np.bincount(bin_of, weights=right - confidence, minlength=bins)).sum())
    return total / (draws * len(confidence))


def _bins_of(confidence: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)
