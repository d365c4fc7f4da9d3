"""Fits a classifier head on embeddings, and fine-tunes one from feedback; seeded. Reads no audio.

Only a hidden layer, which is trained by gradient, brings in torch.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from ser.acoustic.head import LIMIT, ClassifierHead
from ser.acoustic.hidden import HiddenLayer
from ser.training.embeddings import EmbeddingSet
from ser.training.logistic import minimise
from ser.training.rehearsal import Rehearsal

Array = npt.NDArray[np.float32]

BLOCK = 2048
"""Clips that are brought to single precision at once."""

UNTOLD = -30.0
"""Added to the logit of an output that a clip says nothing of."""


@dataclass(frozen=True)
class HiddenConfig:
    """Settings of a head's hidden layer, trained by gradient with a linear map past it.

    Attributes:
        dimensions: principal components that go into it.
        width: of the layer.
        epochs: passes over the clips, each with one of its copies.
        batch_size: clips in a step.
        learning_rate: of AdamW, at most.
        weight_decay: of the same.
        dropout: share of the features that a step does without.
        input_dropout: the same of the components.
        mixup: clips are mixed in pairs, the shares drawn from a beta distribution with this parameter; 0 for none.
        moved: share of the copies in which the clip is changed by what another clip's copy was changed by.
    """

    dimensions: int = 512
    width: int = 1024
    epochs: int = 60
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    dropout: float = 0.6
    input_dropout: float = 0.1
    mixup: float = 0.2
    moved: float = 0.5


@dataclass(frozen=True)
class HeadConfig:
    """Settings of fitting a head.

    Attributes:
        dimensions: principal components of the embeddings that the head is fitted in; fewer components fit faster and
            leave out what varies little.
        penalty: on the squared weights, for embeddings whose first component has unit variance.
        absent: logit added in training to the labels that a clip's corpus lacks. Minus infinity would mask them, and
            leave the head free to give them to every clip of that corpus; 0 would say that they were never felt.
        copies: share of the loss that augmented copies carry.
        corpora: weight of each corpus in the loss; 1 where it is not named.
        iterations: of L-BFGS at most.
        hidden: of the layer that the head gets; None for a linear head.
        hidden_copies: share of the clips that the layer is trained on which are copies.
        seed: of what is drawn.
    """

    dimensions: int = 1500
    penalty: float = 1e-4
    absent: float = -2.0
    copies: float = 0.4
    corpora: Mapping[str, float] = field(default_factory=dict)
    iterations: int = 200
    hidden: HiddenConfig | None = None
    hidden_copies: float = 0.6
    seed: int = 0


@dataclass(frozen=True)
class FineTuneConfig:
    """Settings of fine-tuning a head on feedback.

    Attributes:
        penalty: on the squared distance from the weights before.
        rehearsal: weight of the base's clips relative to that of the feedback.
        iterations: of L-BFGS at most.
    """

    penalty: float = 0.1
    rehearsal: float = 1.0
    iterations: int = 60


def fit_head(data: EmbeddingSet, config: HeadConfig, *, encoder: str, encoder_sha256: str) -> ClassifierHead:
    """Fit a head: multinomial logistic regression on principal components, folded into one linear map.

    Every label of a corpus has the same weight in the loss, and every corpus what the configuration gives it. A hidden
    layer is trained apart, and the logits of both are added: either is better on what the other is worse on.

    Args:
        data: to train on.
        config: how.
        encoder: that made the embeddings, as `ser.encoder.loading.load_encoder` takes it.
        encoder_sha256: of it.
    """
    mean, scale = _moments(data.embeddings[:, 0])

    def standardise(rows: npt.NDArray[np.floating]) -> Array:
        return np.clip((rows.astype(np.float32) - mean) / scale, -LIMIT, LIMIT)

    center, components = _components(data.embeddings[:, 0], standardise, config.dimensions)

    def project(rows: npt.NDArray[np.floating]) -> Array:
        parts = [(standardise(block) - center) @ components for block in _blocks(rows)]
        return np.concatenate(parts).astype(np.float32)

    copies = data.embeddings.shape[1] - 1
    shares = [1.0 - config.copies, *[config.copies / copies] * copies] if copies else [1.0]
    values = [project(data.embeddings[:, copy]) for copy in range(copies + 1)]
    weights, allowed = _weights_and_labels(data, config)
    absent = np.where(allowed, 0.0, config.absent).astype(np.float32)
    total = np.concatenate([share * weights for share in shares])
    start = np.zeros((components.shape[1] + 1, data.targets.shape[1]))
    targets, offsets = (np.tile(rows, (copies + 1, 1)) for rows in (data.targets, absent))
    table = minimise(np.concatenate(values), targets, total, offsets, start, config)
    strong, strong_bias = _intensity_head(data, values[0], weights, config)
    kernel = components @ table[:-1]
    head = ClassifierHead(
        labels=tuple(data.labels),
        mean=mean,
        scale=scale,
        weights=np.asarray(kernel, dtype=np.float32),
        bias=np.asarray(table[-1] - center @ kernel, dtype=np.float32),
        temperature=1.0,
        encoder=encoder,
        encoder_sha256=encoder_sha256,
        intensity_weights=None if strong is None else np.asarray(components @ strong, dtype=np.float32),
        intensity_bias=0.0 if strong is None else float(strong_bias - center @ (components @ strong)),
    )
    if config.hidden is None:
        return head
    inner = components[:, : config.hidden.dimensions]
    return _with_hidden_layer(
        head, [rows[:, : inner.shape[1]] for rows in values], data, weights, absent, inner, center, config
    )


def _with_hidden_layer(
    head: ClassifierHead,
    values: Sequence[Array],
    data: EmbeddingSet,
    weights: Array,
    absent: Array,
    components: Array,
    center: Array,
    config: HeadConfig,
) -> ClassifierHead:
    """Train a hidden layer on the components of clips and copies, and add its logits to a linear head's."""
    # Only here is torch brought in.
    trainer = importlib.import_module("ser.training.hidden_layer")
    clips = trainer.Clips(values, data.targets, weights, absent)
    trained = trainer.train_hidden_layer(clips, config.hidden, config.hidden_copies, config.seed)
    direct = components @ trained.direct
    return replace(
        head,
        weights=np.vstack([head.weights + direct, trained.outputs]),
        bias=head.bias + trained.output_bias - center @ direct,
        hidden=HiddenLayer.of(components, trained.weights, trained.bias - center @ components @ trained.weights),
    )


