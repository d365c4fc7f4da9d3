from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification

from ser.acoustic.features import FEATURE_SIZE
from ser.acoustic.network import (
    AcousticConfig,
    AcousticFeatureExtractor,
    AcousticModelForAudioClassification,
    pad_features,
)
from ser.config import TrainConfig
from ser.testing import synthetic_speech


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
