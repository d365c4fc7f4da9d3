from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser.acoustic.classifier import load_acoustic_model
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.training import TrainProgress, run_recipe, train
from ser.training.encoder import TunedEncoder
from ser.training.recordings import read_recordings
from ser.types import SAMPLING_RATE, Example
from tests.unit.emotion_checkpoints import write_classifier

PITCH = {"sadness": 90.0, "happiness": 180.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rows = ["file_name,label,speaker"]
    for number in range(16):
        label = sorted(PITCH)[number % 2]
        audio = synthetic_speech(0.8, pitch=PITCH[label] + number, seed=number)
        soundfile.write(folder / f"{number}.wav", audio.signal, SAMPLING_RATE)
        rows.append(f"{number}.wav,{label},speaker {number // 4}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def examples(corpus: Path) -> list[Example]:
    rows = (corpus / "metadata.csv").read_text().splitlines()[1:]
    return [Example(corpus / name, label, speaker, "test") for name, label, speaker in (r.split(",") for r in rows)]


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper", "ast"])
def test_an_encoder_learns_our_labels_and_is_loaded_again(kind: str, corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / kind, kind)
    config = TrainConfig.tune_encoder(epochs=2, learning_rate=0.01, autocast=False)
    model = train(examples(corpus), config, init=checkpoint)
    assert isinstance(model, TunedEncoder)
    assert [entry["epoch"] for entry in model.curve] == [1, 2]
    meta = model.save(tmp_path / "tuned")
    loaded = load_acoustic_model(tmp_path / "tuned")
    assert loaded.labels == EMOTIONS and loaded.sha256 == meta.sha256
    scores = loaded.classify(synthetic_speech(0.8))
    assert sum(scores.probabilities) == pytest.approx(1.0) and not scores.unmapped


def test_learning_lowers_the_loss_and_repeats_with_its_seed(corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "ast")
    config = TrainConfig.tune_encoder(epochs=6, learning_rate=0.01, autocast=False, label_smoothing=0.0)
    first, second = (train(examples(corpus), config, init=checkpoint) for _ in range(2))
    losses = [float(entry["loss"]) for entry in first.curve]  # type: ignore[arg-type]
    assert losses[-1] < losses[0]
    assert first.curve == second.curve


def test_the_recipe_measures_speakers_that_training_never_saw(corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "wav2vec2")
    progress: list[TrainProgress] = []
    result = run_recipe(
        [corpus],
        tmp_path / "out",
        init=checkpoint,
        epochs=1,
        test_speakers=["speaker 3"],
        dev_speakers=["speaker 2"],
        on_progress=progress.append,
    )
    assert set(result.test_uar) == {corpus.name} and 0.0 <= result.test_uar[corpus.name] <= 1.0
    assert result.meta.data["test_speakers"] == ["speaker 3"]
    assert result.leaks.clean
    assert {p.stage for p in progress} == {"preparing", "training"}


def test_the_same_recording_on_two_sides_fails_the_run(corpus: Path, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    leaky.mkdir()
    audio = [synthetic_speech(0.8, seed=seed).signal for seed in range(3)]
    rows = ["file_name,label,speaker"]
    plan = [(0, "anger", "a"), (1, "sadness", "a"), (2, "anger", "b"), (0, "anger", "b"), (1, "sadness", "c")]
    for number, (seed, label, speaker) in enumerate(plan):
        soundfile.write(leaky / f"{number}.wav", audio[seed], SAMPLING_RATE)
        rows.append(f"{number}.wav,{label},{speaker}")
    (leaky / "metadata.csv").write_text("\n".join(rows) + "\n")
    checkpoint = write_classifier(tmp_path / "m", "wav2vec2")
    with pytest.raises(TrainingDataError, match="the same audio is in"):
        run_recipe([leaky], tmp_path / "out", init=checkpoint, test_speakers=["b"], dev_speakers=["c"])
    assert not (tmp_path / "out").exists()


def test_unreadable_recordings_are_named(corpus: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(SAMPLING_RATE), SAMPLING_RATE)
    broken = Example(tmp_path / "silence.wav", "anger", "s")
    with pytest.raises(TrainingDataError, match=r"1 of 17 recordings cannot be used. First: .*silence.wav"):
        read_recordings([*examples(corpus), broken])
    kept = read_recordings([*examples(corpus), broken], tolerated=0.1)
    assert len(kept.examples) == 16 and len(kept.skipped) == 1


def test_a_run_can_be_stopped(corpus: Path, tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "wav2vec2")
    with pytest.raises(TrainingCancelledError):
        train(examples(corpus), init=checkpoint, should_stop=lambda: True)


def test_what_is_no_audio_model_is_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelUnavailableError):
        train(examples(corpus), init=tmp_path)
