"""Teaches the text model from what people wrote was said, and the label they gave it.

Hears no recording; see `annotations.learning.learners`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from annotations.learning.config import RetrainingConfig
from annotations.learning.gate import AnswerAll, Decision, judge
from annotations.learning.holdout import Holdout
from annotations.learning.learners import Lesson
from annotations.records import FeedbackExample
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.checkpoints import weights_sha256
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.text.adapting import TextAdaptConfig, adapt_text_model, check_texts, taught_folder
from ser.text.classifier import load_text_model
from ser.text.data import as_transcript
from ser.training.progress import TrainProgress
from ser.types import EmotionScores

MIN_HELD_OUT = 8

EPOCHS = {"quick": 6, "thorough": 15}
"""By preset; 200 sentences take well under a minute at the quicker one."""


class TextLearner:
    """See `annotations.learning.learners.Learner`. A run takes about a minute: what was killed is done again."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Enough written words on both sides, and a text model of ours in use."""
        written = with_words(holdout.training)
        check_texts([example.transcript or "" for example in written], shares_of(written))
        taught_folder(config.base)
        held_out_sentences(holdout)

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train the adapter in use on, on the clips of the training side whose words somebody wrote down."""
        written = with_words(lesson.holdout.training)
        left = len(lesson.holdout.training) - len(written)
        lesson.say(f"Learning from {len(written)} clips with a written transcript; {left} have none and are left out.")
        config = TextAdaptConfig(epochs=EPOCHS[lesson.config.preset])
        started, per_epoch = time.monotonic(), -(-len(written) // config.batch_size)

        def on_step(step: int, steps: int, loss: float) -> None:
            left = (time.monotonic() - started) / step * (steps - step)
            epoch, done = 1 + (step - 1) // per_epoch, step % per_epoch == 0
            lesson.on_progress(
                TrainProgress(epoch, config.epochs, step, steps, round(loss, 4), None, left, epoch_done=done)
            )

        adapt_text_model(
            lesson.base,
            [example.transcript or "" for example in written],
            shares_of(written),
            lesson.model_dir,
            config=config,
            seed=lesson.config.seed,
            data={**lesson.facts(), "training_clips": len(written), "clips_without_transcript": left},
            on_step=on_step,
            should_stop=lesson.should_stop,
        )
        lineage = {"training_clips": len(written), "clips_without_transcript": left}
        return lesson.new_version(weights_sha256(lesson.model_dir), lineage)

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Both models read the held-out transcripts."""

        def answering(location: str) -> AnswerAll:
            def answer(clips: Sequence[FeedbackExample]) -> list[EmotionScores]:
                if lesson.should_stop():
                    raise TrainingCancelledError("Stopped before the comparison was done.")
                model = load_text_model(location, lesson.device)
                assert model is not None
                return list(model.classify_batch([clip.transcript or "" for clip in clips]))

            return answer

        return judge(
            held_out_sentences(lesson.holdout),
            answering(lesson.base),
            answering(str(lesson.store.data_dir / version.path)),
            confidence=lesson.config.confidence,
            min_gain=lesson.config.min_gain,
            seed=lesson.config.seed,
        )


def with_words(examples: Sequence[FeedbackExample]) -> list[FeedbackExample]:
    """Those whose words somebody wrote down."""
    return [example for example in examples if as_transcript(example.transcript or "")]


def shares_of(examples: Sequence[FeedbackExample]) -> npt.NDArray[np.float32]:
    """What people say of each clip, shape (clips, labels)."""
    rows = [[example.soft_label.get(label, 0.0) for label in EMOTIONS] for example in examples]
    return np.array(rows, dtype=np.float32).reshape(-1, len(EMOTIONS))


def held_out_sentences(holdout: Holdout) -> Holdout:
    """The held-out side as far as it is fit to judge a text model by.

    Other voices are not enough: a sentence that the model has learnt from says nothing of it, whoever speaks it.
    Gold clips carry no transcript.

    Raises:
        TrainingDataError: where too little is left, with the numbers needed.
    """
    learnt = {as_transcript(example.transcript or "") for example in holdout.training}
    written = with_words(holdout.held_out)
    new = [example for example in written if as_transcript(example.transcript or "") not in learnt]
    labels = {max(example.soft_label, key=example.soft_label.__getitem__) for example in new}
    if len(new) < MIN_HELD_OUT or len(labels) < 2:
        raise TrainingDataError(
            f"{len(new)} held-out clips of {len(labels)} different labels have a written transcript that was not "
            f"learnt from ({len(written) - len(new)} more say what a training clip says); {MIN_HELD_OUT} clips of 2 "
            "labels are needed. Write the words of more clips, of other speakers and with other sentences."
        )
    return replace(holdout, held_out=tuple(new), gold=())
