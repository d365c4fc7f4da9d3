"""Teaches the acoustic model from labelled clips: our own network, or an audio encoder of others.

Knows nothing of processes and runs; see `annotations.learning.learners`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from annotations.learning.base_corpora import BaseCorpora, base_features, speakers_of, standing_on_base
from annotations.learning.config import RetrainingConfig
from annotations.learning.decision import Standing
from annotations.learning.evidence import Evidence, read_evidence
from annotations.learning.gate import AnswerAll, Decision, judge
from annotations.learning.holdout import Holdout
from annotations.learning.learners import Lesson
from annotations.learning.network_teaching import teach_network
from annotations.learning.presets import check_network, encoder_config, preset_of
from annotations.records import FeedbackExample
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.acoustic.classifier import is_own_model, load_acoustic_model, load_network, model_folder
from ser.audio import decode_file
from ser.errors import TrainingCancelledError
from ser.training import train
from ser.training.encoder import TunedEncoder
from ser.training.memory import hearing_hash, load_prototypes, uar_on_prototypes
from ser.training.run import TrainedModel, check_labels
from ser.types import Audio, EmotionScores, Example
from ser.vad import SileroDetector, trim_to_speech

KEPT = {"base_memory": "memory", "temperature": "temperature", "tried": "tried"}
"""What the lineage takes over of the saved model's figures."""


class AcousticLearner:
    """See `annotations.learning.learners.Learner`."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Of the feedback, what every target needs, clips with labels of several voices, is all that is needed here."""
        if is_own_model(model_folder(config.base)):
            check_network(config)

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train on the feedback, watching the held-out side without choosing by it."""
        evidence = self.evidence(lesson)
        training = [as_example(lesson, feedback, evidence) for feedback in lesson.holdout.training]
        held_out = [as_example(lesson, feedback) for feedback in lesson.holdout.held_out]
        check_labels(training)
        model: TrainedModel | TunedEncoder
        if not is_own_model(model_folder(lesson.base)):
            model = train(
                training,
                encoder_config(lesson.config),
                dev=held_out,
                init=lesson.base,
                device=lesson.device,
                cache_dir=lesson.cache_dir,
                checkpoint_dir=lesson.checkpoint_dir,
                on_progress=lesson.on_progress,
                should_stop=lesson.should_stop,
            )
        else:
            model = teach_network(lesson, training, held_out, preset_of(lesson.config), evidence)
        # Saving a model removes its checkpoint, and a kill between that and the store's record would cost the run.
        meta = replace(model, checkpoint_dir=None).save(lesson.model_dir, name=lesson.name, data=lesson.facts())
        return lesson.new_version(meta.sha256, {name: meta.metrics.get(kept) for name, kept in KEPT.items()})

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Both models answer the held-out clips; the better one is to be in use, where it forgets nothing."""
        detector = SileroDetector()
        audios: dict[int, Audio] = {}
        for feedback in (*lesson.holdout.held_out, *lesson.holdout.gold):
            audio = decode_file(lesson.store.clip_path(feedback.clip))
            audios[feedback.clip.id] = trim_to_speech(audio, detector.detect(audio))

        def answering(location: str) -> AnswerAll:
            def answer(clips: Sequence[FeedbackExample]) -> list[EmotionScores]:
                if lesson.should_stop():
                    raise TrainingCancelledError("Stopped before the comparison was done.")
                model = load_acoustic_model(location, lesson.device)
                return list(model.classify_batch([audios[e.clip.id] for e in clips]))

            return answer

        made = lesson.store.data_dir / version.path
        return judge(
            lesson.holdout,
            answering(lesson.base),
            answering(str(made)),
            confidence=lesson.config.confidence,
            min_gain=lesson.config.min_gain,
            seed=lesson.config.seed,
            base=standing_of(lesson, made),
        )

    def evidence(self, lesson: Lesson) -> Evidence:
        """What the votes on the training side are worth, as they stood when the run was asked for."""
        clips = [feedback.clip.id for feedback in lesson.holdout.training]
        with lesson.votes() as store:
            return read_evidence(store, clips)


def as_example(lesson: Lesson, feedback: FeedbackExample, evidence: Evidence | None = None) -> Example:
    """A clip as training takes it: with what its votes are worth together, or else with their plain shares."""
    known = evidence or Evidence()
    return Example(
        path=lesson.store.clip_path(feedback.clip),
        label=known.soft_labels.get(feedback.clip.id, feedback.soft_label),
        speaker=feedback.group,
        corpus="feedback",
        transcript=feedback.transcript,
        weight=known.weights.get(feedback.clip.id, 1.0),
    )


def standing_of(lesson: Lesson, after: Path) -> Standing | None:
    """How the network in use and a new one do on the base; None where they cannot be asked.

    With the base corpora at hand it is their clips that judge, as a network that hears differently than before cannot
    answer what was heard before it; else prototypes.
    """
    before = model_folder(lesson.base)
    if not (is_own_model(before) and is_own_model(after)):
        return None
    old, new = load_network(before), load_network(after)
    if folders := preset_of(lesson.config).base:
        base = BaseCorpora.read(folders, lesson.config.seed, without=speakers_of(lesson))
        judging = base_features(base.judging, lesson.should_stop)
        return standing_on_base(old, new, judging) if judging is not None else None
    known = load_prototypes(before, old)
    if known is None or known.hearing != hearing_hash(new):
        return None
    figures = [uar_on_prototypes(network, known.judges) for network in (old, new)]
    return Standing("base prototypes", figures[0], figures[1], len(known.judges))
