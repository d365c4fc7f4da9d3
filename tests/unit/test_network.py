from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from ser.acoustic.features import FEATURE_SIZE, MEL_BANDS
from ser.acoustic.network import (
    AcousticConfig,
    AcousticFeatureExtractor,
    AcousticModelForAudioClassification,
    answer_with,
    join_members,
    pad_features,
    split_members,
)
from ser.config import TrainConfig
from ser.testing import synthetic_speech
from ser.training.members import label_names


def make_network(**changes: object) -> AcousticModelForAudioClassification:
    torch.manual_seed(0)
    sizes = {**TrainConfig.tiny().network, "num_labels": 7, **changes}
    network = AcousticModelForAudioClassification(AcousticConfig(**sizes)).eval()
    # Untrained statistics are 0 and 1, under which padding could hide: give every norm some of its own.
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean") or name == "feature_mean":
            buffer.uniform_(-0.5, 0.5)
    return network


@pytest.mark.parametrize("frames", [1, 2, 3, 37, 64])
def test_padding_does_not_change_the_answer(frames: int) -> None:
    network = make_network()
    clip = torch.randn(1, frames, FEATURE_SIZE)
    padded = torch.cat([clip, torch.full((1, 45, FEATURE_SIZE), 7.0)], dim=1)
    mask = torch.zeros(1, frames + 45)
    mask[:, :frames] = 1
    with torch.inference_mode():
        torch.testing.assert_close(network(padded, mask).logits, network(clip).logits, atol=1e-5, rtol=1e-5)


def test_what_is_heard_changes_the_answer() -> None:
    network = make_network()
    with torch.inference_mode():
        logits = network(torch.randn(2, 50, FEATURE_SIZE)).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_saved_and_loaded_by_the_auto_classes_it_is_bit_exact(tmp_path: Path) -> None:
    network = make_network()
    network.save_pretrained(tmp_path)
    AcousticFeatureExtractor().save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), AcousticConfig)
    loaded = AutoModelForAudioClassification.from_pretrained(tmp_path, use_safetensors=True).eval()
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
    signals = [synthetic_speech(0.8).signal, synthetic_speech(0.5, pitch=220.0).signal]
    inputs = extractor(signals, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        assert torch.equal(loaded(**inputs).logits, network(**inputs).logits)


def test_loss_takes_indices_and_probabilities() -> None:
    network = make_network()
    clips = torch.randn(3, 20, FEATURE_SIZE)
    indices = torch.tensor([0, 3, 6])
    shares = torch.nn.functional.one_hot(indices, 7).float()
    torch.testing.assert_close(network(clips, labels=indices).loss, network(clips, labels=shares).loss)
    assert network.accepts_loss_kwargs is False


def test_the_default_network_is_small() -> None:
    network = AcousticModelForAudioClassification(AcousticConfig(num_labels=7))
    assert sum(p.numel() for p in network.parameters()) < 2_400_000


def test_the_extractor_refuses_another_rate() -> None:
    with pytest.raises(ValueError, match="The recording is at 8000 Hz; 16000 Hz is needed"):
        AcousticFeatureExtractor()(np.zeros(8000, dtype=np.float32), sampling_rate=8000)


def test_padding_rounds_lengths_up() -> None:
    stacked, mask = pad_features([np.ones((5, 3), np.float32), np.ones((9, 3), np.float32)], multiple_of=8)
    assert stacked.shape == (2, 16, 3)
    assert mask.sum(1).tolist() == [5, 9]


def test_members_answer_together_as_the_mean_of_their_log_probabilities() -> None:
    model = make_network(members=[{}, {"pitch_channels": []}, {"centred": True}])
    features = torch.randn(2, 60, FEATURE_SIZE)
    with torch.inference_mode():
        alone = [single(features) for single in split_members(model)]
        together = model(features)
        torch.testing.assert_close(together.logits, torch.stack([a.logits for a in alone]).mean(0))
        intensities = torch.stack([a.intensity_logits for a in alone]).mean(0)
        torch.testing.assert_close(together.intensity_logits, intensities)
        torch.testing.assert_close(join_members(split_members(model))(features).logits, together.logits)
    assert not torch.allclose(alone[0].logits, alone[1].logits, atol=1e-4)


def test_a_label_that_counts_as_another_adds_its_probability() -> None:
    fine = make_network(**label_names(("anger", "calm", "neutral")))
    coarse = answer_with(fine, ("anger", "neutral"), {"calm": "neutral"})
    features = torch.randn(3, 50, FEATURE_SIZE)
    with torch.inference_mode():
        ours, theirs = fine(features).logits.exp(), coarse(features).logits.exp()
    torch.testing.assert_close(theirs, torch.stack([ours[:, 0], ours[:, 1] + ours[:, 2]], dim=1))
    assert coarse.config.heard() == ("anger", "calm", "neutral") and coarse.config.num_labels == 2


def test_a_centred_network_does_not_hear_the_microphone() -> None:
    curve = torch.zeros(FEATURE_SIZE)
    curve[:MEL_BANDS] = torch.linspace(-3.0, 3.0, MEL_BANDS)
    features = torch.randn(1, 60, FEATURE_SIZE)
    moved = {}
    for centred in (False, True):
        network = make_network(members=[{"centred": centred}])
        with torch.inference_mode():
            moved[centred] = float((network(features + curve).logits - network(features).logits).abs().max())
    assert moved[True] < 1e-5 and moved[False] > 1e-3
