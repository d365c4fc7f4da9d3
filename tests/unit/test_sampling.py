"""Which clips are drawn, how often and in what company."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ser.acoustic.features import FEATURE_SIZE
from ser.config import TrainConfig
from ser.training.dataset import BatchDrawer, FeatureSet
from ser.training.sampling import draw_probabilities


def features(count: int, corpora: Sequence[str], labels: Sequence[int]) -> FeatureSet:
    generator = np.random.default_rng(0)
    return FeatureSet(
        [[generator.standard_normal((20 + i, FEATURE_SIZE)).astype(np.float16)] for i in range(count)],
        np.eye(7, dtype=np.float32)[list(labels)],
        np.ones(count, dtype=np.float32),
        [f"s{i}" for i in range(count)],
        list(corpora),
    )


def test_several_clips_of_a_speaker_share_a_batch() -> None:
    data = features(40, ["a"] * 40, [i % 7 for i in range(40)])
    data = replace(data, speakers=[f"s{i % 5}" for i in range(40)])
    config = TrainConfig.tiny(batch_size=12, speakers_per_batch=3, augment=False, mixup=1.0, mixup_probability=1.0)
    drawer = BatchDrawer(data, config)
    batches = list(drawer.epoch())
    assert len(batches) == drawer.sampler.steps == 4
    for batch in batches:
        assert len(batch.speakers) == 12
        # Side by side, four clips of each drawn speaker.
        assert all(len(set(batch.speakers[first : first + 4].tolist())) == 1 for first in (0, 4, 8))


def test_the_plan_of_an_epoch_is_the_same_whenever_it_is_asked_for() -> None:
    data = features(50, ["a"] * 50, [i % 7 for i in range(50)])
    first, again = (BatchDrawer(data, TrainConfig.tiny(epoch_size=40)) for _ in range(2))
    assert [p.tolist() for p in first.sampler.plan(3)] == [p.tolist() for p in again.sampler.plan(3)]
    assert [p.tolist() for p in first.sampler.plan(3)] != [p.tolist() for p in again.sampler.plan(4)]
    places = first.sampler.plan(3)[0]
    assert torch.equal(first.draw(places, 3, 0).input_features, again.draw(places, 3, 0).input_features)
    assert not torch.equal(first.draw(places, 3, 0).input_features, again.draw(places, 3, 1).input_features)


def test_corpora_and_labels_are_drawn_by_weight() -> None:
    data = features(12, ["a"] * 10 + ["b"] * 2, [0] * 9 + [1, 0, 1])
    chances = draw_probabilities(data.targets, data.corpora, {"a": 3.0})
    assert chances.sum() == pytest.approx(1.0)
    assert chances[:10].sum() == pytest.approx(0.75)
    assert chances[9] == pytest.approx(0.375) and chances[10] == pytest.approx(0.125)


def test_an_epoch_shows_every_example_once() -> None:
    data = features(50, ["a"] * 50, [i % 7 for i in range(50)])
    config = TrainConfig.tiny(augment=False, mixup=0.0, batch_size=8)
    drawer = BatchDrawer(data, config)
    seen = [float(value) for batch in drawer.epoch() for value in batch.input_features[:, 0, 0]]
    assert sorted(seen) == sorted(float(v[0][0, 0]) for v in data.variants)
    assert drawer.sampler.steps == len(list(drawer.epoch()))
