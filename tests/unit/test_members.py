"""Several networks in one model: trained in turn, joined, saved in half precision, answering in the seven emotions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.acoustic.classifier import load_network
from ser.acoustic.features import FEATURE_SIZE
from ser.acoustic.network import split_members
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError
from ser.labels import EMOTIONS, RAVDESS_EIGHT
from ser.training.dataset import FeatureSet
from ser.training.members import fresh_network, in_emotions
from ser.training.recipe import plainly_labelled
from ser.training.run import train_on_features
from ser.training.run_state import has_state, hash_tensors
from ser.types import Example

SIZES = {**TrainConfig.tiny().network, "members": [{}, {"pitch_channels": ()}]}
CONFIG = TrainConfig.tiny(epochs=2, epoch_size=32, network=SIZES, heard_labels=RAVDESS_EIGHT, intensity_weight=0.5)


def features(seed: int, count: int = 48) -> FeatureSet:
    """Clips whose label and intensity lift some of their features."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % len(RAVDESS_EIGHT)
    strong = (np.arange(count) // len(RAVDESS_EIGHT)) % 2
    variants = []
    for label, loud in zip(labels, strong, strict=True):
        clip = generator.standard_normal((24, FEATURE_SIZE))
        clip[:, 10 * label : 10 * label + 10] += 2.0
        clip[:, 90:] += 2.0 * loud
        variants.append([clip.astype(np.float16)])
    return FeatureSet(
        variants,
        np.eye(len(RAVDESS_EIGHT), dtype=np.float32)[labels],
        np.ones(count, dtype=np.float32),
        [f"s{n % 6}" for n in range(count)],
        ["made"] * count,
        intensities=strong.astype(np.float32),
    )


def test_members_are_trained_in_turn_and_counted_as_one_run() -> None:
    seen = []
    model = train_on_features(features(0), CONFIG, dev=features(1), on_progress=seen.append)
    assert [entry["epoch"] for entry in model.curve] == [1, 2, 3, 4]
    assert max(p.epoch for p in seen) == seen[-1].epochs == 4 and seen[-1].step == seen[-1].steps
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    first, second = split_members(model.network)
    assert first.members[0].pitch_front is not None and second.members[0].pitch_front is None


def test_a_network_begins_alike_alone_and_beside_others() -> None:
    """So a seed that did well alone does well in company."""
    beside = split_members(fresh_network(CONFIG))[0]
    alone = fresh_network(TrainConfig.tiny(heard_labels=RAVDESS_EIGHT))
    assert hash_tensors(beside.state_dict()) == hash_tensors(alone.state_dict())
    twins = split_members(fresh_network(replace(CONFIG, network={**SIZES, "members": [{}, {}]})))
    assert hash_tensors(twins[0].state_dict()) != hash_tensors(twins[1].state_dict())


def test_calm_is_told_from_neutral_only_where_a_corpus_has_both() -> None:
    def heard(*labels: str) -> list[str]:
        examples = [Example(Path(f"{n}.wav"), label, "s1", "made") for n, label in enumerate(labels)]
        return [example.hard_label for example in plainly_labelled(examples)]

    assert heard("anger", "calm", "calm") == ["anger", "neutral", "neutral"]
    assert heard("anger", "calm", "neutral") == ["anger", "calm", "neutral"]


def test_the_answer_is_in_the_seven_emotions_and_calm_is_neutral(tmp_path: Path) -> None:
    model = train_on_features(features(0), CONFIG, dev=features(1))
    assert model.labels == EMOTIONS and model.network.config.heard() == RAVDESS_EIGHT
    assert 0.0 <= model.metrics["dev"]["uar"]["made"] <= 1.0
    merged = in_emotions(features(0), RAVDESS_EIGHT).targets
    assert merged.shape == (48, len(EMOTIONS)) and (merged.sum(1) == 1.0).all()
    assert merged[:, EMOTIONS.index("neutral")].sum() == 12
    model.save(tmp_path / "model")
    loaded = load_network(tmp_path / "model")
    assert loaded.dtype == torch.float32
    assert hash_tensors(loaded.state_dict()) == hash_tensors(model.network.state_dict())


def test_a_kept_run_goes_on_with_the_member_whose_turn_it_was(tmp_path: Path) -> None:
    asked = iter(range(100))
    with pytest.raises(TrainingCancelledError):
        train_on_features(features(0), CONFIG, checkpoint_dir=tmp_path / "kept", should_stop=lambda: next(asked) == 10)
    assert has_state(tmp_path / "kept")
    steps: list[int] = []
    resumed = train_on_features(
        features(0), CONFIG, checkpoint_dir=tmp_path / "kept", on_progress=lambda p: steps.append(p.step)
    )
    straight = train_on_features(features(0), CONFIG)
    assert steps[0] > 8
    assert hash_tensors(resumed.network.state_dict()) == hash_tensors(straight.network.state_dict())
    resumed.save(tmp_path / "model")
    assert not (tmp_path / "kept").exists()


def test_intensity_is_learnt_where_it_is_known() -> None:
    config = TrainConfig.tiny(
        epochs=12, epoch_size=48, learning_rate=1e-2, intensity_weight=1.0, heard_labels=RAVDESS_EIGHT
    )
    model = train_on_features(features(0), config)
    data = features(3)
    clips = torch.from_numpy(np.stack([variants[0] for variants in data.variants]).astype(np.float32))
    with torch.inference_mode():
        logits = model.network(clips).intensity_logits.numpy()
    strong = data.intensities == 1.0
    assert logits[strong].mean() > logits[~strong].mean() + 0.5
