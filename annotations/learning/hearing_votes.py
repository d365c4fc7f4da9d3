"""What votes say of clips that can be heard as well: clips that sound alike speak for one another.

Pure: votes as columns and what was heard in, probabilities out. Knows no store and no rater by name.
"""

import numpy as np
import numpy.typing as npt

from annotations import consensus
from annotations.consensus import Codes, Votes

Numbers = npt.NDArray[np.float64]

LEAST_CLIPS = 60
"""Under it too little is known of how the labels sound."""

DIMENSIONS = 64
"""Of what is heard, those of the largest variance."""

SHRINKAGE = 0.3
"""Of the covariance towards one that is alike in all directions."""

IMAGINED = 5.0
"""Clips at the centre of all that each label's mean is begun with."""

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Powers of what the sound says; the one that makes the votes likeliest is taken, so a useless ear goes unheard."""

ROUNDS = 4
FOLDS = 5


def truth_by_ear(votes: Votes, gold: Codes, raters: int, truth: Numbers, heard: Numbers) -> Numbers:
    """Probabilities of the labels by the votes and by the sound together.

    In turns a model of the sound is fitted to the labels as they are believed, asked of clips that it did not see, and
    its answer taken for what is expected of a clip before anybody votes; and the raters' confusion is fitted anew.
    Source: Raykar et al. 2010, "Learning from Crowds", JMLR 11, https://jmlr.org/papers/v11/raykar10a.html; here with
    cross-validated answers, and with linear discriminants in place of logistic regression, as they bear wrong labels.

    Args:
        votes: on `len(gold)` clips.
        gold: the known label of each clip, -1 where it is not known.
        raters: how many there are.
        truth: by the votes alone, shape (clips, labels).
        heard: of each clip, shape (clips, size); rows of NaN where a clip was not heard.

    Returns:
        Shape (clips, labels); `truth` itself where too few clips were heard.
    """
    known = np.isfinite(heard).all(1)
    if known.sum() < LEAST_CLIPS:
        return truth
    directions = _main_directions(heard[known])
    points = np.zeros((len(heard), directions.shape[1]))
    points[known] = directions
    folds = np.where(known, np.random.default_rng(0).permutation(len(heard)) % FOLDS, -1)
    for _ in range(ROUNDS):
        likelihood = consensus.vote_likelihood(votes, truth, raters)
        # Imagined clips of all labels alike, as where the votes are put together without the sound.
        shares = truth.sum(0) + consensus.DEFAULT.evenness * truth.sum() / truth.shape[1]
        expected = _expected(discriminate(points, truth, folds) * shares, likelihood)
        posterior = expected * likelihood
        truth = posterior / posterior.sum(1, keepdims=True)
        truth[gold >= 0] = np.eye(truth.shape[1])[gold[gold >= 0]]
    return truth


def discriminate(points: Numbers, truth: Numbers, folds: Codes) -> Numbers:
    """What linear discriminants, fitted to the clips of the other folds, say of each clip.

    Args:
        points: shape (clips, size).
        truth: soft labels, shape (clips, labels).
        folds: of each clip; -1 where it is neither learnt from nor asked of.

    Returns:
        Shape (clips, labels), rows of sum 1; even where `folds` is -1.

    >>> points = np.array([[0.0], [1.0]] * 10)
    >>> said = discriminate(points, np.eye(2)[[0, 1] * 10], np.arange(20) // 4)
    >>> bool((said.argmax(1) == [0, 1] * 10).all())
    True
    """
    said = np.full(truth.shape, 1 / truth.shape[1])
    for fold in range(folds.max() + 1):
        learnt, asked = (folds >= 0) & (folds != fold), folds == fold
        part, shares = points[learnt], truth[learnt]
        centre, counts = part.mean(0), shares.sum(0)
        means = (shares.T @ part + IMAGINED * centre) / (counts + IMAGINED)[:, None]
        within = part.T @ part / len(part) - (means.T * (counts / counts.sum())) @ means
        even = np.trace(within) / len(within) * np.eye(len(within))
        turned = np.linalg.solve((1 - SHRINKAGE) * within + SHRINKAGE * even, means.T)
        logits = points[asked] @ turned - 0.5 * np.einsum("kd,dk->k", means, turned)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        said[asked] = odds / odds.sum(1, keepdims=True)
    return said


def _main_directions(heard: Numbers) -> Numbers:
    """Shape (clips, directions): `DIMENSIONS` of them, or fewer where there are not so many clips or values."""
    scaled = (heard - heard.mean(0)) / (heard.std(0) + 1e-6)
    left, sizes, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray((left * sizes)[:, :DIMENSIONS])


def _expected(said: Numbers, likelihood: Numbers) -> Numbers:
    """What the sound says, believed as far as it makes the votes likely."""
    best, most = said, -np.inf
    for strength in STRENGTHS:
        powered = said**strength
        powered /= powered.sum(1, keepdims=True)
        likely = float(np.log((powered * likelihood).sum(1)).sum())
        if likely > most:
            best, most = powered, likely
    return best
