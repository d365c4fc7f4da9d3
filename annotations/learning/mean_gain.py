"""How sure a mean gain is, where each clip has a gain of its own: cross entropy, word errors.

Pure: numbers in, numbers out. For gains in recall see `annotations.learning.comparison`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RESAMPLES = 4000

FEW_SPEAKERS = 5
"""Under so many the bootstrap draws clips, as in `annotations.learning.comparison`."""

Array = npt.NDArray[np.float64]


def interval(
    gains: Array, groups: Sequence[str], alpha: float, seed: int = 0, sizes: Array | None = None
) -> tuple[float, float]:
    """Bootstrap interval of a mean gain, passed at each end by a share `alpha` of the draws.

    Draws speakers whole where there are at least `FEW_SPEAKERS`, else clips. Source: Davison & Hinkley 1997,
    "Bootstrap Methods and their Application", section 3.8 on drawing clusters.

    Args:
        gains: of each clip, shape (clips,).
        groups: who speaks in each.
        alpha: 0..0.5.
        seed: of the draws.
        sizes: what the sum of the gains is divided by the sum of, such as words; 1 for each clip where left out.

    >>> interval(np.full(9, 0.5), [""] * 9, 0.05)
    (0.5, 0.5)
    """
    names = sorted(set(groups))
    units = [np.flatnonzero(np.array(groups) == name) for name in names]
    if len(units) < FEW_SPEAKERS:
        units = [np.array([row]) for row in range(len(gains))]
    each = np.ones(len(gains)) if sizes is None else sizes
    sums, totals = (np.array([values[rows].sum() for rows in units]) for values in (gains, each))
    drawn = np.random.default_rng(seed).integers(0, len(units), (RESAMPLES, len(units)))
    means = sums[drawn].sum(1) / totals[drawn].sum(1)
    low, high = np.quantile(means, [alpha, 1 - alpha])
    return float(low), float(high)


def chance(gains: Array, seed: int = 0) -> float:
    """The chance of so large a sum of gains, were each as likely the other way round.

    Source: Fisher's randomisation test; with one added to both counts as in Phipson & Smyth 2010, "Permutation
    P-values Should Never Be Zero", so that it is never 0.

    Args:
        gains: of each clip.
        seed: of the draws.

    >>> chance(np.ones(20)) < 0.001, chance(np.array([1.0, -1.0] * 10)) > 0.3
    (True, True)
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (RESAMPLES, len(gains)))
    return float((1 + (signs @ gains >= gains.sum() - 1e-9).sum()) / (1 + RESAMPLES))
