"""Separates two things that clips of unknown labels have in common: their place or speaker, and their mix of labels.

A microphone, a room, a language or a voice moves the logits of all clips alike; so does a mix of labels that training
has not seen. Expectation-maximisation separates the two: clips are a mixture of the emotions' Gaussians, moved as a
whole by an offset that has a prior of its own. Pure, numpy only.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ITERATIONS = 30
"""Of expectation-maximisation; the offset then moves by less than 1 % of its prior's standard deviation."""

SHARES_PRIOR = 1.0
"""Clips of each label that are assumed beforehand, of the Dirichlet prior on the label mix."""

EVEN_TEMPERATURE = 3.0
"""Of the shares that an even mix is sought by: softer than answers, so that clips far from every border count, too."""

FLOOR = 0.02
"""Share of their mean variance that is added to covariances: logits sum to a constant, which has no inverse."""

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ProfilePrior:
    """Prior of the logits of a new source or speaker, estimated on corpora that a head was not trained on.

    Attributes:
        center: logits of an even mix of labels, shape (outputs,).
        means: of the logits of each output's clips, less `center`, shape (outputs, outputs); zeros where there
            are no such clips.
        within: covariance of logits within an output and a speaker.
        source: covariance of the offsets of sources, around 0.
        speaker: covariance of the offsets of speakers, around their source's.
    """

    center: Matrix
    means: Matrix
    within: Matrix
    source: Matrix
    speaker: Matrix

    def arrays(self) -> dict[str, Array]:
        """Return its tensors for the file of a head."""
        return {f"profile_{name}": value.astype(np.float32) for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "ProfilePrior | None":
        """The prior in a head's file; None if it has none."""
        names = ("center", "means", "within", "source", "speaker")
        if "profile_means" not in arrays:
            return None
        return cls(*(arrays[f"profile_{name}"].astype(np.float64) for name in names))


def fit_prior(
    logits: npt.ArrayLike, targets: npt.ArrayLike, corpora: Sequence[str], speakers: Sequence[str]
) -> ProfilePrior:
    """Estimate the prior from out-of-corpus logits: each clip's by a head that was trained on the other corpora.

    Args:
        logits: before the temperature, shape (clips, outputs).
        targets: shares of the outputs in each clip, shape (clips, outputs).
        corpora: of the clips; each counts alike.
        speakers: of the clips.
    """
    values, shares = centred(logits), np.asarray(targets, dtype=np.float64)
    outputs, names, voices = values.shape[1], np.asarray(corpora), np.asarray(speakers)
    means, counts = np.zeros((outputs, outputs)), np.zeros(outputs)
    within, speaker = np.zeros((outputs, outputs)), np.zeros((outputs, outputs))
    labels = shares.argmax(axis=1)
    corpus_names = sorted(set(corpora))
    offsets = []
    for corpus in corpus_names:
        rows = np.flatnonzero(names == corpus)
        known = np.unique(labels[rows])
        # Every label counts alike, so that a corpus's own mix is no offset.
        weights = np.zeros(len(rows))
        for label in known:
            weights[labels[rows] == label] = 1.0 / (labels[rows] == label).sum() / len(known)
        offset = weights @ values[rows]
        moved = values[rows] - offset
        class_means = np.stack([moved[labels[rows] == label].mean(axis=0) for label in known])
        means[known] += class_means
        counts[known] += 1
        offsets.append(offset)
        residual = moved - class_means[np.searchsorted(known, labels[rows])]
        for voice in np.unique(voices[rows]):
            mine = voices[rows] == voice
            apart = residual[mine].mean(axis=0)
            residual[mine] -= apart
            speaker += np.outer(apart, apart) * weights[mine].sum() / len(corpus_names)
        within += (weights[:, None] * residual).T @ residual / len(corpus_names)
    center = np.mean(offsets, axis=0)
    # Divided by one less than their number, as the center is estimated from them, too.
    apart = np.array(offsets) - center
    source = apart.T @ apart / max(len(offsets) - 1, 1)
    return ProfilePrior(center, means / np.maximum(counts, 1.0)[:, None], within, source, speaker)


@dataclass(frozen=True, eq=False)
class Offset:
    """The offset that clips of unknown labels share beyond their labels.

    Attributes:
        offset: of their logits, shape (outputs,).
        variety: labels that there seem to be, the exponential of the entropy of their shares.
        plain_variety: the same if there were no offset.
    """

    offset: Matrix
    variety: float
    plain_variety: float


def estimate_offset(logits: npt.ArrayLike, prior: ProfilePrior, within: Matrix) -> Offset:
    """Estimate the offset that clips of unknown labels share, the part that their label mix explains taken out.

    The maximum of the posterior of a Gaussian mixture with tied covariance, of unknown shares, that is moved as a
    whole; sought from no offset and from the offset that an even mix would have, the likelier one taken.
    Source: Dempster, Laird & Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm",
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x

    Args:
        logits: of the clips, shape (clips, outputs).
        prior: of the head.
        within: covariance of logits within an output.
    """
    # In coordinates in which the covariance within an output is the identity.
    whitening = np.linalg.inv(np.linalg.cholesky(_lifted(within))).T
    seen = prior.means.any(axis=1)
    values, means = (centred(logits) - prior.center) @ whitening, prior.means[seen] @ whitening
    precision = np.linalg.inv(whitening.T @ _lifted(prior.source + prior.speaker) @ whitening)
    nothing = np.zeros(len(prior.center))
    found = [_maximise(values, means, precision, start) for start in (nothing, values.mean(axis=0))]
    offset, shares, _ = max(found, key=lambda maximum: maximum[2])
    _, plain, _ = _maximise(values, means, None, nothing)
    return Offset(np.asarray(np.linalg.solve(whitening.T, offset)), _perplexity(shares), _perplexity(plain))


def known_offset(logits: npt.ArrayLike, output: int, prior: ProfilePrior) -> Matrix:
    """The expected offset of a speaker, given clips of theirs that are known to be of one output.

    The posterior mean: what the clips' mean is away from the output's, shrunk by the variance within an output.

    Args:
        logits: of the clips, less the offset of their source, shape (clips, outputs).
        output: that they are of.
        prior: of the head.

    Returns:
        Shape (outputs,); zeros where the prior knows no clips of that output.
    """
    if not prior.means[output].any():
        return np.zeros(len(prior.center))
    values = centred(logits)
    apart = values.mean(axis=0) - prior.center - prior.means[output]
    return np.asarray(prior.speaker @ np.linalg.solve(_lifted(prior.speaker + prior.within / len(values)), apart))


def even_shares(logits: npt.ArrayLike, groups: Sequence[Sequence[int]]) -> Matrix:
    """The offset of the logits without which every group of outputs has the same share of the clips.

    Source: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities", https://doi.org/10.1162/089976602753284446: the same iteration, towards known shares.

    Args:
        logits: of the clips, shape (clips, outputs).
        groups: outputs of each label; those in no group keep their logits.

    Returns:
        Shape (outputs,).

    >>> even_shares([[1.0, 0.0], [3.0, 0.0]], [[0], [1]]).round(2).tolist()
    [1.0, -1.0]
    """
    values = np.asarray(logits, dtype=np.float64)
    together = np.stack([np.logaddexp.reduce(values[:, list(group)], axis=1) for group in groups], axis=1)
    shift = np.zeros(len(groups))
    for _ in range(ITERATIONS):
        moved = (together - shift) / EVEN_TEMPERATURE
        powers = np.exp(moved - moved.max(axis=1, keepdims=True))
        shares = (powers / powers.sum(axis=1, keepdims=True)).mean(axis=0)
        shift = shift + EVEN_TEMPERATURE * np.log(np.maximum(shares, 1e-9) * len(groups))
    offset = np.zeros(values.shape[1])
    for label, group in enumerate(groups):
        offset[list(group)] = shift[label] - shift.mean()
    return offset


def _maximise(values: Matrix, means: Matrix, precision: Matrix | None, start: Matrix) -> tuple[Matrix, Matrix, float]:
    """Offset and shares at a maximum near `start`, and the logarithm of their posterior up to a constant.

    Args:
        values: of the clips, of unit covariance within an output.
        means: of the outputs.
        precision: of the offset, whose mean is 0; None keeps it where it is.
        start: of the search.
    """
    clips, outputs = len(values), len(means)
    shares, offset, posterior = np.full(outputs, 1.0 / outputs), start, np.zeros(outputs)
    likelihood = 0.0
    for _ in range(ITERATIONS):
        moved = values - offset
        logs = moved @ means.T - 0.5 * (means**2).sum(axis=1) + np.log(shares)
        largest = logs.max(axis=1, keepdims=True)
        powers = np.exp(logs - largest)
        sums = powers.sum(axis=1, keepdims=True)
        likelihood = float((np.log(sums) + largest).sum() - 0.5 * (moved**2).sum())
        likelihood += float(SHARES_PRIOR * np.log(shares).sum())
        posterior = (powers / sums).mean(axis=0)
        shares = (clips * posterior + SHARES_PRIOR) / (clips + SHARES_PRIOR * outputs)
        if precision is not None:
            likelihood -= float(0.5 * offset @ precision @ offset)
            unexplained = values.mean(axis=0) - posterior @ means
            offset = np.linalg.solve(clips * np.eye(len(offset)) + precision, clips * unexplained)
    return offset, posterior, likelihood


def _perplexity(shares: Matrix) -> float:
    return math.exp(-float((shares * np.log(shares + 1e-12)).sum()))


def centred(logits: npt.ArrayLike) -> Matrix:
    """Subtract the mean of each row: a constant in all logits changes no probability."""
    values = np.asarray(logits, dtype=np.float64)
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _lifted(covariance: Matrix) -> Matrix:
    """The covariance, made invertible."""
    return np.asarray(covariance + np.eye(len(covariance)) * (FLOOR * np.trace(covariance) / len(covariance) + 1e-9))
