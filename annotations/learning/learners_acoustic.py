"""Teaches the acoustic model from labelled clips: our own network, or an audio encoder of others.

Knows nothing of processes and runs; see `annotations.learning.learners`.
"""

from collections.abc import Sequence
from dataclasses import replace

from annotations.learning.config import RetrainingConfig
from annotations.learning.gate import AnswerAll, Decision, judge
from annotations.learning.learners import Lesson
from annotations.records import FeedbackExample
from annotations.training_records import NewVersion
from ser.acoustic.classifier import load_acoustic_model
from ser.audio import decode_file
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError
from ser.training import train
from ser.training.run import is_encoder_of_others
from ser.types import Audio, Example
from ser.vad import SileroDetector, trim_to_speech


class AcousticLearner:
    """See `annotations.learning.learners.Learner`."""

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train on the feedback, watching the held-out side without choosing by it."""
        trained = train(
            [as_example(lesson, feedback) for feedback in lesson.holdout.training],
            train_config(lesson.config),
            dev=[as_example(lesson, feedback) for feedback in lesson.holdout.held_out],
            init=lesson.base,
            device=lesson.device,
            cache_dir=lesson.cache_dir,
            checkpoint_dir=lesson.checkpoint_dir,
            on_progress=lesson.on_progress,
            should_stop=lesson.should_stop,
        )
        # Saving a model removes its checkpoint, and a kill between that and the store's record would cost the run.
        kept = replace(trained, checkpoint_dir=None)
        meta = kept.save(lesson.model_dir, name=lesson.name, data=lesson.facts())
        return lesson.new_version(meta.sha256)

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Both models answer the held-out clips; the better one is to be in use."""
        detector = SileroDetector()
        audios: dict[int, Audio] = {}
        for feedback in (*lesson.holdout.held_out, *lesson.holdout.gold):
            audio = decode_file(lesson.store.clip_path(feedback.clip))
            audios[feedback.clip.id] = trim_to_speech(audio, detector.detect(audio))

        def answering(location: str) -> AnswerAll:
            def answer(clips: Sequence[FeedbackExample]) -> list[str]:
                if lesson.should_stop():
                    raise TrainingCancelledError("Stopped before the comparison was done.")
                model = load_acoustic_model(location, lesson.device)
                return [scores.label for scores in model.classify_batch([audios[e.clip.id] for e in clips])]

            return answer

        return judge(
            lesson.holdout,
            answering(lesson.base),
            answering(str(lesson.store.data_dir / version.path)),
            confidence=lesson.config.confidence,
            min_gain=lesson.config.min_gain,
            seed=lesson.config.seed,
        )


def as_example(lesson: Lesson, feedback: FeedbackExample) -> Example:
    """A clip with its raters' soft label, as training takes it."""
    return Example(
        path=lesson.store.clip_path(feedback.clip),
        label=feedback.soft_label,
        speaker=feedback.group,
        corpus="feedback",
        transcript=feedback.transcript,
    )


def train_config(config: RetrainingConfig) -> TrainConfig:
    """The training of the model in use, on one thread and without looking at the held-out clips.

    An encoder of others has steps of its own size: `epochs` and `learning_rate` are for networks of ours.
    """
    if is_encoder_of_others(config.base):
        return TrainConfig.tune_encoder(seed=config.seed, threads=1, choose_best=False)
    return TrainConfig.fine_tune(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
        threads=1,
        choose_best=False,
    )
