"""Corpora as embeddings for benchmarks of learning: base heads that have not seen a corpus, and stores drawn from it.

Embeddings are projected on a few hundred principal components of the base, so that a head is fitted in milliseconds:
with the penalty scaled alike that is the same fit, in the directions that vary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.learning.promotion.confounds import FEATURES, channel_of_clips
from annotations.learning.targets.base_clips import distilled
from annotations.learning.targets.head_tuning import Feedback
from annotations.learning.targets.presets import HeadPreset
from annotations.store.records import Correction
from ser.acoustic.head import LIMIT, ClassifierHead
from ser.acoustic.hidden import HiddenLayer
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.evaluation.metrics import fit_temperature, uar
from ser.labels import EMOTIONS
from ser.training.clip_embeddings import CACHE_VERSION, CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.heads import FineTuneConfig, HeadConfig, HiddenConfig, fit_head
from ser.training.recipe import HEAD_LABELS, RESERVED_SPEAKERS, plainly_labelled
from ser.training.rehearsal import Rehearsal

TRAINED = ("ravdess", "nemo", "emodb-full", "cremad")
"""Corpora that shipped weights are trained on."""

MEASURED = ("tess", "turev")
"""Corpora that are only measured on; heads made here are thrown away."""

DIMENSIONS = 256
SHRINK = 100.0
"""Projected embeddings are divided by it, so that none is clipped as an outlier."""

NEW_CLIPS = 2500
"""Clips of a new corpus that stores are drawn from: decoding more takes minutes."""

REHEARSAL_CLIPS, GUARD_CLIPS, TEST_CLIPS = 800, 140, 140
"""As many as the shipped weights come with: to be replayed, to bound how far a head goes, and to test it."""

APART = 4
"""One in so many speakers of each base corpus is not trained on: a half of them bounds heads, the other half tests."""

Array = npt.NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Clips:
    """Embedded clips of one corpus or several.

    Attributes:
        embeddings: shape (clips, size).
        truth: index of each clip's label in `EMOTIONS`.
        speakers: of each clip.
        corpora: of each clip.
        names: of each clip's file.
        channel: `confounds.channel_features` of each, shape (clips, features); zeros if they were not asked for.
    """

    embeddings: Array
    truth: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.str_]
    corpora: npt.NDArray[np.str_]
    names: npt.NDArray[np.str_]
    channel: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Clips":
        """Select clips."""
        return Clips(
            self.embeddings[rows],
            self.truth[rows],
            self.speakers[rows],
            self.corpora[rows],
            self.names[rows],
            self.channel[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence["Clips"]) -> "Clips":
        """Put the clips of several corpora together."""
        fields = ("embeddings", "truth", "speakers", "corpora", "names", "channel")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


@dataclass(frozen=True, eq=False)
class Projection:
    """Projection of embeddings on the base's principal components.

    Attributes:
        mean: of the base, shape (size,).
        scale: likewise.
        axes: shape (size, `DIMENSIONS`).
    """

    mean: Array
    scale: Array
    axes: Array

    def standardise(self, rows: Array) -> Array:
        """Standardise as heads do."""
        return np.clip((rows - self.mean) / self.scale, -LIMIT, LIMIT)

    def __call__(self, clips: Clips) -> Clips:
        """The same clips with projected embeddings."""
        return replace(clips, embeddings=(self.standardise(clips.embeddings) @ self.axes / SHRINK).astype(np.float32))


@dataclass(frozen=True, eq=False)
class World:
    """A base head and the corpus that it has not seen.

    Attributes:
        head: trained on the other corpora.
        replayed: base clips for rehearsal.
        guard: base clips of other speakers, which bound how far a head moves, as many as the product has.
        tested: base clips of yet other speakers, as many as the product's gate has.
        base_test: all clips of these.
        new: clips of the corpus.
        project: as the embeddings of all these were projected.
    """

    head: ClassifierHead
    replayed: Rehearsal
    guard: Rehearsal
    tested: Rehearsal
    base_test: Clips
    new: Clips
    project: Projection


def load_embedded(data: Path, corpus: str) -> Clips:
    """Embed a corpus, or read its embeddings from the cache; reserved speakers are left out."""
    encoder = load_encoder()
    path = default_cache_dir() / "corpora" / f"{corpus}-{encoder.sha256[:8]}-int8-{CACHE_VERSION}.npz"
    if not path.is_file():
        examples = plainly_labelled(read_corpus(data / corpus, HEAD_LABELS).examples)
        found = embed_examples(
            examples, EmbeddingPlan(CopyPlan(cache_dir=default_cache_dir()), tolerated=0.05, labels=HEAD_LABELS)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        labels = np.array([HEAD_LABELS[place] for place in found.targets.argmax(1)])
        names = np.array([Path(name).name for name in found.paths])
        np.savez(path, embeddings=found.embeddings[:, 0], labels=labels, speakers=np.array(found.speakers), names=names)
    saved = np.load(path)
    emotions = np.array([EMOTIONS.index(name) if name in EMOTIONS else -1 for name in saved["labels"].tolist()])
    reserved = np.isin(saved["speakers"], RESERVED_SPEAKERS)
    rows = np.flatnonzero((emotions >= 0) & ~reserved)
    embeddings = saved["embeddings"][rows].astype(np.float32)
    names, channel = saved["names"][rows], np.zeros((len(rows), FEATURES))
    return Clips(embeddings, emotions[rows], saved["speakers"][rows], np.full(len(rows), corpus), names, channel)


def clip_paths(data: Path, corpus: str) -> dict[str, Path]:
    """{name: path} of a corpus's clips."""
    return {Path(example.path).name: Path(example.path) for example in read_corpus(data / corpus, HEAD_LABELS).examples}


