"""Multinomial logistic regression with soft labels, near to given weights, by L-BFGS."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize

Array = npt.NDArray[np.float32]

RIDGE = 1e-4
"""Added to the diagonal of clips' products, as a share of its mean: more than what half a million sums in single
precision are off by, and nothing to a fit."""


class FitConfig(Protocol):
    """Penalty on the squared distance from the start, and iterations of L-BFGS at most."""

    @property
    def penalty(self) -> float:
        """Penalty."""

    @property
    def iterations(self) -> int:
        """Iterations."""


def minimise(
    values: Array,
    targets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.floating],
    start: npt.NDArray[np.float64],
    config: FitConfig,
) -> npt.NDArray[np.float64]:
    """Minimise the weighted mean cross-entropy plus the penalty on the squared distance from `start`.

    Args:
        values: shape (clips, size).
        targets: soft labels, shape (clips, outputs).
        weights: shape (clips,).
        offsets: added to the logits, shape (clips, outputs).
        start: weights and, in the last row, biases: shape (size + 1, outputs). The biases are not penalised.
        config: penalty and iterations.

    Returns:
        Of the shape of `start`.
    """
    if 3 * len(values) < values.shape[1]:
        return _minimise_by_clips(values, targets, weights, offsets, start, config)
    per_clip = (weights / weights.sum()).astype(np.float32)[:, None]
    truth, fixed = targets.astype(np.float32), offsets.astype(np.float32)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        table = flat.reshape(start.shape)
        logits = values @ table[:-1].astype(np.float32) + table[-1].astype(np.float32) + fixed
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        apart = (np.exp(logs) * truth.sum(axis=1, keepdims=True) - truth) * per_clip
        gradient = np.vstack([values.T @ apart, apart.sum(axis=0)[None]]).astype(float)
        distance = table - start
        distance[-1] = 0.0
        total = -float((truth * logs * per_clip).sum()) + 0.5 * config.penalty * float((distance**2).sum())
        return total, (gradient + config.penalty * distance).ravel()

    options = {"maxiter": config.iterations, "maxcor": 20}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return np.asarray(found.reshape(start.shape))


def _minimise_by_clips(
    values: Array,
    targets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating],
    offsets: npt.NDArray[np.floating],
    start: npt.NDArray[np.float64],
    config: FitConfig,
) -> npt.NDArray[np.float64]:
    """Minimise likewise where there are fewer clips than values: the way from `start` is a mix of the clips.

    In the orthonormal basis that the Cholesky factor of the clips' products stands for, the problem is the same one,
    with as many unknowns as there are clips.
    """
    products = (values @ values.T).astype(float)
    products[np.diag_indices_from(products)] += RIDGE * products.trace() / len(products)
    factor = cholesky(products, lower=True)
    fixed = offsets + values @ start[:-1].astype(np.float32)
    zero = np.vstack([np.zeros((len(values), start.shape[1])), start[-1:]])
    found = minimise(factor.astype(np.float32), targets, weights, fixed, zero, config)
    way = solve_triangular(factor, found[:-1], lower=True, trans="T")
    return np.vstack([start[:-1] + values.T @ way.astype(np.float32), found[-1:]])
