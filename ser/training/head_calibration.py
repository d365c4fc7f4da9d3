"""Temperature, adaptation prior and novelty of a head, from clips of corpora and speakers beside its training clips."""

import importlib
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from ser.acoustic.head import ClassifierHead, emotion_of
from ser.encoder.offsets import fit_prior
from ser.labels import EMOTIONS
from ser.training.embeddings import EmbeddingSet
from ser.training.heads import HeadConfig, fit_head

TEMPERATURES = (0.5, 5.0)

NOVELTY_DIRECTIONS = 32
"""Directions of largest variance in which distance from the training clips is measured. With more, every corpus that
training has not seen is novel; with 32, 0 to 2 % of the clips of five corpora left out in turn, 95 % of single words
and 57 % of noises."""

KNOWN_SHARE = 0.997
"""Share of the training clips whose novelty is below 1."""

Array = npt.NDArray[np.float32]


def calibrate_head(
    head: ClassifierHead, data: EmbeddingSet, development: EmbeddingSet | None, config: HeadConfig
) -> ClassifierHead:
    """Fit the temperature, the adaptation prior and the novelty of a head.

    Every corpus is predicted by a head that was trained on the others. The temperature explains these clips and those
    of the development speakers best, both with the same weight: recordings come from places that training knows, and
    from places that it does not know.

    Args:
        head: trained on `data`.
        data: training clips; with fewer than two corpora the head stays as it is, if there is no development part.
        development: clips of speakers that are not in `data`; None if there are none.
        config: how the head was fitted.
    """
    head = replace(head, novelty_basis=fit_novelty(head.standardise(data.plain), config.seed))
    parts: list[tuple[Array, EmbeddingSet]] = []
    if len(set(data.corpora)) > 1:
        scores = out_of_corpus_scores(head, data, config)
        head = replace(head, prior=fit_prior(scores, data.targets, data.corpora, data.speakers))
        parts.append((scores, data))
    if development is not None:
        parts.append((head.scores(development.plain), development))
    if not parts:
        return head
    return replace(head, temperature=_fit_temperature(head.labels, parts))


def fit_novelty(standard: Array, seed: int) -> Array:
    """The directions of largest variance, scaled so that a clip's squared length in them is its novelty.

    Source: Mahalanobis distance, as in Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution
    Samples and Adversarial Attacks", https://arxiv.org/abs/1807.03888

    Args:
        standard: standardised embeddings of the training clips, shape (clips, size).
        seed: of the decomposition.

    Returns:
        Shape (size, directions), see `ClassifierHead.novelty_basis`.
    """
    count = min(NOVELTY_DIRECTIONS, *standard.shape)
    # Imported here, because a worker that only needs the names of the recipe should not wait a second for it.
    randomized_svd = importlib.import_module("sklearn.utils.extmath").randomized_svd
    _, sizes, rows = randomized_svd(standard, count, random_state=seed)
    basis = rows.T / np.maximum(sizes, 1e-6)
    lengths = ((standard @ basis) ** 2).sum(axis=1)
    return np.asarray(basis / np.sqrt(np.quantile(lengths, KNOWN_SHARE)), dtype=np.float32)


def out_of_corpus_scores(head: ClassifierHead, data: EmbeddingSet, config: HeadConfig) -> Array:
    """Logits before the temperature, shape (clips, outputs), of every corpus by a head trained on the others."""
    corpora = np.array(data.corpora)
    scores = np.zeros(data.targets.shape, dtype=np.float32)
    for corpus in sorted(set(data.corpora)):
        rows = np.flatnonzero(corpora == corpus)
        rest = data.take(np.flatnonzero(corpora != corpus))
        other = fit_head(rest, config, encoder=head.encoder, encoder_sha256=head.encoder_sha256)
        scores[rows] = other.scores(data.take(rows).plain)
    return scores


def _fit_temperature(labels: tuple[str, ...], parts: list[tuple[Array, EmbeddingSet]]) -> float:
    """The temperature of least cross-entropy over the seven emotions; corpora and parts have the same weights."""
    emotions = np.array([EMOTIONS.index(emotion_of(label)) for label in labels])
    columns = np.eye(len(EMOTIONS))[emotions]

    def loss(log_temperature: float) -> float:
        total = 0.0
        for scores, data in parts:
            scaled = scores.astype(np.float64) / np.exp(log_temperature)
            powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
            answers = (powers / powers.sum(axis=1, keepdims=True)) @ columns
            losses = -((data.targets @ columns) * np.log(np.maximum(answers, 1e-12))).sum(axis=1)
            corpora = np.array(data.corpora)
            names = sorted(set(data.corpora))
            total += sum(float(losses[corpora == name].mean()) for name in names) / len(names)
        return total

    bounds = (float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[1])))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
