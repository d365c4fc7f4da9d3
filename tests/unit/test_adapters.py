"""What learns of encoders of others, on tiny random checkpoints of published architectures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForAudioClassification

from ser.acoustic.classifier import load_acoustic_model
from ser.config import TrainConfig
from ser.errors import SettingsError, TrainingCancelledError
from ser.testing import synthetic_speech
from ser.training.encoder import tune_encoder
from ser.training.recordings import Recordings
from ser.training.run_state import STATE_FILE, hash_tensors
from ser.types import Example
from tests.unit.emotion_checkpoints import write_classifier

KINDS = ("wav2vec2", "hubert", "wavlm", "whisper", "ast")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {kind: write_classifier(folder / kind, kind, layers=3) for kind in KINDS}


def recordings(count: int = 6) -> Recordings:
    labels = ("sadness", "happiness")
    signals = [synthetic_speech(0.5, pitch=90.0 + 90.0 * (i % 2), seed=i).signal for i in range(count)]
    examples = [Example(Path(f"{i}.wav"), labels[i % 2], f"s{i // 2}") for i in range(count)]
    return Recordings(tuple(examples), tuple(signals))


def config(tune: str, **changes: object) -> TrainConfig:
    values = {"epochs": 1, "batch_size": 3, "learning_rate": 0.01, "autocast": False, "tune": tune, "lora_rank": 2}
    return TrainConfig.tune_encoder(**{**values, **changes})


def moved(before: Path, after: torch.nn.Module) -> set[str]:
    """Names of the weights that are no longer what the checkpoint had; the head is new in any case."""
    old = AutoModelForAudioClassification.from_pretrained(before).state_dict()
    return {
        name
        for name, value in after.state_dict().items()
        if value.is_floating_point() and value.shape == old[name].shape and not torch.equal(value, old[name])
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tune", ["full", "frozen", "head", "top-k:2", "lora", "adalora"])
def test_what_is_named_learns_and_the_rest_stays(kind: str, tune: str, checkpoints: dict[str, Path]) -> None:
    model = tune_encoder(checkpoints[kind], recordings(), config(tune, epochs=3 if tune == "adalora" else 1))
    names = moved(checkpoints[kind], model.network)
    layers = {int(part) for name in names for part in name.split(".") if part.isdigit() and "layers." in name}
    if tune in ("frozen", "head"):
        assert not layers
    if tune == "head" and kind != "ast":
        assert not any(name.startswith("projector") for name in names)
    if tune == "frozen" and kind != "ast":
        assert "projector.weight" in names
    if tune == "top-k:2":
        assert layers == {1, 2}
    if tune in ("full", "lora", "adalora"):
        assert layers == {0, 1, 2}
    if tune in ("lora", "adalora"):
        inside = {name for name in names if "layers." in name}
        assert all(
            name.endswith(("q_proj.weight", "v_proj.weight", "query.weight", "value.weight")) for name in inside
        ) or (kind == "wavlm" and all("dense.weight" in name for name in inside))
    assert not any("lora" in name for name in model.network.state_dict())


@pytest.mark.parametrize("kind", ["wav2vec2", "wavlm"])
def test_with_matrices_beside_it_a_model_is_saved_as_any_other(
    kind: str, checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    model = tune_encoder(checkpoints[kind], recordings(), config("lora"))
    model.save(tmp_path / "tuned")
    audio = synthetic_speech(0.5)
    loaded = load_acoustic_model(tmp_path / "tuned").classify(audio)
    inputs = model.extractor(audio.signal, sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        expected = torch.softmax(model.network(**inputs).logits[0], 0)
    np.testing.assert_allclose(loaded.probabilities, expected, atol=1e-5)


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
            checkpoint_dir=tmp_path,
            should_stop=lambda: next(asked) == 4,
        )
    assert torch.load(tmp_path / STATE_FILE, weights_only=True)["step"] == 5
    resumed = tune_encoder(checkpoints["wav2vec2"], recordings(), how, dev=recordings(4), checkpoint_dir=tmp_path)
    straight = tune_encoder(checkpoints["wav2vec2"], recordings(), how, dev=recordings(4))
    assert hash_tensors(resumed.network.state_dict()) == hash_tensors(straight.network.state_dict())
    assert resumed.curve == straight.curve


def test_computing_layers_twice_changes_nothing(checkpoints: dict[str, Path]) -> None:
    hashes = set()
    for twice in (True, False):
        model = tune_encoder(checkpoints["hubert"], recordings(), config("top-k:1", gradient_checkpointing=twice))
        hashes.add(hash_tensors(model.network.state_dict()))
    assert len(hashes) == 1


def test_parts_of_a_step_give_what_the_step_gives(checkpoints: dict[str, Path]) -> None:
    """Without chance in it, a step computed in parts moves the weights as the whole one does."""
    still = {"augment": False, "batch_size": 6, "tune": "head"}
    heads = []
    for accumulation in (1, 3):
        model = tune_encoder(checkpoints["ast"], recordings(), config(**{**still, "accumulation": accumulation}))
        heads.append(model.network.classifier.dense.weight)
    torch.testing.assert_close(heads[0], heads[1], atol=1e-5, rtol=1e-4)


def test_more_layers_than_there_are_cannot_learn(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match="tune is 'top-k:9', but the encoder has 3 layers. Name fewer, or 'full'"):
        tune_encoder(checkpoints["hubert"], recordings(), config("top-k:9"))
    with pytest.raises(SettingsError, match="tune is 'some'; expected full, frozen, head, top-k:N"):
        config("some")
