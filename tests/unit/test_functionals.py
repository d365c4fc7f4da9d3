"""Statistics of a whole recording, and the member that judges by them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.acoustic.classifier import load_network, model_folder
from ser.acoustic.features import FEATURE_SIZE, MEL_BANDS, extract_features
from ser.acoustic.functionals import FUNCTIONALS, TRACKS, FunctionalMember, functionals
from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.training import TrainProgress, memory
from ser.training.dataset import FeatureSet
from ser.training.functional_fit import fit_functionals, is_unfitted
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.members import fit_members, fresh_network, label_names, rounded
from ser.training.memory import answer_pooled, judging_parameters, pooled_statistics

MEAN, DEVIATION, HIGH, LOW, MOVEMENT = (slice(n * TRACKS, (n + 1) * TRACKS) for n in range(5))
LEVEL, PITCH = 0, 3


def picture(pitch: float = 150.0, seconds: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(extract_features(synthetic_speech(seconds, pitch=pitch).signal)).T[None]


def whole(of: torch.Tensor) -> torch.Tensor:
    return functionals(of, torch.ones(len(of), 1, of.shape[2]))


def test_what_lies_behind_the_end_does_not_count() -> None:
    one = picture()
    padded = torch.cat([one, torch.full((1, FEATURE_SIZE, 40), 3.0)], dim=2)
    mask = torch.cat([torch.ones(1, 1, one.shape[2]), torch.zeros(1, 1, 40)], dim=2)
    assert torch.allclose(functionals(padded, mask), whole(one), atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 500])
def test_recordings_of_any_length_and_silence_have_finite_values(frames: int) -> None:
    assert whole(torch.zeros(2, FEATURE_SIZE, frames)).isfinite().all()
    assert whole(torch.randn(2, FEATURE_SIZE, frames)).isfinite().all()
    assert whole(torch.randn(2, FEATURE_SIZE, frames)).shape == (2, FUNCTIONALS)


def test_they_measure_what_they_are_named_for() -> None:
    low, high = whole(picture(110.0))[0], whole(picture(220.0))[0]
    # An octave is 48 / log2(600 / 70) bins; synthetic voices glide, so about that.
    assert float(high[MEAN][PITCH] - low[MEAN][PITCH]) == pytest.approx(15.5, abs=4.0)
    steady, jumping = torch.zeros(1, FEATURE_SIZE, 100), torch.zeros(1, FEATURE_SIZE, 100)
    jumping[:, :MEL_BANDS, ::10] = 1.0
    calm, moved = whole(steady)[0], whole(jumping)[0]
    assert moved[DEVIATION][LEVEL] > calm[DEVIATION][LEVEL] and moved[MOVEMENT][LEVEL] > calm[MOVEMENT][LEVEL]
    # Seldom loud: its high lies further from the mean than its low.
    assert moved[HIGH][LEVEL] > 1.2 * moved[LOW][LEVEL]


def mixed_model() -> AcousticModelForAudioClassification:
    members = [{"pitch_channels": [], "width": 24, "mel_channels": [4, 4, 4, 4]}, {"functionals": True, "hidden": 8}]
    torch.manual_seed(0)
    model = AcousticModelForAudioClassification(AcousticConfig(**label_names(EMOTIONS), members=members))
    member = model.networks()[1]
    assert isinstance(member, FunctionalMember)
    with torch.no_grad():
        torch.nn.init.normal_(member.classifier.weight, std=0.1)
    return model.eval()


def test_a_model_that_has_such_a_member_is_saved_and_loaded(tmp_path: Path) -> None:
    model = mixed_model()
    features = torch.randn(3, 80, FEATURE_SIZE)
    model.save_pretrained(tmp_path)
    again = AcousticModelForAudioClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(model(features).logits, again(features).logits)


def test_what_it_measures_is_heard_and_can_be_judged_anew() -> None:
    model = mixed_model()
    clips = [np.random.default_rng(n).standard_normal((60 + n, FEATURE_SIZE)).astype(np.float32) for n in range(4)]
    heard = pooled_statistics(model, clips)
    assert heard.shape == (4, 4 * 24 + FUNCTIONALS)
    stacked = [model(torch.from_numpy(clip)[None]).logits[0] for clip in clips]
    expected = torch.log_softmax(torch.stack(stacked), dim=1)
    assert torch.allclose(answer_pooled(model, torch.from_numpy(heard)), expected, atol=1e-3)
    learning = judging_parameters(model)
    member = model.networks()[1]
    assert isinstance(member, FunctionalMember) and member.hidden_layer is not None
    for layer in (member.classifier, member.hidden_layer):
        assert any(parameter is layer.weight for parameter in learning)
    assert not any(".pool." in name for name, _ in model.named_parameters() if memory._is_judge(name))


def test_a_model_saved_before_there_was_a_hidden_layer_answers_as_it_did(tmp_path: Path) -> None:
    members = [{"functionals": True}]
    model = AcousticModelForAudioClassification(AcousticConfig(**label_names(EMOTIONS), members=members)).eval()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["hidden"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = AcousticModelForAudioClassification.from_pretrained(tmp_path).eval()
    features = torch.randn(2, 50, FEATURE_SIZE)
    with torch.inference_mode():
        assert torch.equal(model(features).logits, again(features).logits)


def test_the_shipped_model_measures_recordings_too() -> None:
    kinds = [type(member) for member in load_network(model_folder("embedded")).networks()]
    assert kinds.count(FunctionalMember) == 1 and len(kinds) > 1


def lessons(count: int = 60, seed: int = 0) -> FeatureSet:
    """Anger is loud at once, sadness is even, neutral lies between."""
    draw = np.random.default_rng(seed)
    labels = [EMOTIONS.index(("anger", "neutral", "sadness")[n % 3]) for n in range(count)]
    clips = []
    for n in range(count):
        features = draw.standard_normal((40 + n % 7, FEATURE_SIZE)).astype(np.float32)
        features[:, :MEL_BANDS] *= (2.0, 1.0, 0.5)[n % 3]
        clips.append([features.astype(np.float16)])
    intensities = np.array([(1.0, np.nan, 0.0)[n % 3] for n in range(count)], np.float32)
    speakers, corpora = [f"s{n % 5}" for n in range(count)], ["a"] * count
    return FeatureSet(
        clips,
        np.eye(7, dtype=np.float32)[labels],
        np.ones(count, np.float32),
        speakers,
        corpora,
        intensities=intensities,
    )


def alone(hidden: int = 16) -> AcousticModelForAudioClassification:
    config = TrainConfig.tiny(network={"members": [{"functionals": True, "hidden": hidden}]})
    return fresh_network(config)


@pytest.mark.parametrize("hidden", [0, 16])
def test_it_finds_what_tells_labels_apart_and_the_same_every_time(hidden: int) -> None:
    network, again, unseen = alone(hidden), alone(hidden), lessons(30, seed=1)
    assert is_unfitted(network)
    seen: list[TrainProgress] = []
    config = TrainConfig.tiny(intensity_weight=0.5)
    result = fit_members(network, lessons(), config, dev=unseen, on_progress=seen.append)
    assert not is_unfitted(result.network)
    assert uar_by_corpus(predict_logits(result.network, unseen), unseen)["a"] > 0.9
    assert [entry["uar"] for entry in result.curve] == [{"a": pytest.approx(1.0, abs=0.1)}]
    assert seen[-1].step == seen[-1].steps and seen[-1].epoch == TrainConfig.tiny().epochs
    same = fit_functionals(again, lessons(), config)
    for name, values in rounded(same.network).state_dict().items():
        assert torch.equal(values, result.network.state_dict()[name]), name
    strong, even = (result.network(torch.from_numpy(lessons().variants[n][0].astype(np.float32))[None]) for n in (0, 2))
    assert strong.intensity_logits > 0 > even.intensity_logits


def test_what_has_learnt_already_is_taught_further_by_steps() -> None:
    network = fit_functionals(alone(), lessons(), TrainConfig.tiny()).network
    before = network.networks()[0].classifier.weight.detach().clone()
    config = TrainConfig.tiny(epochs=1, learning_rate=1e-4)
    after = fit_members(network, lessons(seed=2), config).network.networks()[0].classifier.weight.detach()
    assert 0 < float((after - before).abs().max()) < 0.1 * float(before.abs().max())


def test_it_leaves_the_draws_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    network = alone()
    torch.manual_seed(3)
    fit_functionals(network, lessons(), TrainConfig.tiny())
    assert torch.equal(torch.rand(4), expected)


def test_it_ends_when_asked() -> None:
    with pytest.raises(TrainingCancelledError, match="stopped"):
        fit_functionals(alone(), lessons(), TrainConfig.tiny(), should_stop=lambda: True)
