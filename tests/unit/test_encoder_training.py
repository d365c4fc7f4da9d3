"""Training from pretrained encoders, by the command and as a function."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import Wav2Vec2FeatureExtractor, WhisperConfig, WhisperForConditionalGeneration

from ser.acoustic.classifier import load_acoustic_model
from ser.cli import main
from ser.encoder.states import load_pretrained
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.testing import synthetic_speech
from ser.training.gradients.encoder import run_encoder_recipe, train
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import TrainProgress
from ser.training.recipe import HeadRecipe
from ser.training.recordings import read_recordings
from ser.types import SAMPLING_RATE, Example
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, write_corpus

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpora") / "corpus")


def examples(corpus: Path) -> list[Example]:
    rows = (corpus / "metadata.csv").read_text().splitlines()[1:]
    return [Example(corpus / name, label, speaker, "test") for name, label, speaker in (r.split(",") for r in rows)]


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "whisper"])
@pytest.mark.parametrize("tune", [None, "head", "full", "lora"])
def test_the_command_trains_measures_and_saves(
    kind: str, tune: str | None, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, out = write_classifier(tmp_path / kind, kind), tmp_path / "out"
    named = [] if tune is None else ["--tune", tune, "--epochs", "1", "--set", "learning_rate=0.001"]
    speakers = ["--test-speakers", "s3", "--dev-speakers", "s2", "--log-to", "tensorboard"]
    code = main(["train", "--data", str(corpus), "--out", str(out), "--init", str(checkpoint), *speakers, *named])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "dev speakers of corpus: UAR" in said.out and "test speakers of corpus: UAR" in said.out
    loaded = load_acoustic_model(out)
    assert loaded.labels == ("anger", "neutral", "sadness")
    assert sum(loaded.classify(synthetic_speech(0.8)).probabilities) == pytest.approx(1.0)
    assert not (tmp_path / "out.checkpoint").exists()
    (events,) = (tmp_path / "out.logs").glob("events.out.tfevents.*")
    assert b"end/test/corpus/uar" in events.read_bytes()


def test_what_is_for_gradients_is_refused_on_the_embedded_encoder(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in (["--tune", "lora"], ["--set", "epochs=3"], ["--epochs", "3"]):
        assert main(["train", "--data", str(corpus), "--out", str(tmp_path / "out"), *named]) == 2
        assert "the embedded encoder stays frozen. Name a checkpoint with --init" in capsys.readouterr().err


def test_a_recogniser_lends_its_encoder(corpus: Path, tmp_path: Path) -> None:
    """Whisper's weights lie under another name there: not one of them may be left to chance."""
    shape = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 16}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 10}
    tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    whole = WhisperForConditionalGeneration(WhisperConfig(**shape, **decoder, **tokens))
    write_classifier(tmp_path / "m", "whisper")
    whole.save_pretrained(tmp_path / "m")
    model, _ = load_pretrained(tmp_path / "m", "m")
    for name, value in whole.model.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[name], value)
    tuned = train(examples(corpus), config("top-k:1"), init=tmp_path / "m")
    tuned.save(tmp_path / "tuned")
    answer = load_acoustic_model(tmp_path / "tuned").classify(synthetic_speech(0.8))
    expected = tuned.as_acoustic_model().classify(synthetic_speech(0.8))
    np.testing.assert_allclose(answer.probabilities, expected.probabilities, atol=1e-5)


def test_training_lowers_the_loss_and_repeats_with_its_seed(corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "ast")
    how = config("full", epochs=6, learning_rate=0.0003, label_smoothing=0.0, augment=False, batch_size=8)
    first, second = (train(examples(corpus), how, init=checkpoint) for _ in range(2))
    losses = [float(entry["loss"]) for entry in first.curve]  # type: ignore[arg-type]
    assert losses[-1] < losses[0]
    assert first.curve == second.curve


def test_the_recipe_measures_speakers_that_training_never_saw(corpus: Path, tmp_path: Path) -> None:
    progress: list[TrainProgress] = []
    checkpoint = str(write_classifier(tmp_path / "m", "wav2vec2"))
    recipe = HeadRecipe(checkpoint, test_speakers=["s3"], dev_speakers=["s2"])
    changes = {"epochs": 1, "tune": "full"}
    result = run_encoder_recipe([corpus], tmp_path / "out", recipe, changes, on_progress=progress.append)
    assert set(result.test_uar) == {corpus.name} and 0.0 <= result.test_uar[corpus.name] <= 1.0
    assert result.meta.data["test_speakers"] == ["s3"] and result.leaks.clean
    assert {p.stage for p in progress} == {"preparing", "training"}


def test_unreadable_recordings_are_named(corpus: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(SAMPLING_RATE), SAMPLING_RATE)
    broken = Example(tmp_path / "silence.wav", "anger", "s")
    with pytest.raises(TrainingDataError, match=r"cannot be used: 1 of 25\. First: .*silence\.wav"):
        read_recordings([*examples(corpus), broken])
    kept = read_recordings([*examples(corpus), broken], tolerated=0.1)
    assert len(kept.examples) == 24 and len(kept.skipped) == 1


def test_a_run_can_be_stopped(corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "wav2vec2")
    with pytest.raises(TrainingCancelledError):
        train(examples(corpus), init=checkpoint, around=Surroundings(Processes(), should_stop=lambda: True))


def test_what_is_no_audio_encoder_is_refused(corpus: Path, tmp_path: Path) -> None:
    write_classifier(tmp_path / "m", "wav2vec2")
    (tmp_path / "m" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelUnavailableError, match="is a bert model; an audio encoder is expected"):
        train(examples(corpus), init=tmp_path / "m")


def test_an_encoder_with_weights_missing_is_refused(corpus: Path, tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "hubert")
    model, _ = load_pretrained(folder, "m")
    state = {name: value for name, value in model.state_dict().items() if "layers.0.final_layer_norm" not in name}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(ModelUnavailableError, match="lacks encoder.layers.0.final_layer_norm.bias"):
        train(examples(corpus), init=folder)
    assert Wav2Vec2FeatureExtractor.from_pretrained(folder).sampling_rate == SAMPLING_RATE
