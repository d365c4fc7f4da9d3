"""Soft labels from votes and embeddings: clips with similar embeddings inform each other's labels.

Pure: votes as columns and embeddings in, probabilities out. Knows no store and no rater by name.
"""

import numpy as np
import numpy.typing as npt

from annotations.raters import consensus
from annotations.raters.consensus import Codes, Votes

Numbers = npt.NDArray[np.float64]

LEAST_CLIPS = 60
"""Fewest clips with an embedding; with fewer too little is known of how labels lie."""

DIMENSIONS = 64
"""Directions of largest variance that are kept of the embeddings: enough to tell labels apart, in seconds."""

SHRINKAGE = 0.3
"""Shrinkage of the covariance towards the unit matrix."""

IMAGINED = 5.0
"""Clips at the centre of all that each label's mean is begun with."""

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Acoustic likelihood weights; the one that makes the votes likeliest is taken, so a useless model counts nothing."""

TINY = 1e-6
"""Variance that is added where all clips of a label are alike."""

ROUNDS = 4
FOLDS = 5


def estimate_truth(votes: Votes, gold: Codes, raters: int, truth: Numbers, points: Numbers) -> Numbers:
    """Estimate the probabilities of the labels from votes and embeddings together.

    In turns an acoustic model is fitted to the labels as estimated so far, its out-of-fold prediction is taken as the
    prior of each clip, and the raters' confusion is fitted anew.
    Source: Raykar et al. 2010, "Learning from Crowds", JMLR 11, https://jmlr.org/papers/v11/raykar10a.html; here with
    cross-validated answers, and with linear discriminants in place of logistic regression, as they bear wrong labels.

    Args:
        votes: on `len(gold)` clips.
        gold: the known label of each clip, -1 where it is not known.
        raters: how many there are.
        truth: by the votes alone, shape (clips, labels).
        points: of each clip, as `main_directions` gives them, shape (clips, size); rows of NaN without an embedding.

    Returns:
        Shape (clips, labels); `truth` itself if too few clips have an embedding.
    """
    known = np.asarray(np.isfinite(points).all(1))
    if known.sum() < LEAST_CLIPS:
        return truth
    points = np.where(known[:, None], points, 0.0)
    folds = np.where(known, np.random.default_rng(0).permutation(len(points)) % FOLDS, -1)
    for _ in range(ROUNDS):
        likelihood = consensus.vote_likelihood(votes, truth, raters)
        # Imagined clips of all labels alike, as where the votes are aggregated without embeddings.
        shares = truth.sum(0) + consensus.DEFAULT.evenness * truth.sum() / truth.shape[1]
        expected = _expected(discriminate(points, truth, folds) * shares, likelihood)
        posterior = expected * likelihood
        truth = posterior / posterior.sum(1, keepdims=True)
        truth[gold >= 0] = np.eye(truth.shape[1])[gold[gold >= 0]]
    return truth


def main_directions(embeddings: npt.NDArray[np.floating]) -> Numbers:
    """Project embeddings on the directions of their largest variance; no label has a say.

    Args:
        embeddings: shape (clips, size).

    Returns:
        Shape (clips, at most `DIMENSIONS`).

    >>> main_directions(np.random.default_rng(0).normal(size=(5, 9))).shape
    (5, 5)
    """
    scaled = (embeddings - embeddings.mean(0)) / (embeddings.std(0) + 1e-6)
    # By the products of clips: there are fewer clips than numbers in an embedding.
    sizes, directions = np.linalg.eigh(scaled @ scaled.T)
    largest = np.argsort(sizes)[::-1][:DIMENSIONS]
    return np.asarray(directions[:, largest] * np.sqrt(np.maximum(sizes[largest], 0.0)), dtype=np.float64)


def discriminate(points: Numbers, truth: Numbers, folds: Codes) -> Numbers:
    """Compute likelihoods by linear discriminants that were fitted to the other folds.

    Args:
        points: shape (clips, size).
        truth: soft labels, shape (clips, labels).
        folds: of each clip; -1 where it is neither trained on nor predicted.

    Returns:
        Shape (clips, labels), rows of sum 1; even where `folds` is -1.

    >>> points = np.array([[0.0], [1.0]] * 10)
    >>> said = discriminate(points, np.eye(2)[[0, 1] * 10], np.arange(20) // 4)
    >>> bool((said.argmax(1) == [0, 1] * 10).all())
    True
    """
    said = np.full(truth.shape, 1 / truth.shape[1])
    for fold in range(folds.max() + 1):
        trained, asked = (folds >= 0) & (folds != fold), folds == fold
        part, shares = points[trained], truth[trained]
        centre, counts = part.mean(0), shares.sum(0)
        means = (shares.T @ part + IMAGINED * centre) / (counts + IMAGINED)[:, None]
        within = part.T @ part / len(part) - (means.T * (counts / counts.sum())) @ means
        even = (np.trace(within) / len(within) + TINY) * np.eye(len(within))
        turned = np.linalg.solve((1 - SHRINKAGE) * within + SHRINKAGE * even, means.T)
        logits = points[asked] @ turned - 0.5 * np.einsum("kd,dk->k", means, turned)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        said[asked] = odds / odds.sum(1, keepdims=True)
    return said


def _expected(said: Numbers, likelihood: Numbers) -> Numbers:
    """Temper acoustic likelihoods by the weight that makes the votes most likely."""
    best, most = said, -np.inf
    for strength in STRENGTHS:
        powered = said**strength
        powered /= powered.sum(1, keepdims=True)
        likely = float(np.log((powered * likelihood).sum(1)).sum())
        if likely > most:
            best, most = powered, likely
    return best