def fine_tune_head(
    head: ClassifierHead,
    embeddings: Array,
    targets: Array,
    weights: Array,
    *,
    rehearsal: Rehearsal | None,
    config: FineTuneConfig,
    replayed: Array | None = None,
) -> ClassifierHead:
    """Fine-tune a head on feedback, near to its old weights, replaying clips of the base.

    Args:
        head: to begin with; it is not changed.
        embeddings: of the clips, shape (clips, size).
        targets: soft labels of the clips, shape (clips, classes), in the order of the head's classes.
        weights: of each clip, shape (clips,).
        rehearsal: clips of the base; None where there are none.
        config: how.
        replayed: the head's features of these clips, if they are known.
    """
    values, truth, total = head.features(embeddings), targets, weights / weights.sum()
    if rehearsal is not None and len(rehearsal) and config.rehearsal:
        values = np.concatenate([values, head.features(rehearsal.embeddings) if replayed is None else replayed])
        truth = np.concatenate([truth, rehearsal.targets])
        total = np.concatenate([total, np.full(len(rehearsal), config.rehearsal / len(rehearsal), np.float32)])
    # Outputs beyond the seven share an emotion's target by what the head before held them for.
    places = head.class_places
    # At the head's temperature: votes that it contradicts with too much certainty would pull too hard elsewhere, too.
    start = np.vstack([head.weights, head.bias[None]]).astype(float) / head.temperature
    logits = (values @ head.weights + head.bias) / head.temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    sums = np.stack([powers[:, places == place].sum(axis=1) for place in range(len(head.classes))], axis=1)
    spread = truth[:, places] * powers / np.maximum(sums[:, places], 1e-12)
    offsets = np.zeros_like(spread)
    if head.means is not None and rehearsal is not None:
        # What a label means that no base clip has, the base cannot tell: there it must not learn that it never occurs.
        offsets[len(embeddings) :, ~np.asarray(rehearsal.targets.any(axis=0))[places]] = UNTOLD
    table = minimise(values, spread, total, offsets, start, config) * head.temperature
    return replace(head, weights=table[:-1].astype(np.float32), bias=table[-1].astype(np.float32))


