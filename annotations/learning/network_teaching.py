"""Teaches a network of ours from feedback: its judging part, and with the base at hand all layers after that.

Knows nothing of processes and runs; see `annotations.learning.learners`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from annotations.learning.all_layers import teach_all_layers
from annotations.learning.evidence import Evidence, hear_votes
from annotations.learning.learners import Lesson
from annotations.learning.presets import Preset
from annotations.learning.suspects import find_suspects
from annotations.suspects import Suspect, cleared_suspects, open_suspects, record_suspects, withdraw_suspects
from ser.acoustic.classifier import load_network, model_folder
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.augmentation import SignalAugmentation
from ser.checkpoints import load_meta
from ser.config import TrainConfig
from ser.labels import EMOTIONS
from ser.training.crossed_head import best_of, try_crosswise
from ser.training.dataset import FeatureSet
from ser.training.description import describe
from ser.training.head import hear, tune_head
from ser.training.memory import load_prototypes
from ser.training.preparation import Preparation, prepare
from ser.training.progress import placed
from ser.training.remembering import RememberingModel, require_emotions
from ser.types import Example


@dataclass(frozen=True)
class _Taught:
    """What is learnt from: the clips of the training side that are believed.

    Attributes:
        features: of each; the targets are what votes and sound say together.
        heard: what the network in use hears in them, shape (clips, variants, size).
        groups: who speaks in each.
        suspected: how many other clips went back to the review queue.
    """

    features: FeatureSet
    heard: npt.NDArray[np.float32]
    groups: list[str]
    suspected: int


def teach_network(
    lesson: Lesson,
    training: Sequence[Example],
    held_out: Sequence[Example],
    preset: Preset,
    evidence: Evidence,
) -> RememberingModel:
    """Teach the network that the lesson begins with; begun again after a kill it goes on where it was.

    What the network hears tells, beside the votes, what the clips' labels are; see `hear_votes`. How long to learn and
    how sure to be are found crosswise on the training side: the held-out clips are only watched.

    Raises:
        TrainingDataError: where the clips or the base corpora cannot be used.
        TrainingCancelledError: when asked to stop.
    """
    folder = model_folder(lesson.base)
    network, meta = load_network(folder), load_meta(folder)
    require_emotions(meta.labels, folder)
    taught = _taught(lesson, network, training, preset, evidence)
    watched = prepare(held_out, _of_feedback(lesson, 0))
    known, deep = load_prototypes(folder, network), preset.deep
    trials = try_crosswise(
        network,
        taught.heard,
        taught.features.targets,
        taught.features.weights,
        taught.groups,
        preset.tried(len(taught.groups)),
        prototypes=known,
        checkpoint_dir=lesson.checkpoint_dir / "choosing",
        on_progress=placed(lesson.on_progress, (0.1, 0.3) if deep else (0.1, 0.7)),
        should_stop=lesson.should_stop,
    )
    config = best_of(trials).config if trials else preset.usual(len(taught.groups))
    if len(trials) > 1:
        lesson.say(f"Learning for {config.epochs * config.steps} steps, which did best on speakers left out.")
    rounds = deep.epochs * len(network.networks()) if deep else 0
    tuned = tune_head(
        network,
        taught.heard,
        taught.features.targets,
        taught.features.weights,
        config,
        prototypes=known,
        dev=(hear(network, watched.variants, lesson.should_stop)[:, 0], watched.targets),
        checkpoint_dir=lesson.checkpoint_dir,
        on_progress=placed(lesson.on_progress, (0.3, 0.35) if deep else (0.7, 1.0), behind=rounds),
        should_stop=lesson.should_stop,
    )
    sure = best_of(trials).temperature if trials else None
    metrics: dict[str, object] = {
        "best_epoch": config.epochs,
        "memory": {"kept_share": tuned.kept_share, "before": tuned.prototypes_before, "after": tuned.prototypes_after},
        "suspected_clips": taught.suspected,
        "tried": [{"steps": t.config.epochs * t.config.steps, "log_probability": t.log_probability} for t in trials],
        "temperature": {"before": meta.temperature, "after": sure, "kept": sure is None},
    }
    head = TrainConfig.fine_tune(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
        variants=preset.variants,
        tune="head",
    )
    facts = describe(training, held_out)
    model = RememberingModel(
        tuned.network, meta.labels, sure or meta.temperature, head, tuned.curve, metrics, facts, prototypes=known
    )
    return model if deep is None else teach_all_layers(lesson, model, taught.features, watched, preset.base, deep)


def _taught(
    lesson: Lesson,
    network: AcousticModelForAudioClassification,
    training: Sequence[Example],
    preset: Preset,
    evidence: Evidence,
) -> _Taught:
    """Which clips to learn from, and as what; the doubted ones go back to the review queue."""
    features = prepare(training, _of_feedback(lesson, preset.variants))
    heard = hear(network, features.variants, lesson.should_stop)
    features = replace(features, targets=_as_heard(lesson, heard[:, 0], features.targets, evidence))
    believed = np.flatnonzero(believed_clips(lesson, heard[:, 0], features.targets)).tolist()
    groups = [lesson.holdout.training[place].group for place in believed]
    return _Taught(features.take(believed), heard[believed], groups, len(features) - len(believed))


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


def believed_clips(
    lesson: Lesson, heard: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which clips of the training side to learn from; the others go back to the review queue.

    An earlier run doubted with less to go by: what this one believes waits no longer.
    """
    clips = [feedback.clip.id for feedback in lesson.holdout.training]
    found = find_suspects(heard, targets, [feedback.group for feedback in lesson.holdout.training], lesson.config.seed)
    with lesson.votes() as store, store.reading() as connection:
        cleared, waiting = set(cleared_suspects(connection)), set(open_suspects(connection))
    suspects = [
        Suspect(clips[place], EMOTIONS[targets[place].argmax()], EMOTIONS[label], certainty)
        for place, label, certainty in found or ()
        if clips[place] not in cleared
    ]
    doubted = {suspect.clip_id for suspect in suspects} if found is not None else waiting
    believed = np.array([clip not in doubted for clip in clips])
    if len(np.unique(targets[believed].argmax(1))) < 2:
        return np.ones(len(clips), dtype=np.bool_)
    withdraw_suspects(lesson.store, waiting & set(clips) - doubted)
    record_suspects(lesson.store, lesson.run.id, suspects)
    if suspects:
        lesson.say(f"{len(suspects)} clips sound unlike their label: not learnt from, and back in the review queue.")
    return believed


def _of_feedback(lesson: Lesson, variants: int) -> Preparation:
    return Preparation(
        variants=variants,
        seed=lesson.config.seed,
        augmentation=SignalAugmentation.of(TrainConfig.fine_tune()),
        cache_dir=lesson.cache_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )
