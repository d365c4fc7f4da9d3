"""Teaches the acoustic model from labelled clips: our own network, or an audio encoder of others.

Knows nothing of processes and runs; see `annotations.learning.learners`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.learning.decision import Standing
from annotations.learning.evidence import Evidence, hear_votes, read_evidence
from annotations.learning.gate import AnswerAll, Decision, judge
from annotations.learning.holdout import Holdout
from annotations.learning.learners import Lesson
from annotations.learning.presets import REPLAYED, Preset, preset_of
from annotations.learning.run_status import snapshot_path
from annotations.learning.suspects import find_suspects
from annotations.records import FeedbackExample
from annotations.store import AnnotationStore
from annotations.suspects import Suspect, cleared_suspects, open_suspects, record_suspects
from annotations.training_records import NewVersion
from ser.acoustic.classifier import is_own_model, load_acoustic_model, load_network, model_folder
from ser.audio import decode_file
from ser.augmentation import SignalAugmentation
from ser.checkpoints import load_meta
from ser.config import TrainConfig
from ser.corpora import load_corpus
from ser.errors import TrainingCancelledError
from ser.labels import EMOTIONS
from ser.training import train
from ser.training.crossed_temperature import crossed_temperature
from ser.training.description import describe
from ser.training.encoder import TunedEncoder
from ser.training.head import hear, tune_head
from ser.training.memory import load_prototypes, uar_on_prototypes
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import RESERVED_SPEAKERS
from ser.training.remembering import RememberingModel, remember, require_emotions
from ser.training.run import TrainedModel, check_labels
from ser.types import Audio, EmotionScores, Example
from ser.vad import SileroDetector, trim_to_speech

KEPT = {"base_memory": "memory", "temperature": "temperature"}
"""What the lineage takes over of the saved model's figures."""