def principal_components(values: Array, count: int) -> tuple[Array, Array]:
    """Mean of values, shape (size,), and their components, shape (size, count), the first one of unit variance."""
    return _components(values, np.asarray, count)


def _blocks(rows: npt.NDArray[np.floating]) -> Iterator[npt.NDArray[np.floating]]:
    """Some clips at a time: of many clips' embeddings one copy in half precision is all that memory should hold."""
    for first in range(0, len(rows), BLOCK):
        yield rows[first : first + BLOCK]


def _moments(rows: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """Mean of embeddings and, bounded from below, their standard deviation."""
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in _blocks(rows)) / len(rows)
    squares = sum(((block - mean) ** 2).sum(axis=0) for block in _blocks(rows))
    spread = np.sqrt(squares / len(rows))
    scale = np.maximum(spread, 1e-3 * float(np.median(spread)) + 1e-9)
    return mean.astype(np.float32), np.asarray(scale, dtype=np.float32)


def _components(
    rows: npt.NDArray[np.floating], standardise: Callable[[npt.NDArray[np.floating]], Array], count: int
) -> tuple[Array, Array]:
    """Mean of standardised embeddings, and principal components scaled so that the first has unit variance."""
    clips, size = rows.shape
    count = min(count, size, clips)
    if clips < size:
        values = standardise(rows)
        center = values.mean(axis=0)
        values -= center
        sizes, left = eigh(values @ values.T / clips, subset_by_index=[clips - count, clips - 1])
        vectors = values.T @ left / np.sqrt(np.maximum(sizes, 1e-9) * clips)
    else:
        center = np.asarray(sum(standardise(block).sum(axis=0, dtype=np.float64) for block in _blocks(rows)) / clips)
        center = center.astype(np.float32)
        covariance = np.zeros((size, size), dtype=np.float32)
        for block in _blocks(rows):
            values = standardise(block) - center
            covariance += values.T @ values
        sizes, vectors = eigh(covariance / clips, subset_by_index=[size - count, size - 1], overwrite_a=True)
    return center, np.asarray(vectors[:, ::-1] / np.sqrt(max(float(sizes[-1]), 1e-12)), dtype=np.float32)


def _weights_and_labels(data: EmbeddingSet, config: HeadConfig) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Weight of each example, and which labels its corpus has."""
    corpora = np.array(data.corpora)
    allowed = np.zeros(data.targets.shape, dtype=np.bool_)
    weights = np.zeros(len(data), dtype=np.float32)
    for corpus in sorted(set(data.corpora)):
        rows = corpora == corpus
        support = data.targets[rows].sum(axis=0)
        allowed[rows] = support > 0
        even = (data.targets[rows] / np.maximum(support, 1e-6)).sum(axis=1) / (support > 0).sum()
        weights[rows] = config.corpora.get(corpus, 1.0) * even
    return weights * data.weights, allowed


def _intensity_head(
    data: EmbeddingSet, values: Array, weights: Array, config: HeadConfig
) -> tuple[npt.NDArray[np.float64] | None, float]:
    """Weights and bias of a logistic regression on the clips whose intensity is known; None where none is."""
    known = np.flatnonzero(~np.isnan(data.intensities))
    if not len(known) or np.ptp(data.intensities[known]) == 0.0:
        return None, 0.0
    strong = data.intensities[known]
    targets = np.stack([1.0 - strong, strong], axis=1)
    start = np.zeros((values.shape[1] + 1, 2))
    table = minimise(values[known], targets, weights[known], np.zeros_like(targets), start, config)
    return table[:-1, 1] - table[:-1, 0], float(table[-1, 1] - table[-1, 0])