def load_new(data: Path, corpus: str) -> Clips:
    """Load a corpus as `load_embedded`, up to `NEW_CLIPS` of whole speakers, with the features of their channels."""
    clips = load_embedded(data, corpus)
    names, counts = np.unique(clips.speakers, return_counts=True)
    order = np.random.default_rng(0).permutation(len(names))
    kept = names[order[np.cumsum(counts[order]) <= max(NEW_CLIPS, counts[order[:2]].sum())]]
    clips = clips.take(np.isin(clips.speakers, kept)) if len(clips) > NEW_CLIPS else clips
    file = default_cache_dir() / "corpora" / f"{corpus}-channel-{FEATURES}.npy"
    if not file.is_file():
        paths = clip_paths(data, corpus)
        np.save(file, channel_of_clips([paths[name] for name in clips.names.tolist()]))
    return replace(clips, channel=np.load(file))


def world_without(data: Path, corpus: str, rng: Rng, *, hidden: bool = True) -> World:
    """Train a base head on the corpora but one, and keep that one as new.

    Args:
        data: folder of the corpora.
        corpus: that is new.
        rng: draws speakers and clips.
        hidden: whether the head has a hidden layer, as the shipped one does.
    """
    base = Clips.joined([load_embedded(data, name) for name in TRAINED if name != corpus])
    new = load_new(data, corpus)
    unit = np.zeros((1, 1), dtype=np.float32)
    plain = Projection(base.embeddings.mean(0), np.maximum(base.embeddings.std(0), 1e-3), unit)
    some = plain.standardise(base.embeddings[rng.permutation(len(base))[:2000]])
    sizes, vectors = np.linalg.eigh((some - some.mean(0)) @ (some - some.mean(0)).T)
    largest = np.argsort(sizes)[::-1][:DIMENSIONS]
    project = replace(plain, axes=(some - some.mean(0)).T @ vectors[:, largest] / np.sqrt(sizes[largest]))
    base, new = project(base), project(new)
    bounding, testing = _speakers_apart(base, rng)
    bound, test = (base.take(np.isin(base.speakers, names)) for names in (bounding, testing))
    train = base.take(~np.isin(base.speakers, bounding + testing))
    config = HeadConfig(dimensions=DIMENSIONS, hidden=HiddenConfig(dimensions=DIMENSIONS) if hidden else None)
    head = _unscaled(fit_head(_as_set(train), config, encoder="projected", encoder_sha256="0" * 64))
    head = replace(head, temperature=fit_temperature(head.scores(bound.embeddings), _targets(bound.truth)))
    parts = ((train, REHEARSAL_CLIPS), (bound, GUARD_CLIPS), (test, TEST_CLIPS))
    replayed, guard, tested = (_as_rehearsal(part.take(_evenly(part, count, rng))) for part, count in parts)
    return World(head, distilled(replayed, head), guard, tested, test, new, project)


def scaled_preset(strengths: Sequence[FineTuneConfig]) -> HeadPreset:
    """The same regularisation for embeddings that were divided by `SHRINK`."""
    return HeadPreset(0, tuple(replace(each, penalty=each.penalty / SHRINK**2) for each in strengths))


def fit_scratch(clips: Clips, truth: npt.NDArray[np.int64], labels: Sequence[str]) -> ClassifierHead:
    """Fit a head on projected clips alone, with labels of its own."""
    targets = np.eye(len(labels), dtype=np.float32)[truth]
    data = replace(_as_set(clips), targets=targets, labels=tuple(labels))
    config = HeadConfig(dimensions=min(DIMENSIONS, len(clips) - 1))
    head = fit_head(data, config, encoder="projected", encoder_sha256="0" * 64)
    return replace(head, means=dict.fromkeys(labels, ()))


def feedback_of(clips: Clips, votes: Sequence[tuple[int, str, int]], labels: Sequence[str] = EMOTIONS) -> Feedback:
    """Votes on clips as training takes them.

    Args:
        clips: that are labelled.
        votes: clip, rater, index of the label.
        labels: that the votes are for.
    """
    given = [
        Correction(number, clip, None, rater, "correct", labels[label], None, None, "2026-01-01")
        for number, (clip, rater, label) in enumerate(votes)
    ]
    embeddings = clips.embeddings[:, None].astype(np.float16)
    return Feedback.of(list(range(len(clips))), clips.speakers.tolist(), embeddings, given)


def recall(head: ClassifierHead, clips: Clips) -> float:
    """Unweighted average recall of a head."""
    said = [EMOTIONS[place] for place in head.probabilities(clips.embeddings).argmax(1)]
    return uar([EMOTIONS[label] for label in clips.truth], said, EMOTIONS)


def mean_recall(head: ClassifierHead, clips: Clips) -> float:
    """The same, mean over the corpora."""
    return float(np.mean([recall(head, clips.take(clips.corpora == name)) for name in np.unique(clips.corpora)]))


def _speakers_apart(base: Clips, rng: Rng) -> tuple[list[str], list[str]]:
    """Draw speakers of every corpus that bound heads, and others that test them."""
    bounding, testing = [], []
    for corpus in np.unique(base.corpora):
        names = rng.permutation(np.unique(base.speakers[base.corpora == corpus])).tolist()
        count = max(2, len(names) // APART)
        bounding += names[: count // 2]
        testing += names[count // 2 : count]
    return bounding, testing


def _evenly(clips: Clips, count: int, rng: Rng) -> npt.NDArray[np.int64]:
    """Draw clips so that corpora and, within each, labels are alike: others would move the head by themselves."""
    cells = [f"{corpus} {label}" for corpus, label in zip(clips.corpora, clips.truth, strict=True)]
    _, cell, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    labels = {name: len(np.unique(clips.truth[clips.corpora == name])) for name in np.unique(clips.corpora)}
    weights = 1.0 / sizes[cell] / np.array([labels[name] for name in clips.corpora])
    return rng.choice(len(clips), min(count, len(clips)), replace=False, p=weights / weights.sum())


def _unscaled(head: ClassifierHead) -> ClassifierHead:
    """The same head without a scale of its own for each direction, as distances between weights are penalised.

    The features of a hidden layer are divided by `SHRINK`, as embeddings are.
    """
    size, one = len(head.scale), np.ones_like(head.scale)
    kernel = head.weights.copy()
    kernel[:size] /= head.scale[:, None]
    bias = head.bias - head.mean @ kernel[:size]
    plain = replace(head, mean=0.0 * head.mean, scale=one, weights=kernel, bias=bias)
    if head.hidden is None:
        return plain
    components, weights = head.hidden.maps
    inner = components / head.scale[:, None] @ weights / SHRINK
    # Not rounded: with steps of one, the numbers are what they are.
    steps, shift = np.ones(head.hidden.width, dtype=np.float32), head.mean @ inner
    layer = HiddenLayer(np.eye(size), one, inner, steps, head.hidden.bias / SHRINK - shift)  # type: ignore[arg-type]
    kernel[size:] *= SHRINK
    return replace(plain, weights=kernel, hidden=layer)


def _targets(truth: npt.NDArray[np.int64]) -> Array:
    return np.eye(len(EMOTIONS), dtype=np.float32)[truth]


def _as_rehearsal(clips: Clips) -> Rehearsal:
    return Rehearsal(clips.embeddings, _targets(clips.truth), clips.corpora.tolist(), clips.speakers.tolist())


def _as_set(clips: Clips) -> EmbeddingSet:
    return EmbeddingSet(
        clips.embeddings[:, None].astype(np.float16),
        _targets(clips.truth),
        np.ones(len(clips), dtype=np.float32),
        clips.speakers.tolist(),
        clips.corpora.tolist(),
        EMOTIONS,
        [""] * len(clips),
        np.full(len(clips), np.nan, dtype=np.float32),
    )
