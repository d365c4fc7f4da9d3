"""Trained and frozen weights of pretrained encoders, on tiny random checkpoints of published architectures."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ser.acoustic.classifier import load_acoustic_model
from ser.encoder.states import extract, hidden_states, load_pretrained, pool
from ser.errors import SettingsError, TrainingCancelledError
from ser.testing import synthetic_speech
from ser.training.gradients.encoder import TunedEncoder, tune_encoder
from ser.training.gradients.state import STATE_FILE
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, kept_in, recordings

KINDS = ("wav2vec2", "hubert", "wavlm", "whisper", "ast")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {kind: write_classifier(folder / kind, kind, layers=3) for kind in KINDS}


def moved(before: Path, model: TunedEncoder) -> set[str]:
    """Names of the encoder's weights that are no longer what the checkpoint has."""
    old = load_pretrained(before, "m")[0].state_dict()
    new = model.encoder.model.state_dict()
    assert set(new) == set(old)
    return {name for name, value in new.items() if value.is_floating_point() and not torch.equal(value, old[name])}


ADAPTED = {
    "lora": ("q_proj.weight", "v_proj.weight"),
    "adalora": ("q_proj.weight", "v_proj.weight"),
    "ia3": ("k_proj.weight", "k_proj.bias", "v_proj.weight", "v_proj.bias", "output_dense.weight", "fc2.weight"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tune", ["full", "frozen", "head", "top-k:2", "lora", "adalora", "ia3"])
def test_what_is_named_learns_and_the_rest_stays(kind: str, tune: str, checkpoints: dict[str, Path]) -> None:
    model = tune_encoder(checkpoints[kind], recordings(), config(tune, epochs=3 if tune == "adalora" else 1))
    names = moved(checkpoints[kind], model)
    layers = {int(part) for name in names for part in name.split(".") if part.isdigit() and "layers." in name}
    expected = {"frozen": set(), "head": set(), "top-k:2": {1, 2}}.get(tune, {0, 1, 2})
    assert layers == expected
    if tune in ("frozen", "head"):
        assert not names
    if tune in ADAPTED:
        assert all(name.endswith(ADAPTED[tune]) or (kind == "wavlm" and "dense" in name) for name in names)
    assert not any(name.startswith("feature_extractor.") for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tune", ["frozen", "head", "full", "lora", "ia3"])
def test_a_saved_model_answers_as_the_trained_one(
    kind: str, tune: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """Padding, windows and the head's numbers are the same in training and in answering."""
    data = recordings()
    model = tune_encoder(checkpoints[kind], data, config(tune))
    meta = model.save(tmp_path / "tuned")
    loaded = load_acoustic_model(tmp_path / "tuned")
    assert loaded.sha256 == meta.sha256 and loaded.labels == ("happiness", "sadness")
    for audio in (synthetic_speech(0.5), synthetic_speech(0.05), synthetic_speech(9.0)):
        expected = model.as_acoustic_model().classify(audio).probabilities
        np.testing.assert_allclose(loaded.classify(audio).probabilities, expected, atol=1e-5)
    assert (tmp_path / "tuned" / "model.safetensors").is_file() == (tune != "frozen")


@pytest.mark.parametrize(("kind", "difference"), [("whisper", 0.02), ("ast", 1e-5), ("hubert", 0.1)])
def test_a_batch_with_padding_gives_about_what_each_clip_gives_alone(
    kind: str, difference: float, checkpoints: dict[str, Path]
) -> None:
    """The convolutions at a clip's end see the padding, and HuBERT-base normalises its first layer over all of it."""
    model, extractor = load_pretrained(checkpoints[kind], kind)
    signals = [synthetic_speech(duration, seed=1).signal for duration in (1.0, 0.6, 0.5)]
    with torch.inference_mode():
        together = pool(*hidden_states(model, extract(extractor, signals)))
        alone = torch.cat([pool(*hidden_states(model, extract(extractor, [signal]))) for signal in signals])
    found = (together - alone).abs().mean(1) / alone.abs().mean(1)
    assert float(found.max()) < difference


def test_new_heads_pool_over_the_clip_and_not_over_its_padding(checkpoints: dict[str, Path]) -> None:
    """A quarter of a second of 30: padding would be 99 % of the pooled frames."""
    model, extractor = load_pretrained(checkpoints["whisper"], "m")
    states, mask = hidden_states(model, extract(extractor, [synthetic_speech(0.25).signal]))
    assert mask.shape == (1, 13) and mask.all() and states[0].shape[1] == 13
    ast, extractor = load_pretrained(checkpoints["ast"], "m")
    _, mask = hidden_states(ast, extract(extractor, [synthetic_speech(0.64).signal]))
    # Of 12 steps of 10 frames in each of 12 bands, those that begin within 64 of 128 frames; and two tokens.
    assert mask.sum() == 2 + 12 * 6


@pytest.mark.parametrize("tune", ["prefix", "prompt"])
def test_what_is_for_text_is_refused(tune: str, checkpoints: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=f"tune is '{tune}', which adds tokens to a text; an audio encoder"):
        tune_encoder(checkpoints["hubert"], recordings(), config(tune))


@pytest.mark.parametrize("tune", ["full", "lora", "adalora"])
def test_an_interrupted_tuning_goes_on_to_the_same_weights(
    tune: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    """wav2vec2 hides stretches of its frames by numpy's common generator: that must go on where it was, too."""
    how = config(tune, epochs=4)
    asked = iter(range(100))
    with pytest.raises(TrainingCancelledError):
        tune_encoder(
            checkpoints["wav2vec2"],
            recordings(),
            how,
            dev=recordings(4),
            around=kept_in(tmp_path, should_stop=lambda: next(asked) == 4),
        )
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 5
    resumed = tune_encoder(checkpoints["wav2vec2"], recordings(), how, dev=recordings(4), around=kept_in(tmp_path))
    straight = tune_encoder(checkpoints["wav2vec2"], recordings(), how, dev=recordings(4))
    assert resumed.encoder.sha256 == straight.encoder.sha256
    np.testing.assert_array_equal(resumed.head.weights, straight.head.weights)
    assert resumed.curve == straight.curve


def test_computing_layers_twice_changes_nothing(checkpoints: dict[str, Path]) -> None:
    hashes = set()
    for twice in (True, False):
        model = tune_encoder(checkpoints["hubert"], recordings(), config("top-k:1", gradient_checkpointing=twice))
        hashes.add(model.encoder.sha256)
    assert len(hashes) == 1


def test_parts_of_a_step_give_what_the_step_gives(checkpoints: dict[str, Path]) -> None:
    """Without chance in it, a step computed in parts moves the weights as the whole one does."""
    heads = []
    for accumulation in (1, 3):
        changes = {"augment": False, "batch_size": 6, "dropout": 0.0, "accumulation": accumulation}
        model = tune_encoder(checkpoints["ast"], recordings(), config("head", **changes))
        heads.append(model.head.weights)
    np.testing.assert_allclose(heads[0], heads[1], atol=1e-5, rtol=1e-4)


def test_more_layers_than_there_are_cannot_learn(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="tune is 'top-k:9', but the model has 3 layers. Name fewer, or 'full'"):
        tune_encoder(checkpoints["hubert"], recordings(), config("top-k:9"))
    with pytest.raises(SettingsError, match="tune is 'some'; expected auto, frozen, head, top-k:N"):
        config("some")
