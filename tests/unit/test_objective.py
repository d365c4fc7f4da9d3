from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.training.loop import fit
from ser.training.objective import batch_losses
from tests.unit.test_resuming import features


def batch(**changes: torch.Tensor) -> SimpleNamespace:
    values = {
        "targets": torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]),
        "allowed": torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]),
        "intensities": torch.tensor([1.0, float("nan")]),
    }
    return SimpleNamespace(**{**values, **changes})


LOGITS = torch.tensor([[2.0, 0.0, 5.0], [1.0, 1.0, 5.0]])
PLAIN = TrainConfig(label_smoothing=0.0)


def test_soft_truths_cost_their_cross_entropy() -> None:
    expected = torch.nn.functional.cross_entropy(LOGITS, batch().targets, reduction="none")
    torch.testing.assert_close(batch_losses(SimpleNamespace(logits=LOGITS), batch(), PLAIN), expected)


def test_labels_that_a_corpus_lacks_do_not_compete() -> None:
    losses = batch_losses(
        SimpleNamespace(logits=LOGITS), batch(), TrainConfig(label_smoothing=0.0, mask_absent_labels=True)
    )
    torch.testing.assert_close(losses[1], torch.tensor(0.5).log().neg(), atol=1e-4, rtol=0.0)


def test_other_heads_count_where_they_are_weighed() -> None:
    heads = {"adapted_logits": torch.zeros(2, 3), "intensity_logits": torch.zeros(2)}
    output = SimpleNamespace(logits=LOGITS, **heads)
    plain = batch_losses(SimpleNamespace(logits=LOGITS), batch(), PLAIN)
    torch.testing.assert_close(batch_losses(output, batch(), PLAIN), plain)
    config = TrainConfig(label_smoothing=0.0, adapted_weight=2.0, intensity_weight=0.5)
    more = batch_losses(output, batch(), config) - plain
    assert more.tolist() == pytest.approx([2 * np.log(3) + 0.5 * np.log(2), 2 * np.log(3)], rel=1e-5)


class Network(AcousticModelForAudioClassification):
    """Takes speakers, too."""

    def forward(self, input_features, attention_mask=None, speakers=None):
        if self.training:
            assert speakers is not None and len(speakers) == len(input_features)
        return super().forward(input_features, attention_mask)


def test_a_network_is_given_speakers_where_it_takes_them() -> None:
    config = TrainConfig.tiny(epochs=1, intensity_weight=1.0)
    network = Network(AcousticConfig(**config.network, num_labels=7))
    result = fit(network, features(0), config)
    assert len(result.curve) == 1 and np.isfinite(result.curve[0]["loss"])