class AcousticLearner:
    """See `annotations.learning.learners.Learner`."""

    def check(self, store: AnnotationStore, holdout: Holdout, base: str) -> None:
        """What every target needs, clips with labels of several voices, is all that is needed here."""

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train on the feedback, watching the held-out side without choosing by it."""
        evidence = self.evidence(lesson)
        training = [as_example(lesson, feedback, evidence) for feedback in lesson.holdout.training]
        held_out = [as_example(lesson, feedback) for feedback in lesson.holdout.held_out]
        check_labels(training)
        model: TrainedModel | TunedEncoder
        if not is_own_model(model_folder(lesson.base)):
            config = TrainConfig.tune_encoder(seed=lesson.config.seed, threads=1, choose_best=False)
            model = _train(lesson, training, held_out, config)
        elif (preset := preset_of(lesson.config)).head is not None:
            model = tune(lesson, training, held_out, preset, evidence)
        else:
            model = _train_deep(lesson, training, held_out, preset)
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
            base=standing_on_prototypes(model_folder(lesson.base), made),
        )

    def evidence(self, lesson: Lesson) -> Evidence:
        """What the votes on the training side are worth, as they stood when the run was asked for."""
        clips = [feedback.clip.id for feedback in lesson.holdout.training]
        snapshot = snapshot_path(lesson.store.data_dir, lesson.run.id)
        if not snapshot.exists():
            return read_evidence(lesson.store, clips)
        with AnnotationStore(lesson.store.data_dir, database=snapshot) as store:
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


def standing_on_prototypes(before: Path, after: Path) -> Standing | None:
    """How two networks do on the base prototypes of the first; None where they cannot be asked."""
    if not (is_own_model(before) and is_own_model(after)):
        return None
    old, new = load_network(before), load_network(after)
    known = load_prototypes(before, old)
    if known is None or load_prototypes(after, new) is None:
        return None
    judges = known.judges
    figures = [uar_on_prototypes(network, judges) for network in (old, new)]
    return Standing("base prototypes", figures[0], figures[1], len(judges))


def tune(
    lesson: Lesson,
    training: Sequence[Example],
    held_out: Sequence[Example],
    preset: Preset,
    evidence: Evidence | None = None,
) -> TrainedModel:
    """Teach the judging part of a network of ours, with its prototypes beside the feedback.

    What the network hears tells, beside the votes, what the clips' labels are; see `hear_votes`. Begun again after a
    kill it goes on where it was; features that were ready are kept.
    """
    assert preset.head is not None
    folder = model_folder(lesson.base)
    network, meta = load_network(folder), load_meta(folder)
    require_emotions(meta.labels, folder)
    features = prepare(training, _preparation(lesson, preset.variants))
    watched = prepare(held_out, _preparation(lesson, 0))
    heard = hear(network, features.variants, lesson.should_stop)
    targets = _as_heard(lesson, heard[:, 0], features.targets, evidence or Evidence())
    believed = _believed(lesson, heard[:, 0], targets)
    groups = [feedback.group for feedback, kept in zip(lesson.holdout.training, believed, strict=True) if kept]
    taught = heard[believed], targets[believed], features.weights[believed]
    known = load_prototypes(folder, network)
    tuned = tune_head(
        network,
        *taught,
        preset.head,
        prototypes=known,
        dev=(hear(network, watched.variants, lesson.should_stop)[:, 0], watched.targets),
        checkpoint_dir=lesson.checkpoint_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )
    temperature = crossed_temperature(
        network, *taught, groups, preset.head, prototypes=known, should_stop=lesson.should_stop
    )
    suspected = len(believed) - int(believed.sum())
    memory = {"kept_share": tuned.kept_share, "before": tuned.prototypes_before, "after": tuned.prototypes_after}
    config = TrainConfig.fine_tune(
        epochs=preset.head.epochs,
        learning_rate=preset.head.learning_rate,
        seed=preset.head.seed,
        variants=preset.variants,
        tune="head",
    )
    metrics = {"best_epoch": preset.head.epochs, "memory": memory, "suspected_clips": suspected}
    metrics["temperature"] = {"before": meta.temperature, "after": temperature, "kept": temperature is None}
    facts, sure = describe(training, held_out), temperature or meta.temperature
    return RememberingModel(tuned.network, meta.labels, sure, config, tuned.curve, metrics, facts, prototypes=known)


def _as_heard(
    lesson: Lesson, heard: npt.NDArray[np.float32], targets: npt.NDArray[np.float32], evidence: Evidence
) -> npt.NDArray[np.float32]:
    """Labels by votes and sound together; as they were where the votes are not at hand."""
    clips = [feedback.clip.id for feedback in lesson.holdout.training]
    told = hear_votes(evidence, dict(zip(clips, heard, strict=True)))
    if told is evidence:
        return targets
    rows = [[told.soft_labels[clip].get(label, 0.0) for label in EMOTIONS] for clip in clips]
    return np.array(rows, dtype=np.float32)


def _believed(
    lesson: Lesson, heard: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which clips of the training side to learn from; the others go back to the review queue."""
    clips = [feedback.clip.id for feedback in lesson.holdout.training]
    found = find_suspects(heard, targets, [feedback.group for feedback in lesson.holdout.training], lesson.config.seed)
    with lesson.store.reading() as connection:
        cleared, waiting = set(cleared_suspects(connection)), set(open_suspects(connection))
    suspects = [
        Suspect(clips[place], EMOTIONS[targets[place].argmax()], EMOTIONS[label], certainty)
        for place, label, certainty in found
        if clips[place] not in cleared
    ]
    doubted = waiting | {suspect.clip_id for suspect in suspects}
    believed = np.array([clip not in doubted for clip in clips])
    if len(np.unique(targets[believed].argmax(1))) < 2:
        return np.ones(len(clips), dtype=np.bool_)
    record_suspects(lesson.store, lesson.run.id, suspects)
    if suspects:
        lesson.say(f"{len(suspects)} clips sound unlike their label: not learnt from, and back in the review queue.")
    return believed


def _train_deep(
    lesson: Lesson, training: Sequence[Example], held_out: Sequence[Example], preset: Preset
) -> TrainedModel:
    """Train the last layers of what hears as well; the base corpora are learnt again, and remembered anew."""
    assert preset.deep is not None
    draw = np.random.default_rng(lesson.config.seed)
    replay: list[Example] = []
    for folder in preset.base:
        known = [example for example in load_corpus(folder) if example.speaker not in RESERVED_SPEAKERS]
        replay += [known[n] for n in sorted(draw.permutation(len(known))[:REPLAYED].tolist())]
    trained = _train(lesson, training, held_out, preset.deep, replay)
    assert isinstance(trained, TrainedModel)
    return remember(trained, replay, Preparation(cache_dir=default_cache_dir(), should_stop=lesson.should_stop))


def _train(
    lesson: Lesson,
    training: Sequence[Example],
    held_out: Sequence[Example],
    config: TrainConfig,
    replay: Sequence[Example] = (),
) -> TrainedModel | TunedEncoder:
    return train(
        training,
        config,
        dev=held_out,
        init=lesson.base,
        replay=replay,
        device=lesson.device,
        cache_dir=lesson.cache_dir,
        checkpoint_dir=lesson.checkpoint_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )


def _preparation(lesson: Lesson, variants: int) -> Preparation:
    return Preparation(
        variants=variants,
        seed=lesson.config.seed,
        augmentation=SignalAugmentation.of(TrainConfig.fine_tune()),
        cache_dir=lesson.cache_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )
