"""Makes confidence honest: one temperature for all logits. Pure."""

import numpy as np
import numpy.typing as npt

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
