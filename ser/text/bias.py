"""Calibration of a text model: one temperature and one bias a label, fitted together on held-out sentences. Pure."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ser.evaluation.calibration import TEMPERATURE_RANGE

PRIOR = 1e-3
"""Pull of each bias towards 0, in nats: a label without held-out rows keeps its own."""


def fit_bias(
    logits: npt.NDArray[np.floating], truth: npt.NDArray[np.int64], weights: npt.NDArray[np.floating]
) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit `logits / temperature + bias` to the truth by least cross entropy.

    Training weighs rare labels up; the biases bring the answers back to the shares that labels have in real text.
    Source: bias-corrected temperature scaling, Alexandari et al. 2020, https://arxiv.org/abs/1901.06852

    Args:
        logits: shape (rows, labels).
        truth: index of the label of each row.
        weights: of the rows, relative.

    Returns:
        The temperature, within `TEMPERATURE_RANGE`, and the biases, of mean 0.

    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random(4000) < 0.2).astype(int)
    >>> temperature, bias = fit_bias(rng.normal(0, 0.01, (4000, 2)), truth, np.ones(4000))
    >>> round(float(np.exp(bias[1] - bias[0])), 1)  # the odds of the rare label
    0.3
    """
    shares = weights / weights.sum()
    values = logits.astype(np.float64)
    rows, columns = np.arange(len(values)), values.shape[1]
    hot = np.zeros_like(values)
    hot[rows, truth] = 1.0

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        inverse, bias = np.exp(-parameters[0]), parameters[1:]
        scaled = values * inverse + bias
        scaled -= scaled.max(1, keepdims=True)
        powers = np.exp(scaled)
        total = powers.sum(1, keepdims=True)
        cost = float(shares @ (np.log(total[:, 0]) - scaled[rows, truth])) + PRIOR * float(bias @ bias)
        error = (powers / total - hot) * shares[:, None]
        slope = np.concatenate([[-inverse * float((error * values).sum())], error.sum(0) + 2 * PRIOR * bias])
        return cost, slope

    low, high = np.log(TEMPERATURE_RANGE)
    bounds = [(low, high), *[(-6.0, 6.0)] * columns]
    found = minimize(loss, np.zeros(1 + columns), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), found.x[1:] - found.x[1:].mean()
