"""The benchmark of the gate on clips of its own making: vectors in which one label lies apart from the other."""

import numpy as np
import pytest

from benchmarks.gate import sham_round
from benchmarks.gate_data import Clips, train_head
from benchmarks.gate_power import power, rivals_of, series_without_gain, train_heads
from ser.labels import EMOTIONS
from ser.metrics import uar


@pytest.fixture
def clips() -> Clips:
    """Twelve speakers' clips of three labels, of which the model in use knows about two thirds."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 480)
    vectors = rng.normal(0.0, 1.0, (480, 8)).astype(np.float32)
    vectors[np.arange(480), truth] += 2.0
    said = np.where(rng.random(480) < 0.5, truth, rng.integers(0, 3, 480))
    logits = np.eye(len(EMOTIONS), dtype=np.float32)[said] * 2.0
    return Clips(vectors, logits, truth, np.array([f"speaker {n % 12}" for n in range(480)]))


def test_a_head_begins_as_the_model_in_use_and_learns_what_it_is_told(clips: Clips) -> None:
    untouched = train_head(clips, clips.truth, epochs=0, learning_rate=0.01)
    assert untouched.answers(clips) == clips.base_answers()
    taught = train_head(clips, clips.truth, epochs=100, learning_rate=0.03)
    before, after = (uar(clips.names(), said, EMOTIONS) for said in (clips.base_answers(), taught.answers(clips)))
    assert after > before + 0.1


@pytest.mark.parametrize("truths_too", [False, True])
def test_sham_training_is_seldom_promoted(clips: Clips, truths_too: bool) -> None:
    rng = np.random.default_rng(1)
    rounds = [sham_round(clips, clips, rng, truths_too=truths_too) for _ in range(12)]
    assert sum(bool(one["promoted"]) for one in rounds) <= 1
    assert {one["unit"] for one in rounds} <= {"speaker", "part of the sitting"}


def test_candidates_have_the_gain_that_they_are_said_to_have(clips: Clips) -> None:
    heads = train_heads(clips, np.random.default_rng(2), 3)
    for gain in (0.05, 0.15):
        rivals = rivals_of(clips, heads, gain)
        assert [one.gain for one in rivals] == pytest.approx([gain] * 3, abs=0.01)
        assert all((one.after == clips.logits).all() for one in rivals)
    even = rivals_of(clips, heads, 0.0)
    assert [one.gain for one in even] == pytest.approx([0.0] * 3, abs=0.02)
    assert all((one.before.argmax(1) != one.after.argmax(1)).any() for one in even)


def test_a_larger_gain_is_promoted_more_often(clips: Clips) -> None:
    rng = np.random.default_rng(2)
    heads = train_heads(clips, rng, 4)
    none, large = (power(clips, rivals_of(clips, heads, gain), rng, size=100, draws=25) for gain in (0.0, 0.15))
    assert none["promoted"] <= 0.2 and large["promoted"] >= 0.6
    assert none["promoted"] + 0.4 < large["promoted"] >= large["promoted_by_labels_alone"]
    assert none["mean_gain"] == pytest.approx(0.0, abs=0.03) and large["mean_gain"] == pytest.approx(0.15, abs=0.04)


def test_spending_the_level_never_promotes_where_the_whole_level_does_not(clips: Clips) -> None:
    rng = np.random.default_rng(3)
    even = rivals_of(clips, train_heads(clips, rng), 0.0)
    for _ in range(3):
        fixed, spent = series_without_gain(clips, even, rng, 60)
        assert fixed or not spent
