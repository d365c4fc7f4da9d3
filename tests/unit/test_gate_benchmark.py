"""The benchmark of the gate on clips of its own making: vectors in which one label lies apart from the other."""

import numpy as np
import pytest

from benchmarks.gate.__main__ import play, power_by_gain, rate
from benchmarks.gate.rounds import SHAMS, TRUE, draw_store, run_round
from benchmarks.loop.embedded_corpora import Clips, World, recall, scaled_preset
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
    return Clips(embeddings, truth, speakers, np.full(count, corpus), np.arange(count).astype(str))


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
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[base.truth]
    return World(head, Rehearsal(base.embeddings, targets, ["base"] * 400, base.speakers.tolist()), test, new)


@pytest.mark.parametrize("kind", [kind for kind in SHAMS if kind not in ("permuted", "channel")])
def test_shams_are_seldom_promoted(world: World, kind: str) -> None:
    rows = play(world, kind, 8, np.random.default_rng(1))
    assert len(rows) == 8 and rate(rows) <= 1 / 8


def test_a_round_measures_its_effect_on_speakers_outside_the_store(world: World) -> None:
    rng = np.random.default_rng(2)
    store = draw_store(world, TRUE, rng, votes=200)
    row = run_round(world, store, TRUE, 0)
    assert row["votes"] == len(store.votes) and isinstance(row["gain"], float)
    assert row["true_gain"] is None or abs(float(str(row["true_gain"]))) <= 1.0
    assert power_by_gain([row | {"true_gain": 0.05, "speakers": 6, "votes": 100}])[1]["rounds"] == 1


def test_the_base_head_knows_its_base(world: World) -> None:
    assert recall(world.head, world.base_test) > 0.8 > recall(world.head, world.new)
    assert scaled_preset((FineTuneConfig(penalty=1.0),)).strengths[0].penalty == pytest.approx(1e-4)
