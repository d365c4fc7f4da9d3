import dataclasses
from pathlib import Path

import numpy as np
import pytest

from annotations.learning.targets.text import TextTrainer, held_out_sentences
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore, NewVote
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.text.classifier import load_text_model
from ser.text.embedded import load_trained
from ser.text.feedback import TextAdaptConfig, adapt_text_model, anchor_sentences
from ser.text.network import EmbeddedNetwork
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from tests.unit.training_jobs import job_of

# A jargon in which plain words mean something else than they usually do.
JARGON = {"the pump is running rough": "fear", "the line is singing": "happiness"}
TAILS = ("today", "again", "since the morning", "at the east gate", "on deck two", "in the hall", "near the crane",
         "as before", "they say", "once more", "down there", "at last", "by noon", "this week")  # fmt: skip


def sentences() -> list[tuple[str, str]]:
    return [(f"{start} {tail}", label) for tail in TAILS for start, label in JARGON.items()]


def shares(labels: list[str]) -> np.ndarray:
    return np.eye(len(EMOTIONS), dtype=np.float32)[[EMOTIONS.index(label) for label in labels]]


@pytest.mark.slow
def test_it_learns_the_words_of_a_domain_and_keeps_what_it_knew(tmp_path: Path) -> None:
    labelled = sentences()[:20]
    adapt_text_model("embedded", [t for t, _ in labelled], shares([lb for _, lb in labelled]), tmp_path / "v2",
                     around=Surroundings(Processes()), config=TextAdaptConfig(epochs=4))  # fmt: skip
    before, after = load_text_model("embedded"), load_text_model(tmp_path / "v2")
    assert before is not None and after is not None
    unheard = sentences()[20:]
    right = [sum(m.classify(t).label == lb for t, lb in unheard) for m in (before, after)]
    assert right[0] < right[1] and right[1] >= 7
    plain = ["I am so happy to see you", "this makes me furious", "I miss her so much", "what a disgusting smell",
             "I am scared of the dark", "the meeting is at ten"]  # fmt: skip
    assert sum(after.classify(t).label == before.classify(t).label for t in plain) >= 5


def test_the_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    labelled = sentences()[:20]
    made = []
    for name in ("a", "b"):
        adapt_text_model("embedded", [t for t, _ in labelled], shares([lb for _, lb in labelled]), tmp_path / name,
                         around=Surroundings(Processes()),
                         config=TextAdaptConfig(epochs=1, anchors=16, seed=3))  # fmt: skip
        made.append(load_trained(tmp_path / name).meta.sha256)
    assert made[0] == made[1]


def test_anchor_sentences_are_of_common_whole_words() -> None:
    tokenizer = EmbeddedNetwork(2).tokenizer
    drawn = anchor_sentences(tokenizer, 50, np.random.default_rng(0))
    assert len(drawn) == 50 and all(3 <= len(text.split()) <= 12 for text in drawn)
    assert drawn == anchor_sentences(tokenizer, 50, np.random.default_rng(0))


def test_a_checkpoint_of_transformers_and_too_few_sentences_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="train on: 3, of different labels: 1; 20 clips of 2 labels are needed"):
        adapt_text_model(
            "embedded", ["a", "b", "c"], shares(["fear"] * 3), tmp_path / "v2", around=Surroundings(Processes())
        )
    labelled = sentences()[:20]
    with pytest.raises(TrainingDataError, match="a checkpoint of transformers; only the embedded text model"):
        adapt_text_model("some/model", [t for t, _ in labelled], shares([lb for _, lb in labelled]), tmp_path / "v2",
                         around=Surroundings(Processes()))  # fmt: skip


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> TrainingJob:
    """Seven speakers with four clips each, nearly all written down; every speaker has sentences of their own."""
    folder = tmp_path_factory.mktemp("text")
    store = AnnotationStore(folder / "data")
    for number, (text, label) in enumerate(sentences() + sentences()[:14]):
        clip = store.add_clip(
            synthetic_speech(0.2, seed=number), source="test", speaker=f"s{number // 4}", consent=("training",)
        )
        words = None if number == 5 else f"{text} {'well' if number >= 28 else ''}"
        store.add_correction(clip.id, NewVote("ann", "correct", label=label, transcript=words))
    return job_of(store, "text", "embedded", folder / "run")


@pytest.mark.slow
def test_a_run_learns_from_written_words_and_counts_the_clips_without(job: TrainingJob) -> None:
    messages: list[str] = []
    trainer = TextTrainer()
    version = trainer.train(dataclasses.replace(job, say=messages.append))
    assert version.lineage["clips_without_transcript"] + version.lineage["training_clips"] == len(  # type: ignore[operator]
        job.holdout.training
    )
    assert "with a written transcript" in messages[0]
    decision = trainer.compare(job, version)
    assert decision.after["uar"] > decision.before["uar"]  # type: ignore[operator]


def test_sentences_that_were_trained_on_are_not_compared_on(job: TrainingJob) -> None:
    holdout = job.holdout
    same = tuple(dataclasses.replace(e, transcript=holdout.training[0].transcript) for e in holdout.held_out)
    with pytest.raises(TrainingDataError, match="trained on: 0, .* more say what a training clip says"):
        held_out_sentences(dataclasses.replace(holdout, held_out=same))


def test_it_stops_when_asked(job: TrainingJob) -> None:
    with pytest.raises(TrainingCancelledError):
        TextTrainer().train(dataclasses.replace(job, should_stop=lambda: True))
