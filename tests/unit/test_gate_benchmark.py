"""The benchmark of the gate on clips of its own making: vectors in which one label lies apart from the other."""

from dataclasses import replace

import numpy as np
import pytest

from annotations.learning.targets.base_clips import ALLOWED_DROP, by_corpus, hold_back
from annotations.learning.targets.head_tuning import Feedback, HeadTuner, TrainingSet
from benchmarks.gate.__main__ import play, power_by_gain, rate
from benchmarks.gate.rounds import PRESET, SHAMS, TRUE, draw_store, run_round
from benchmarks.loop.embedded_corpora import Clips, Projection, World, feedback_of, recall, scaled_preset
from ser.acoustic.head import ClassifierHead
from ser.labels import EMOTIONS
from ser.training.heads import FineTuneConfig
from ser.training.rehearsal import Rehearsal

SIZE = 12


def clips_of(rng: np.random.Generator, count: int, axes: np.ndarray, corpus: str) -> Clips:
    """Twelve speakers' clips of seven labels, each along a direction of its own."""
    truth = rng.integers(0, len(EMOTIONS), count)
    embeddings = (rng.normal(0.0, 1.0, (count, SIZE)) + 2.5 * axes[truth]).astype(np.float32) / 100
    speakers = np.array([f"{corpus} {n % 12}" for n in range(count)])
    names = np.arange(count).astype(str)
    return Clips(embeddings, truth, speakers, np.full(count, corpus), names, rng.normal(size=(count, 4)))


@pytest.fixture(scope="module")
def world() -> World:
    """A head that knows the base well and the new corpus badly."""
    rng = np.random.default_rng(0)
    axes = np.eye(SIZE)[: len(EMOTIONS)]
    base, test = (clips_of(rng, 400, axes, "base") for _ in range(2))
    new = clips_of(rng, 1500, axes[:, ::-1], "new")
    kernel = (axes.T * 100).astype(np.float32)
    one, zero = np.ones(SIZE, np.float32), np.zeros(SIZE, np.float32)
    head = ClassifierHead(EMOTIONS, zero, one, kernel, np.zeros(7, np.float32), 1.0, "drawn", "0" * 64)
    replayed, guard = (
        Rehearsal(part.embeddings, np.eye(7, dtype=np.float32)[part.truth], ["base"] * 400, part.speakers.tolist())
        for part in (base, test)
    )
    project = Projection(zero, one, np.eye(SIZE, dtype=np.float32))
    return World(head, replayed, guard, guard, test, new, project)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind == "shuffled within speakers" else pytest.mark.slow)
        for kind in SHAMS
        if kind not in ("permuted", "channel")
    ],
)
def test_shams_are_seldom_promoted(world: World, kind: str) -> None:
    rows = play(world, kind, 8, np.random.default_rng(1))
    assert len(rows) == 8 and rate(rows) <= 1 / 8


def test_a_round_measures_its_effect_on_speakers_outside_the_store(world: World) -> None:
    rng = np.random.default_rng(2)
    store = draw_store(world, TRUE, rng)
    row = run_round(world, store, TRUE, 0)
    assert row["votes"] == len(store.votes) and isinstance(row["gain"], float)
    assert row["true_gain"] is None or abs(float(str(row["true_gain"]))) <= 1.0
    assert power_by_gain([row | {"true_gain": 0.05, "speakers": 6, "votes": 100}])[1]["rounds"] == 1


def test_the_base_head_recognises_its_base(world: World) -> None:
    assert recall(world.head, world.base_test) > 0.8 > recall(world.head, world.new)
    assert scaled_preset((FineTuneConfig(penalty=1.0),)).strengths[0].penalty == pytest.approx(1e-4)


@pytest.mark.slow
def test_channels_that_go_with_the_label_are_no_gain(world: World) -> None:
    """Clips that lie elsewhere by label, and features that say so."""
    rng = np.random.default_rng(3)
    offsets = rng.normal(size=(4, SIZE)) / 25
    parts = [
        replace(
            world.new,
            embeddings=(world.new.embeddings + offset).astype(np.float32),
            channel=np.eye(4)[np.full(len(world.new), place)] + 0.1 * rng.normal(size=(len(world.new), 4)),
        )
        for place, offset in enumerate(offsets)
    ]
    assert rate(play(world, "channel", 8, rng, parts)) <= 1 / 8


def test_a_head_goes_no_further_than_the_base_allows(world: World) -> None:
    swapped = replace(world.head, weights=world.head.weights[:, ::-1].copy())
    held = hold_back(swapped, world.head, world.guard)
    before, after = (by_corpus(head, world.guard, hard=False) for head in (world.head, held))
    assert before - after <= ALLOWED_DROP + 1e-9 < before - by_corpus(swapped, world.guard, hard=False)
    surer = replace(world.head, weights=1.1 * world.head.weights)
    assert np.allclose(hold_back(surer, world.head, world.guard).weights, surer.weights)


def test_clips_are_predicted_by_heads_that_saw_neither_of_their_folds(world: World) -> None:
    clips = world.new.take(np.arange(120))
    feedback = feedback_of(clips, [(place, "ann", label) for place, label in enumerate(clips.truth.tolist())])
    folds = np.stack([np.arange(120) % 3, np.arange(120) // 3 % 2], axis=1)
    seen: list[set[int]] = []

    class Watching(HeadTuner):
        def select(self, feedback: Feedback) -> TrainingSet:
            seen.append(set(feedback.clips))
            return super().select(feedback)

    tuner = Watching(world.head, PRESET, world.replayed, world.guard)
    logs = tuner.predict_out_of_fold(feedback, clips.embeddings, folds, folds)
    cells = np.unique(folds, axis=0)
    assert seen == [{n for n in range(120) if (folds[n] != cell).all()} for cell in cells]
    assert np.allclose(np.exp(logs).sum(axis=2), 1.0)
    assert logs.shape == (1, 120, 7)
