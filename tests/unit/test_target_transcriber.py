import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from ctranslate2.converters import TransformersConverter

from annotations.learning.targets.transcriber import TranscriberTrainer, compare_transcripts
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore, NewVote
from benchmarks.words.transcription import sample_clips
from ser.audio.decoding import decode_file
from ser.checkpoints.folder import load_meta, verify
from ser.encoder.weights import find_weights, read_weights
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.testing import synthetic_speech
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import TrainProgress
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.conversion import to_ctranslate2, to_transformers
from ser.transcription.faster_whisper import FasterWhisperTranscriber
from ser.transcription.training import SpokenText, TranscriberTrainConfig, train_transcriber
from ser.types import SpeechRegion
from tests.unit.speech_checkpoints import write_wav2vec2, write_whisper
from tests.unit.training_jobs import job_of

WORDS = "kids are talking by the door"


def clips(count: int = 20, text: str = WORDS) -> list[SpokenText]:
    return [SpokenText(synthetic_speech(0.8, seed=number), text, "en") for number in range(count)]


def watched(losses: list[float]) -> Surroundings:
    """A run on the CPU that keeps the loss of each epoch."""

    def keep(progress: TrainProgress) -> None:
        if progress.epoch_done:
            losses.append(float(str(progress.figures["loss"])))

    return Surroundings(Processes(), on_progress=keep)


@pytest.mark.parametrize("write", [pytest.param(write_whisper, marks=pytest.mark.slow), write_wav2vec2])
def test_a_checkpoint_is_trained_and_written_in_the_form_it_had(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, losses = write(tmp_path / "base"), []
    meta = train_transcriber(
        folder, clips(), tmp_path / "v2", name="v2", config=TranscriberTrainConfig(epochs=9, learning_rate=1e-2),
        around=watched(losses),
    )  # fmt: skip
    assert len(losses) == 9 and np.isfinite(losses).all() and losses[-1] < losses[0]
    assert load_meta(tmp_path / "v2").sha256 == meta.sha256
    assert not list((tmp_path / "v2").glob("*.bin")) and not list((tmp_path / "v2").glob("adapter*"))
    loaded = load_checkpoint(tmp_path / "v2")
    assert type(loaded) is type(load_checkpoint(folder))
    changed = json.loads((tmp_path / "v2" / "config.json").read_text())
    assert changed["architectures"] == json.loads((folder / "config.json").read_text())["architectures"]


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    folder, config = write_wav2vec2(tmp_path / "base"), TranscriberTrainConfig(epochs=1, seed=5)
    hashes = [
        train_transcriber(folder, clips(), tmp_path / name, name="v2", around=watched([]), config=config).sha256
        for name in ("a", "b")
    ]
    assert hashes[0] == hashes[1]


def test_too_few_clips_and_a_stop_request(tmp_path: Path) -> None:
    folder = write_wav2vec2(tmp_path / "base")
    long = SpokenText(synthetic_speech(29.0), WORDS)
    with pytest.raises(TrainingDataError, match="Clips of at most 28 s .*: 19; 20 are needed"):
        train_transcriber(folder, [*clips(19), long], tmp_path / "v2", name="v2", around=watched([]))
    with pytest.raises(TrainingCancelledError):
        train_transcriber(
            folder, clips(), tmp_path / "v2", name="v2", around=Surroundings(Processes(), should_stop=lambda: True)
        )
    assert not (tmp_path / "v2").exists()


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    folder = tmp_path_factory.mktemp("transcriber")
    store = AnnotationStore(folder / "data")
    for number in range(42):
        audio = synthetic_speech(0.6, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number // 3}", consent=("training",))
        label = ("anger", "sadness")[number % 2]
        store.add_correction(clip.id, NewVote("ann", "correct", label=label, transcript=WORDS))
    base = write_wav2vec2(folder / "base")
    return job_of(store, "transcriber", str(base), folder / "run")


def test_a_run_makes_a_version_and_compares_word_errors(job: TrainingJob) -> None:
    trainer = TranscriberTrainer()
    version = trainer.train(job)
    decision = trainer.compare(job, version)
    held_out = len(job.holdout.held_out)
    assert decision.before["words"] == decision.after["words"] == held_out * len(WORDS.split())
    assert decision.promoted == decision.reason.startswith("Promoted")
    assert "word error rate" in decision.reason and f"on {held_out} held-out clips" in decision.reason


def test_a_recogniser_that_is_not_at_hand_cannot_be_trained(job: TrainingJob) -> None:
    with pytest.raises(TrainingDataError, match="/nowhere/whisper cannot be trained, .* SER_TRANSCRIBER to 'embedded'"):
        TranscriberTrainer().train(dataclasses.replace(job, base="/nowhere/whisper"))


@pytest.mark.slow
def test_the_embedded_recogniser_is_trained_and_trained_on(tmp_path: Path, shared_data: Path) -> None:
    drawn = sample_clips(shared_data / "read-speech", 20, 0)
    clips = [SpokenText(decode_file(path).crop(0.0, 2.0), said) for path, said in drawn]
    config, losses = TranscriberTrainConfig(epochs=1), list[float]()
    folder = find_weights()
    for name in ("v2", "v3"):
        meta = train_transcriber(folder, clips, tmp_path / name, name=name, around=watched(losses), config=config)
        folder = tmp_path / name
        assert sorted(path.name for path in folder.iterdir()) == [
            "config.json", "meta.json", "model.bin", "tokenizer.json", "vocabulary.json"
        ]  # fmt: skip
        assert verify(folder).sha256 == meta.sha256
    assert len(losses) == 2 and losses[1] < losses[0]
    trained, audio = load_checkpoint(folder), clips[0].audio
    assert isinstance(trained, FasterWhisperTranscriber) and trained.name == "v3"
    assert trained.transcribe(audio, (SpeechRegion(0.0, audio.duration),)).text


def test_converted_there_and_back_the_embedded_weights_are_the_same(tmp_path: Path) -> None:
    to_transformers(find_weights(), tmp_path / "checkpoint")
    to_ctranslate2(tmp_path / "checkpoint", tmp_path / "back", find_weights())
    before, after = read_weights(find_weights() / "model.bin"), read_weights(tmp_path / "back" / "model.bin")
    shared = before.keys() & after.keys()
    assert len(shared) >= 140 and all(np.array_equal(before[name], after[name]) for name in shared)


def test_other_sizes_in_this_form_cannot_be_trained(tmp_path: Path) -> None:
    write_whisper(tmp_path / "tiny")
    TransformersConverter(str(tmp_path / "tiny"), copy_files=["tokenizer.json"]).convert(str(tmp_path / "other"))
    assert isinstance(load_checkpoint(tmp_path / "other"), FasterWhisperTranscriber)
    with pytest.raises(TrainingDataError, match="not of Whisper tiny.en's sizes"):
        train_transcriber(tmp_path / "other", clips(), tmp_path / "v2", name="v2", around=watched([]))


def test_word_errors_decide() -> None:
    said = ["the door is open", "kids are talking", "it is eleven o'clock"] * 12
    groups = [f"s{number % 9}" for number in range(len(said))]
    worse = [text.replace("is", "was").replace("are", "were") for text in said]
    better = compare_transcripts(said, worse, said, groups)
    assert better.promoted and better.after["wer"] == 0.0 and better.before["wer"] == round(3 / 11, 4)
    assert not compare_transcripts(said, said, worse, groups).promoted
    luck = compare_transcripts(said, [*worse[:2], *said[2:]], said, groups)
    assert not luck.promoted and luck.needed is not None and "may be chance" in luck.reason
