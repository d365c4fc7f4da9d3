"""Temperatures, adaptation prior and novelty of a head, from clips of corpora and speakers not trained on."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ser.acoustic.head import ClassifierHead, emotion_of
from ser.acoustic.places import KnownPlaces, to_half
from ser.encoder.offsets import fit_prior
from ser.labels import EMOTIONS
from ser.training.embeddings import EmbeddingSet
from ser.training.heads import HeadConfig, fit_head

TEMPERATURES, SHARPENINGS = (0.4, 5.0), (1.0, 4.0)

NOVELTY_DIRECTIONS = 32
"""Directions of largest variance in which distance from the training clips is measured. With more, every corpus that
training has not seen is novel; with 32, 0 to 2 % of the clips of five corpora left out in turn, 95 % of single words
and 57 % of noises."""

KNOWN_SHARE = 0.997
"""Share of the training clips whose novelty is below 1."""

PLACE_DIRECTIONS = 64
"""Directions in which the distance from known corpora is measured; 32 and 128 calibrate within 0.02 of it."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Part:
    """Clips that temperatures are fitted on.

    Attributes:
        scores: logits before the temperature, shape (clips, outputs).
        familiarity: of their places, shape (clips,).
        data: the clips.
    """

    scores: Array
    familiarity: npt.NDArray[np.float64]
    data: EmbeddingSet


def calibrate_head(
    head: ClassifierHead, data: EmbeddingSet, development: EmbeddingSet | None, config: HeadConfig
) -> ClassifierHead:
    """Fit the temperatures, the adaptation prior and the novelty of a head.

    Every corpus is predicted by a head that was trained on the others. One temperature for known places and one for
    others explain these clips and those of the development speakers best, both with the same weight.

    Args:
        head: trained on `data`.
        data: training clips; with fewer than two corpora the head stays as it is, if there is no development part.
        development: clips of speakers that are not in `data`; None if there are none.
        config: how the head was fitted.
    """
    head = replace(head, novelty_basis=fit_novelty(head.standardise(data.plain), config.seed))
    standard = head.standardise(data.plain)
    directions = _directions(standard, PLACE_DIRECTIONS, config.seed)[0]
    places = fit_places(standard, directions, data.corpora)
    parts: list[Part] = []
    if len(set(data.corpora)) > 1:
        scores = out_of_corpus_scores(head, data, config)
        head = replace(head, prior=fit_prior(scores, data.targets, data.corpora, data.speakers))
        parts.append(Part(scores, _out_of_corpus_familiarity(standard, directions, data.corpora), data))
    if development is not None:
        known = places.familiarity(head.standardise(development.plain))
        parts.append(Part(head.scores(development.plain), known, development))
    if not parts:
        return head
    both = len(parts) == 2
    temperature, sharpening = _fit_temperatures(head.labels, parts, both)
    known_places = replace(places, sharpening=sharpening) if both else None
    return replace(head, temperature=temperature, places=known_places)


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
    directions, sizes = _directions(standard, NOVELTY_DIRECTIONS, seed)
    basis = directions / np.maximum(sizes, 1e-6)
    lengths = ((standard @ basis) ** 2).sum(axis=1)
    return _as_kept(basis / np.sqrt(np.quantile(lengths, KNOWN_SHARE)))


def fit_places(standard: Array, directions: Array, corpora: Sequence[str]) -> KnownPlaces:
    """Corpora in directions that are scaled so that clips scatter alike around the centers of their own.

    Args:
        standard: standardised embeddings of the training clips, shape (clips, size).
        directions: shape (size, directions).
        corpora: of the clips.
    """
    values, names = standard @ directions, np.array(corpora)
    centers = np.stack([values[names == name].mean(axis=0) for name in sorted(set(corpora))])
    apart = [values[names == name].astype(float) - at for name, at in zip(sorted(set(corpora)), centers, strict=True)]
    within = np.mean([rows.T @ rows / len(rows) for rows in apart], axis=0)
    within += np.eye(len(within)) * (1e-6 * np.trace(within) / len(within) + 1e-12)
    whitening = np.linalg.inv(np.linalg.cholesky(within)).T / np.sqrt(len(within))
    spreads = np.array([np.mean(((rows @ whitening) ** 2).sum(axis=1)) for rows in apart])
    basis, there = _as_kept(directions @ whitening), centers @ whitening
    return KnownPlaces(basis, there.astype(np.float32), np.maximum(spreads, 1e-6).astype(np.float32))


def _as_kept(basis: npt.NDArray[np.floating]) -> Array:
    """Round to the precision that the file of a head keeps."""
    return to_half(basis).astype(np.float32)


def _out_of_corpus_familiarity(standard: Array, directions: Array, corpora: Sequence[str]) -> npt.NDArray[np.float64]:
    """Familiarity of each clip if its own corpus were not known."""
    names = np.array(corpora)
    found = np.zeros(len(standard))
    for name in sorted(set(corpora)):
        rest = names != name
        found[~rest] = fit_places(standard[rest], directions, names[rest].tolist()).familiarity(standard[~rest])
    return found


def _directions(standard: Array, count: int, seed: int) -> tuple[Array, Array]:
    """Directions of largest variance, shape (size, directions), and their singular values."""
    # Imported here, because a worker that only needs the names of the recipe should not wait a second for it.
    randomized_svd = importlib.import_module("sklearn.utils.extmath").randomized_svd
    _, sizes, rows = randomized_svd(standard, min(count, *standard.shape), random_state=seed)
    return rows.T, sizes


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


def _fit_temperatures(labels: tuple[str, ...], parts: list[Part], both: bool) -> tuple[float, float]:
    """Temperature, and its divisor in known places, of least cross-entropy over the seven emotions.

    Corpora and parts have the same weights; without `both` there is one temperature, and the divisor is 1.
    """
    emotions = np.array([EMOTIONS.index(emotion_of(label)) for label in labels])
    columns = np.eye(len(EMOTIONS))[emotions]

    def loss(logs: npt.NDArray[np.float64]) -> float:
        total = 0.0
        for part in parts:
            divisors = np.exp(logs[0] - (logs[1] * part.familiarity if both else 0.0))
            scaled = part.scores.astype(np.float64) / np.reshape(divisors, (-1, 1))
            powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
            answers = (powers / powers.sum(axis=1, keepdims=True)) @ columns
            losses = -((part.data.targets @ columns) * np.log(np.maximum(answers, 1e-12))).sum(axis=1)
            corpora = np.array(part.data.corpora)
            names = sorted(set(part.data.corpora))
            total += sum(float(losses[corpora == name].mean()) for name in names) / len(names)
        return total

    limits = [(float(np.log(low)), float(np.log(high))) for low, high in (TEMPERATURES, SHARPENINGS)]
    found = minimize(loss, [0.0, 0.0], method="L-BFGS-B", bounds=limits).x
    return float(np.exp(found[0])), float(np.exp(found[1])) if both else 1.0
