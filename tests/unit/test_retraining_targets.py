"""Runs from the request to their end: each target through the real training process, its gate and its version."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from annotations.learning.runs.retrainer import Retrainer, RetrainingConfig, log_path
from annotations.learning.runs.status import TrainingStatus
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore, NewVote
from annotations.store.queries import list_versions
from annotations.store.records import TrainingRun
from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.folders import is_head
from ser.checkpoints.folder import load_meta
from ser.errors import SerError
from ser.fusion.rule import FusionRule, load_fusion_rule
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, synthetic_speech
from ser.text.classifier import load_text_model
from ser.training.rehearsal import load_rehearsal
from ser.transcription.checkpoint import load_checkpoint
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.forked_workers import forking
from tests.unit.speech_checkpoints import write_wav2vec2, write_whisper
from tests.unit.test_target_fusion import fill as fill_with_answers
from tests.unit.test_target_text import sentences

PITCH = {"anger": 240.0, "sadness": 100.0, "neutral": 160.0}
WORDS = "kids are talking by the door"


def fill(store: AnnotationStore, clips: int = 48, words: str | None = None) -> None:
    """Clips of eight voices with a vote each."""
    for number in range(clips):
        label = sorted(PITCH)[number % len(PITCH)]
        audio = synthetic_speech(0.8, pitch=PITCH[label] + number % 7, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number % 8}", consent=("training",))
        store.add_correction(clip.id, NewVote("ann", "correct", label=label, transcript=words))


def fill_with_words(store: AnnotationStore) -> None:
    """Nine voices with sentences of their own, in a jargon that the text model reads wrongly."""
    for number, (text, label) in enumerate(sentences() + sentences()[:8]):
        audio = synthetic_speech(0.3, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"s{number // 4}", consent=("training",))
        printed = f"{text} {'well' if number >= 28 else ''}"
        store.add_correction(clip.id, NewVote("ann", "correct", label=label, transcript=printed))


def active_model(folder: Path, base: str | Path | None = None) -> ActiveModel:
    """A store, and a model that answers; an untrained one where the target is another part."""
    acoustic = load_acoustic_model(base) if base else BandEnergyModel()
    recognizer = Recognizer(EnergyDetector(), acoustic, None, None)
    return ActiveModel(AnnotationStore(folder), recognizer, load_acoustic_model, base=str(base or "embedded"))


def play(active: ActiveModel, config: RetrainingConfig, origins: dict[str, str] | None = None) -> TrainingRun:
    """A run from the request to its end."""
    retrainer = Retrainer(active, config, origins=origins, spawn=forking())
    asked = retrainer.start("ann")
    seen: list[TrainingStatus] = []
    end = retrainer.wait(seen.append, interval=0.1)
    run = active.store.get_training_run(asked.id)
    log = log_path(active.store.data_dir, run.id).read_text()
    assert run.status in ("promoted", "refused"), f"{end.message}\n{log[-3000:]}"
    assert run.reason == end.message and end.progress == 1.0
    assert run.metrics["before"] and run.metrics["after"]
    assert run.target == config.target and run.new_version_id is not None
    return run


def folder_of(store: AnnotationStore, run: TrainingRun) -> Path:
    """Return the folder of the version that a run made."""
    version = store.get_model_version(run.new_version_id or 0)
    assert version.training_run_id == run.id and version.target == run.target and version.path is not None
    assert version.id in [known.id for known in list_versions(store)]
    return store.data_dir / version.path


@pytest.mark.slow
def test_text(tmp_path: Path) -> None:
    active = active_model(tmp_path / "data")
    fill_with_words(active.store)
    run = play(active, RetrainingConfig(target="text"), {"text": "embedded"})
    assert run.metrics["after"]["uar"] > run.metrics["before"]["uar"]  # type: ignore[index]
    assert load_text_model(folder_of(active.store, run)) is not None


@pytest.mark.parametrize("write", [write_wav2vec2, pytest.param(write_whisper, marks=pytest.mark.slow)])
def test_transcriber(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    active = active_model(tmp_path / "data")
    fill(active.store, words=WORDS)
    run = play(active, RetrainingConfig(target="transcriber"), {"transcriber": str(write(tmp_path / "asr"))})
    assert run.metrics["before"]["words"] == run.metrics["after"]["words"] > 0  # type: ignore[index]
    assert "word error rate" in (run.reason or "")
    load_checkpoint(folder_of(active.store, run))


@pytest.mark.slow
@pytest.mark.parametrize(("tune", "trained"), [("auto", set()), ("top-k:1", {"last layer"})])
def test_acoustic_with_a_pretrained_encoder(tmp_path: Path, tune: str, trained: set[str]) -> None:
    base = write_classifier(tmp_path / "wavlm", "wavlm", ("anger", "sadness", "neutral"), layers=2)
    active = active_model(tmp_path / "data", base)
    fill(active.store)
    made = folder_of(active.store, play(active, RetrainingConfig(tune=tune)))
    model = load_acoustic_model(made)
    assert is_head(made) and model.labels and model.classify(synthetic_speech(0.8, seed=3)).label in PITCH
    assert (made / "model.safetensors").is_file() == bool(trained), "a frozen encoder stays where it is"
    if trained:
        before, after = (load_file(folder / "model.safetensors") for folder in (base, made))
        parts = {"last layer": "encoder.layers.1.", "first layer": "encoder.layers.0."}
        assert trained == {
            part
            for part, name in parts.items()
            if any(not torch.equal(before[f"wavlm.{key}"], after[key]) for key in after if name in key)
        }


@pytest.mark.slow
def test_a_head_trained_thoroughly(tmp_path: Path) -> None:
    active = active_model(tmp_path / "data", "embedded")
    fill(active.store)
    run = play(active, RetrainingConfig(preset="thorough"))
    made = folder_of(active.store, run)
    assert load_acoustic_model(made).sha256 == load_meta(made).sha256
    assert load_rehearsal(made) is not None, "the next run on feedback is to replay the base as well"
    tested = run.metrics["base"]
    assert tested["what"] == "base test" and tested["count"] > 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("tune", "why"),
    [("lora", "tune is 'lora', but the encoder of the current model is frozen"), ("everything", "expected auto, head")],
)
def test_what_a_frozen_encoder_cannot_learn_is_said_beforehand(tmp_path: Path, tune: str, why: str) -> None:
    active = active_model(tmp_path / "data")
    fill(active.store)
    with pytest.raises(SerError, match=why):
        Retrainer(active).start("ann", tune=tune)
    assert not active.store.unfinished_runs(), "nothing was asked for"


@pytest.mark.slow
def test_fusion_by_the_command_line(tmp_path: Path) -> None:
    store = AnnotationStore(tmp_path / "data")
    fill_with_answers(store, sound=0.3, words=0.95)
    command = [sys.executable, "-m", "annotations", "--data-dir", str(store.data_dir), "retrain", "--target", "fusion"]
    done = subprocess.run(
        [*command, "--json"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"SER_TRANSCRIBER": "none", "SER_TEXT_MODEL": "none"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.count("\n") == 1, "one object, and nothing else"
    printed = json.loads(done.stdout)
    run = store.get_training_run(printed["run"])
    assert done.returncode == (0 if printed["decision"] == "promoted" else 1), done.stderr
    assert list(printed)[:6] == ["run", "version", "decision", "reason", "before", "after"]
    assert (printed["decision"], printed["reason"], printed["target"]) == (run.status, run.reason, "fusion")
    assert printed["after"]["uar"] > printed["before"]["uar"] and printed["decision"] == "promoted"
    assert load_fusion_rule(folder_of(store, run)).max_weight > FusionRule().max_weight + 0.1
    assert f"Run {run.id}" in done.stderr, "progress goes to stderr"
