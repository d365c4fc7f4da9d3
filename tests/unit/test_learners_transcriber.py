import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from annotations.learning.learners import Lesson
from annotations.learning.learners_transcriber import TranscriberLearner, judge_transcripts
from annotations.store import AnnotationStore
from ser.checkpoints import load_meta
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.testing import synthetic_speech
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.training import SpokenText, TranscriberTrainConfig, train_transcriber
from tests.unit.lessons import lesson_of
from tests.unit.speech_checkpoints import write_wav2vec2, write_whisper

WORDS = "kids are talking by the door"


def clips(count: int = 20, text: str = WORDS) -> list[SpokenText]:
    return [SpokenText(synthetic_speech(0.8, seed=number), text, "en") for number in range(count)]


@pytest.mark.parametrize("write", [write_whisper, write_wav2vec2])
def test_a_checkpoint_learns_and_is_written_in_the_form_it_had(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder, losses = write(tmp_path / "base"), []
    sha256 = train_transcriber(
        folder, clips(), tmp_path / "v2", name="v2", config=TranscriberTrainConfig(epochs=3, learning_rate=1e-2),
        on_step=lambda step, steps, loss: losses.append(loss),
    )  # fmt: skip
    assert len(losses) == 9 and np.isfinite(losses).all() and losses[-1] < losses[0]
    assert load_meta(tmp_path / "v2").sha256 == sha256
    assert not list((tmp_path / "v2").glob("*.bin")) and not list((tmp_path / "v2").glob("adapter*"))
    loaded = load_checkpoint(tmp_path / "v2")
    assert type(loaded) is type(load_checkpoint(folder))
    changed = json.loads((tmp_path / "v2" / "config.json").read_text())
    assert changed["architectures"] == json.loads((folder / "config.json").read_text())["architectures"]


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    folder, config = write_wav2vec2(tmp_path / "base"), TranscriberTrainConfig(epochs=1)
    hashes = [
        train_transcriber(folder, clips(), tmp_path / name, name="v2", seed=5, config=config) for name in ("a", "b")
    ]
    assert hashes[0] == hashes[1]


def test_too_few_clips_and_a_wish_to_stop(tmp_path: Path) -> None:
    folder = write_wav2vec2(tmp_path / "base")
    long = SpokenText(synthetic_speech(29.0), WORDS)
    with pytest.raises(TrainingDataError, match="19 clips of at most 28 s .* 20 are needed"):
        train_transcriber(folder, [*clips(19), long], tmp_path / "v2", name="v2")
    with pytest.raises(TrainingCancelledError):
        train_transcriber(folder, clips(), tmp_path / "v2", name="v2", should_stop=lambda: True)
    assert not (tmp_path / "v2").exists()


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    folder = tmp_path_factory.mktemp("transcriber")
    store = AnnotationStore(folder / "data")
    for number in range(42):
        audio = synthetic_speech(0.6, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number // 3}", consent=("training",))
        label = ("anger", "sadness")[number % 2]
        store.add_correction(clip.id, rater="ann", verdict="correct", label=label, transcript=WORDS)
    base = write_wav2vec2(folder / "base")
    return lesson_of(store, "transcriber", str(base), folder / "run")


def test_a_run_makes_a_version_and_compares_word_errors(lesson: Lesson) -> None:
    learner = TranscriberLearner()
    version = learner.learn(lesson)
    decision = learner.compare(lesson, version)
    held_out = len(lesson.holdout.held_out)
    assert decision.before["words"] == decision.after["words"] == held_out * len(WORDS.split())
    assert decision.promoted == decision.reason.startswith("Promoted")
    assert "word error rate" in decision.reason and f"on {held_out} held-out clips" in decision.reason


def test_the_embedded_recogniser_cannot_be_taught(lesson: Lesson) -> None:
    with pytest.raises(TrainingDataError, match="pocketsphinx, cannot be taught, .* SER_WHISPER_MODEL"):
        TranscriberLearner().learn(dataclasses.replace(lesson, base="/nowhere/whisper"))


def test_word_errors_decide() -> None:
    said = ["the door is open", "kids are talking", "it is eleven o'clock"] * 12
    groups = [f"s{number % 9}" for number in range(len(said))]
    worse = [text.replace("is", "was").replace("are", "were") for text in said]
    options = {"confidence": 0.95, "min_gain": 0.01}
    better = judge_transcripts(said, worse, said, groups, **options)
    assert better.promoted and better.after["wer"] == 0.0 and better.before["wer"] == round(3 / 11, 4)
    assert not judge_transcripts(said, said, worse, groups, **options).promoted
    luck = judge_transcripts(said, [*worse[:1], *said[1:]], said, groups, **options)
    assert not luck.promoted and luck.needed is not None and "may be chance" in luck.reason
