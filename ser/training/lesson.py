"""A split corpus without leaks -> a trained model, its test speakers measured last.

What `ser.training.recipe` does alike for our own network and for encoders of others stands there; what differs, here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ser.acoustic.classifier import model_folder
from ser.augmentation import SignalAugmentation, load_noises
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.splits import Split, part_speakers
from ser.training.crossing import Answered, answer_crosswise, joint_temperature, joint_uar
from ser.training.dataset import FeatureSet
from ser.training.description import describe
from ser.training.encoder import TunedEncoder, tune_encoder
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.members import in_emotions
from ser.training.preparation import Preparation, prepare
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recordings import Recordings, read_recordings
from ser.training.run import TrainedModel, train_on_features
from ser.types import Example

TOLERATED = 0.01
"""Share of a corpus's recordings that may be unusable (too short, silent); they are named in the notes."""


@dataclass(frozen=True)
class Lesson:
    """What is to be learnt, and how; the attributes are those of `ser.training.recipe.run_recipe`."""

    split: Split
    config: TrainConfig
    init: str | Path | None
    noise_dir: Path | None
    cache_dir: Path
    device: str
    on_progress: OnProgress | None
    should_stop: ShouldStop | None
    checkpoint_dir: Path | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    """{speaker: group} of `ser.splits.group_speakers`: those who share a recording stay together."""

    def description(self, refit: bool = False) -> dict[str, object]:
        """What the model's meta.json says of the data; `refit` says that the dev speakers teach, too."""
        speakers = sorted({example.speaker for example in self.split.test})
        taught = [*self.split.train, *self.split.dev] if refit else self.split.train
        return {**describe(taught, self.split.dev), "test_speakers": speakers}


@dataclass(frozen=True)
class Learnt:
    """What came of a lesson.

    Attributes:
        model: to be saved.
        test_uar: by corpus, on the test speakers; empty where there are none.
        skipped: a sentence on each recording that could not be used.
    """

    model: TrainedModel | TunedEncoder
    test_uar: dict[str, float] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def learn_network(lesson: Lesson) -> Learnt:
    """Train a network of ours.

    Raises:
        TrainingDataError: where recordings cannot be used.
        ModelUnavailableError: where the model to begin with cannot be had.
        TrainingCancelledError: when asked to stop.
    """
    labels = lesson.config.heard_labels if lesson.init is None else EMOTIONS
    how = Preparation(
        variants=lesson.config.variants,
        seed=lesson.config.seed,
        noises=load_noises(lesson.noise_dir) if lesson.noise_dir else (),
        augmentation=SignalAugmentation.of(lesson.config),
        labels=labels,
        cache_dir=lesson.cache_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
        tolerated=TOLERATED,
    )
    plain = replace(how, variants=0)
    # The other processes find in the cache what the main one has made.
    with Processes(lesson.device).main_first():
        train = prepare(lesson.split.train, how)
        dev = prepare(lesson.split.dev, plain) if lesson.split.dev else None
        test = prepare(lesson.split.test, plain) if lesson.split.test else None
    sets = [data for data in (train, dev, test) if data is not None]
    model = replace(_learn(lesson, train, dev), checkpoint_dir=lesson.checkpoint_dir)
    if dev is not None and (lesson.config.refit or lesson.config.crossed):
        with Processes(lesson.device).main_first():
            learners = prepare([*lesson.split.train, *lesson.split.dev], how)
    else:
        learners = train
    if lesson.config.crossed:
        model = _calibrate(lesson, model, learners, dev, labels)
    if lesson.config.refit and dev is not None:
        again = _learn(lesson, learners, None)
        metrics = {**model.metrics, "refit": True}
        model = replace(again, temperature=model.temperature, metrics=metrics, checkpoint_dir=lesson.checkpoint_dir)
    test_uar = {}
    if test:
        test = in_emotions(test, labels)
        test_uar = uar_by_corpus(predict_logits(model.network, test), test)
    return Learnt(model, test_uar, tuple(sentence for data in sets for sentence in data.skipped))


def _calibrate(
    lesson: Lesson, model: TrainedModel, learners: FeatureSet, dev: FeatureSet | None, labels: Sequence[str]
) -> TrainedModel:
    """The model with the temperature of everybody who teaches, the dev speakers as it has answered them itself."""

    def learn(data: FeatureSet, config: TrainConfig, name: str) -> TrainedModel:
        return _learn(lesson, data, None, config=config, name=name)

    parts = part_speakers(lesson.split.train, lesson.config.crossed, lesson.groups)
    answered = answer_crosswise(learners, parts, lesson.config, labels, learn)
    if not answered:
        return model
    everybody = answered if dev is None else [*answered, Answered.by(model, dev, labels)]
    crossed = {"parts": len(parts), "uar": joint_uar(answered)}
    return replace(model, temperature=joint_temperature(everybody), metrics={**model.metrics, "crossed": crossed})


def _learn(
    lesson: Lesson,
    train: FeatureSet,
    dev: FeatureSet | None,
    *,
    config: TrainConfig | None = None,
    name: str | None = None,
) -> TrainedModel:
    """One of the lesson's runs; each keeps its own state where there are several."""
    kept = lesson.checkpoint_dir
    if kept is not None and (lesson.config.refit or lesson.config.crossed):
        kept = kept / (name or ("with-dev" if dev is None else "without-dev"))
    return train_on_features(
        train,
        config or lesson.config,
        dev=dev,
        init=lesson.init,
        data=lesson.description(refit=lesson.config.refit and dev is None),
        device=lesson.device,
        checkpoint_dir=kept,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )


def learn_encoder(lesson: Lesson) -> Learnt:
    """Fine-tune an encoder of others; raises as `learn_network`."""

    def hear(examples: Sequence[Example]) -> Recordings | None:
        if not examples:
            return None
        return read_recordings(
            examples, tolerated=TOLERATED, on_progress=lesson.on_progress, should_stop=lesson.should_stop
        )

    train, dev, test = hear(lesson.split.train), hear(lesson.split.dev), hear(lesson.split.test)
    if train is None:
        raise TrainingDataError("There are no examples. Give recordings with labels.")
    sides = [side for side in (train, dev, test) if side is not None]
    model = tune_encoder(
        model_folder(str(lesson.init)),
        train,
        lesson.config,
        dev=dev,
        data=lesson.description(),
        noises=load_noises(lesson.noise_dir) if lesson.noise_dir else (),
        device=lesson.device,
        checkpoint_dir=lesson.checkpoint_dir,
        on_progress=lesson.on_progress,
        should_stop=lesson.should_stop,
    )
    test_uar = model.uar_by_corpus(test, lesson.device) if test else {}
    return Learnt(model, test_uar, tuple(sentence for side in sides for sentence in side.skipped))
