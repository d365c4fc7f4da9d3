"""Clips that are drawn, and how often."""

from collections.abc import Sequence

import numpy as np
import pytest

from ser.config import TrainConfig
from ser.training.sampling import Sampler, class_weights, draw_probabilities


def sampler(config: TrainConfig, count: int = 50, corpora: Sequence[str] | None = None) -> Sampler:
    targets = np.eye(7, dtype=np.float32)[[i % 7 for i in range(count)]]
    lengths = np.arange(count, dtype=np.int64) + 8000
    return Sampler(targets, corpora or ["a"] * count, lengths, config)


def test_the_plan_of_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    first, again = (sampler(TrainConfig(epoch_size=40)) for _ in range(2))
    assert [p.tolist() for p in first.plan(3)] == [p.tolist() for p in again.plan(3)]
    assert [p.tolist() for p in first.plan(3)] != [p.tolist() for p in again.plan(4)]


def test_corpora_and_labels_are_drawn_by_weight() -> None:
    targets = np.eye(7, dtype=np.float32)[[0] * 9 + [1, 0, 1]]
    chances = draw_probabilities(targets, ["a"] * 10 + ["b"] * 2, {"a": 3.0})
    assert chances.sum() == pytest.approx(1.0)
    assert chances[:10].sum() == pytest.approx(0.75)
    assert chances[9] == pytest.approx(0.375) and chances[10] == pytest.approx(0.125)


def test_an_epoch_shows_every_example_once() -> None:
    drawn = sampler(TrainConfig(batch_size=8))
    steps = drawn.plan(1)
    assert sorted(place for step in steps for place in step) == list(range(50))
    assert drawn.steps == len(steps) == 7


def test_clips_of_like_length_share_a_step() -> None:
    steps = sampler(TrainConfig(batch_size=8), count=64).plan(1)
    assert max(int(step.max() - step.min()) for step in steps) == 7


def test_drawing_evenly_is_not_counted_twice() -> None:
    assert sampler(TrainConfig(epoch_size=40)).label_weights.tolist() == pytest.approx([1.0] * 7)
    targets = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    assert class_weights(targets, 0.5)[1] > class_weights(targets, 0.5)[0]
