"""Temperature scaling: makes a classifier's confidence mean what it says. Pure numpy."""

import math

import numpy as np
import numpy.typing as npt


def fit_temperature(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> float:
    """The softmax temperature with the least negative log-likelihood, by golden-section search in 0.2..5.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".

    Args:
        logits: shape (rows, classes).
        truth: class index of each row, shape (rows,).

    >>> logits = np.array([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 0.0]], dtype=np.float32)
    >>> round(fit_temperature(logits, np.array([0, 0, 0, 1])), 2)  # 3 of 4 right: odds of 3 = exp(2 / T)
    1.82
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / math.exp(log_temperature)
        top = scaled.max(1)
        normaliser = np.log(np.exp(scaled - top[:, None]).sum(1)) + top
        return float((normaliser - scaled[np.arange(len(truth)), truth]).mean())

    low, high, ratio = math.log(0.2), math.log(5.0), (math.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)
