"""Fine-tunes the text model on corrected transcripts and their labels.

Reads no recording; see `annotations.learning.trainer`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.gate import Decision, decide_by_answers
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.promotion.probability_gain import stacked
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import FeedbackExample
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.classifier import load_text_model
from ser.text.data import as_transcript
from ser.text.feedback import TextAdaptConfig, adapt_text_model, adapter_folder, check_texts
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings

MIN_HELD_OUT = 8

EPOCHS = {"quick": 6, "thorough": 15}
"""Epochs by preset; 200 sentences take well under a minute at the quicker one."""


class TextTrainer:
    """Trainer of the text model. A run takes about a minute: after a kill it starts again."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Require enough written transcripts in both splits, and a text model that can be trained."""
        written = with_words(holdout.training)
        check_texts([example.transcript or "" for example in written], shares_of(written))
        adapter_folder(config.base)
        held_out_sentences(holdout)

    def train(self, job: TrainingJob) -> NewVersion:
        """Train the current adapter on, on the clips of the training side whose words somebody wrote down."""
        written = with_words(job.holdout.training)
        left = len(job.holdout.training) - len(written)
        job.say(
            f"Training on {len(written)} clip{'' if len(written) == 1 else 's'} with a written transcript; without "
            "one and "
            f"left out: {left}."
        )
        config = TextAdaptConfig(epochs=EPOCHS[job.config.preset], seed=job.config.seed)
        meta = adapt_text_model(
            job.base,
            [example.transcript or "" for example in written],
            shares_of(written),
            job.model_dir,
            around=Surroundings(Processes(job.device), None, job.on_progress, job.should_stop),
            config=config,
            data={**job.facts(), "training_clips": len(written), "clips_without_transcript": left},
        )
        lineage = {"training_clips": len(written), "clips_without_transcript": left}
        return job.new_version(meta.sha256, lineage)

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        """Predict the held-out transcripts with both models and decide."""
        holdout = held_out_sentences(job.holdout)

        def answer(location: str) -> npt.NDArray[np.float64]:
            if job.should_stop():
                raise TrainingCancelledError("Stopped before the comparison was done.")
            model = load_text_model(location, job.device)
            assert model is not None
            return stacked(model.classify_batch([clip.transcript or "" for clip in holdout.held_out]))

        return decide_by_answers(
            holdout, answer(job.base), answer(str(job.store.data_dir / version.path)), job.config.rule
        )


def with_words(examples: Sequence[FeedbackExample]) -> list[FeedbackExample]:
    """Select clips with a written transcript."""
    return [example for example in examples if as_transcript(example.transcript or "")]


def shares_of(examples: Sequence[FeedbackExample]) -> npt.NDArray[np.float32]:
    """Stack the soft labels of clips, shape (clips, labels)."""
    rows = [[example.soft_label.get(label, 0.0) for label in EMOTIONS] for example in examples]
    return np.array(rows, dtype=np.float32).reshape(-1, len(EMOTIONS))


def held_out_sentences(holdout: Holdout) -> Holdout:
    """Select the held-out clips that a text model can be compared on.

    Other voices are not enough: a sentence that the model has been trained on says nothing of it, whoever speaks it.
    Gold clips carry no transcript.

    Raises:
        TrainingDataError: if too little is left, with the numbers needed.
    """
    trained_on = {as_transcript(example.transcript or "") for example in holdout.training}
    written = with_words(holdout.held_out)
    new = [example for example in written if as_transcript(example.transcript or "") not in trained_on]
    labels = {max(example.soft_label, key=example.soft_label.__getitem__) for example in new}
    if len(new) < MIN_HELD_OUT or len(labels) < 2:
        raise TrainingDataError(
            f"Held-out clips with a written transcript that was not trained on: {len(new)}, of different labels: "
            f"{len(labels)} ({len(written) - len(new)} more say what a training clip says); {MIN_HELD_OUT} clips of 2 "
            "labels are needed. Write the words of more clips, of other speakers and with other sentences."
        )
    return replace(holdout, held_out=tuple(new), gold=())
