"""Gives two models the same knowledge of which labels occur and how often, so that a comparison is of the rest.

Pure: probabilities and soft labels in, adjusted probabilities out. Knows no model and no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment, minimize

Array = npt.NDArray[np.float64]

FLOOR = 1e-12
"""No label is taken to be less probable before the adjustment."""

PENALTY = 1e-4
"""Penalty on the squared bias of each label: it only makes the fit unique, as a common number changes nothing."""

LARGEST_SCALE = 20.0

PRECISELY = {"ftol": 1e-13, "gtol": 1e-8, "maxiter": 500}
"""Largest change at which a fit ends: the rest of the fit is no difference between the models."""

EXCHANGED_GAIN = 0.1
"""Nats by which the labels must explain the votes better under other names, on top of chance."""


def adjust(probabilities: Array, shares: Array, hints: Sequence[Array] = ()) -> Array:
    """Fit a temperature and a bias for each label that occurs, and apply them.

    A model that knows nothing but the shares of the labels gains nothing over another by that: both are given
    what the votes say of it. Labels count alike, as they do in unweighted average recall.
    Source: vector scaling, Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2,
    https://arxiv.org/abs/1706.04599; the bias as in Saerens et al. 2002, "Adjusting the Outputs of a Classifier to New
    a Priori Probabilities", https://doi.org/10.1162/089976602753284446

    Args:
        probabilities: of each clip, shape (clips, labels).
        shares: what the votes say of each clip, same shape, rows of sum 1.
        hints: log probabilities of the labels by what both models may know as well, such as the channel of the
            recording; shape as probabilities each.

    Returns:
        Of the same shape: labels that do not occur have probability 0.

    >>> shares = np.eye(2)[[0, 1, 1, 1, 0, 1]]
    >>> knows = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.7, 0.3], [0.6, 0.4], [0.6, 0.4]])
    >>> prior = knows * [0.2, 0.8] / (knows * [0.2, 0.8]).sum(1, keepdims=True)
    >>> bool(np.abs(adjust(knows, shares) - adjust(prior, shares)).max() < 1e-3)
    True
    """
    totals = shares.sum(0)
    occurs = np.flatnonzero(totals > 0)
    wanted = shares[:, occurs] / totals[occurs] / len(occurs)
    parts = [rows[:, occurs] for rows in (np.log(np.maximum(probabilities, FLOOR)), *hints)]
    parts = [rows - rows.mean(1, keepdims=True) for rows in parts]
    count = len(parts)

    def loss(values: Array) -> tuple[float, Array]:
        scales, bias = values[:count], values[count:]
        logits = sum(scale * part for scale, part in zip(scales, parts, strict=True)) + bias
        logits = logits - logits.max(1, keepdims=True)
        found = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        apart = np.exp(found) * wanted.sum(1, keepdims=True) - wanted
        slopes = [float((apart * part).sum()) for part in parts]
        value = -float((wanted * found).sum()) + 0.5 * PENALTY * float((bias**2).sum())
        return value, np.concatenate([slopes, apart.sum(0) + PENALTY * bias])

    start = np.concatenate([np.full(count, 0.5), np.zeros(len(occurs))])
    # A scale below zero would take a model's answers for their opposite.
    bounds = [(0.0, LARGEST_SCALE)] * count + [(None, None)] * len(occurs)
    values = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=PRECISELY).x
    logits = sum(scale * part for scale, part in zip(values[:count], parts, strict=True)) + values[count:]
    powers = np.exp(logits - np.max(logits, axis=1, keepdims=True))
    adjusted = np.zeros(probabilities.shape)
    adjusted[:, occurs] = powers / powers.sum(1, keepdims=True)
    return adjusted


@dataclass(frozen=True)
class Exchange:
    """Labels that look as if they had changed names.

    Attributes:
        names: {label as voted: label as the model knows it}, those that differ.
        gain: nats of log probability that the exchange gains.
    """

    names: dict[str, str]
    gain: float

    def words(self) -> str:
        """Describe it for people.

        >>> Exchange({"anger": "fear", "fear": "anger"}, 0.5).words()
        'the votes seem to call fear anger, anger fear, unless the current model mistakes them for each other'
        """
        pairs = ", ".join(f"{known} {voted}" for voted, known in self.names.items())
        return f"the votes seem to call {pairs}, unless the current model mistakes them for each other"


def find_exchange(probabilities: Array, shares: Array, labels: Sequence[str]) -> Exchange | None:
    """Look for labels that explain the votes better under each other's names, beyond chance.

    Args:
        probabilities: of the current model, shape (clips, labels).
        shares: what the votes say, same shape.
        labels: names of the columns.

    Returns:
        The best exchange; None if the names as they are do about as well.
    """
    occurs = np.flatnonzero(shares.sum(0) > 0)
    logs = np.log(np.maximum(probabilities[:, occurs], FLOOR))
    # Each label as often as the others: a model that seldom says a label is not taken to mean another by it.
    logs = logs - logs.mean(0)
    wanted = shares[:, occurs] / shares[:, occurs].sum(0)
    voted, known = linear_sum_assignment(-(wanted.T @ logs))
    if (voted == known).all():
        return None
    gains = (shares[:, occurs] * (logs[:, known] - logs)).sum(1)
    moved = gains[np.abs(gains) > 1e-9]
    error = float(moved.std() / np.sqrt(len(moved))) if len(moved) > 1 else np.inf
    gain = float(moved.mean()) if len(moved) else 0.0
    if gain - 3.0 * error <= EXCHANGED_GAIN:
        return None
    names = {
        labels[occurs[voted[place]]]: labels[occurs[known[place]]]
        for place in range(len(occurs))
        if voted[place] != known[place]
    }
    return Exchange(names, gain)
