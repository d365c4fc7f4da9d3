"""The recipe behind `python -m ser train`: corpus folders in, a checked and measured model folder out.

The shipped weights come from it; the speakers named here are never trained on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ser.checkpoints import Meta, load_meta
from ser.config import NO_MODEL, TrainConfig
from ser.copies import Copies, find_copies, refuse_leaks
from ser.copies import default_cache_dir as fingerprints_dir
from ser.corpora import read_corpus
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS, to_emotion
from ser.splits import LeakReport, draw_dev_speakers, group_speakers, split_by_speaker
from ser.training.lesson import Lesson, learn_encoder, learn_network
from ser.training.preparation import default_cache_dir
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.run import check_labels, default_config, is_encoder_of_others
from ser.types import Example

RESERVED_SPEAKERS = (
    *("ravdess_01", "ravdess_11", "ravdess_20", "ravdess_21"),
    *("nemo_EB0", "nemo_MK0", "emodb_03", "emodb_08", "turev_1157"),
)
"""Tested on and never trained on. Source of the RAVDESS actors: EmoBox, fold 1, https://arxiv.org/abs/2406.07162"""

DEV_SPEAKERS = (
    *("ravdess_04", "ravdess_10", "ravdess_12", "ravdess_14"),
    *("nemo_IC0", "emodb_09", "emodb_10", "turev_1358"),
)
"""Chosen by: EmoBox's fold 2 of RAVDESS, and some of every other corpus that can spare a speaker."""

WHOLE_RECORDINGS = {"functionals": True, "hidden": 256, "dropout": 0.5}
"""The member that measures recordings as wholes; how much it counts stands beside its fellows."""

FROM_NOTHING = TrainConfig(
    epochs=24,
    epoch_size=3840,
    batch_size=64,
    learning_rate=2e-3,
    intensity_weight=0.2,
    variants=3,
    narrow_probability=0.12,
    # Copies degraded further than by noise, rooms and speed cost more on clean speech than they gave in noise.
    gain=(0.0, 0.0),
    telephone_probability=0.0,
    clipping_probability=0.0,
    codec_probability=0.0,
    # One thread gives the same figures on every machine, and loses little: the network is small.
    threads=1,
    corpus_weights={"ravdess": 0.4, "nemo": 0.25, "tess": 0.05, "emodb": 0.12, "turev": 0.18},
    # The dev speakers, too many voices to go without, are watched first and teach then; nobody chooses the epoch.
    choose_best=False,
    refit=True,
    # The temperature comes from every voice that teaches; two networks are enough to tell how sure four may be.
    crossed=4,
    crossed_network={"members": [{}, {"centred": True, "pitch_channels": []}, {**WHOLE_RECORDINGS, "weight": 1.25}]},
    # Networks that look at different things make different mistakes; of one kind, three were no better than one. What
    # measures recordings as wholes counts for two and a half of them: it does best on corpora that nobody has heard.
    network={
        "members": [
            *({}, {"pitch_channels": []}, {"centred": True}, {"centred": True, "pitch_channels": []}),
            {**WHOLE_RECORDINGS, "weight": 2.5},
        ]
    },
)
"""How the shipped weights were trained; other corpora weigh 1 beside each other."""

DEV_SHARE = 0.15
"""Of the clips, where none of the named dev speakers is in the data."""


@dataclass(frozen=True)
class RecipeResult:
    """What a run of the recipe left.

    Attributes:
        folder: of the model.
        meta: as written there; `metrics` holds `dev` and `test`.
        notes: what a person should know of the data.
        leaks: between train, dev and test; always clean, as the run fails otherwise.
        test_uar: by corpus, on the test speakers; empty where there are none.
    """

    folder: Path
    meta: Meta
    notes: tuple[str, ...]
    leaks: LeakReport
    test_uar: dict[str, float] = field(default_factory=dict)


def run_recipe(
    data_dirs: Sequence[Path | str],
    out: Path | str,
    *,
    init: str | Path | None = None,
    seed: int = 0,
    epochs: int | None = None,
    config: TrainConfig | None = None,
    changes: Mapping[str, object] | None = None,
    test_speakers: Collection[str] | None = None,
    dev_speakers: Collection[str] | None = None,
    noise_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    checkpoint_dir: Path | str | None = None,
    device: str = "cpu",
    name: str | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> RecipeResult:
    """Read corpora, split by speaker, check for leaks, train, measure, save.

    Args:
        data_dirs: corpora, as `ser.corpora.read_corpus` takes them.
        out: folder of the model; must not exist yet, or be empty.
        init: `none` (the default), `embedded`, or a folder or Hub id of a model of this project or of an audio
            encoder of others.
        seed: of everything drawn.
        epochs: in place of the configuration's.
        config: by default `FROM_NOTHING`, or what `default_config` gives where `init` names a model.
        changes: of that configuration, by the names of its attributes.
        test_speakers: kept out and measured at the end; by default `RESERVED_SPEAKERS`.
        dev_speakers: kept out and chosen by; by default `DEV_SPEAKERS`, or drawn where the data has none of them.
        noise_dir: recordings of noise to mix in.
        cache_dir: keeps features and fingerprints between runs; by default in the user's cache folder.
        checkpoint_dir: keeps the run until its model is saved, to go on from after a kill; None keeps nothing.
        device: `cpu` or `cuda`.
        name: of the model, for people; the folder's by default.
        on_progress: told while recordings are prepared and after every step.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: where the data does not suffice or cannot be read.
        DataLeakError: where speakers or recordings are on two sides.
        ModelUnavailableError: where `init` cannot be had, or `out` holds something.
        TrainingCancelledError: when asked to stop.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingDataError(f"{out} exists already. Name a new folder for the model, or remove it first.")
    fresh = init is None or str(init) == NO_MODEL
    config = config or (FROM_NOTHING if fresh else default_config(init))
    config = replace(config, seed=seed, epochs=epochs or config.epochs)
    config = replace(config, **dict(changes or {}))  # type: ignore[arg-type]
    corpora = [read_corpus(folder, config.heard_labels if fresh else EMOTIONS) for folder in data_dirs]
    examples = [example for corpus in corpora for example in plainly_labelled(corpus.examples)]
    held_out = set(RESERVED_SPEAKERS if test_speakers is None else test_speakers)
    copies = _compare(examples, Path(cache_dir) if cache_dir else fingerprints_dir(), on_progress, should_stop)
    groups = group_speakers(examples, copies.hashes, copies.near)
    dev = _choose_dev(examples, held_out, dev_speakers, seed, groups)
    split = split_by_speaker(examples, test_speakers=held_out, dev_speakers=dev)
    leaks = refuse_leaks(split, copies)
    check_labels(split.train)
    lesson = Lesson(
        split,
        config,
        init=None if fresh else init,
        noise_dir=Path(noise_dir) if noise_dir else None,
        cache_dir=Path(cache_dir) if cache_dir else default_cache_dir(),
        device=device,
        on_progress=on_progress,
        should_stop=should_stop,
        checkpoint_dir=Path(checkpoint_dir) if checkpoint_dir else None,
        groups=groups,
    )
    learnt = learn_encoder(lesson) if is_encoder_of_others(init) else learn_network(lesson)
    metrics = {"test": {"uar": learnt.test_uar}} if learnt.test_uar else None
    # Of several processes (torchrun) one writes; the others read what it has written.
    meta = Processes(device).on_main(
        lambda: learnt.model.save(out, name=name, metrics=metrics), otherwise=lambda: load_meta(out)
    )
    notes = tuple(note for corpus in corpora for note in corpus.notes)
    notes += tuple(f"Left out: {sentence}" for sentence in learnt.skipped)
    notes += tuple(f"Copies: {sentence}." for sentence in leaks.within)
    return RecipeResult(out, meta, notes, leaks, learnt.test_uar)


def plainly_labelled(examples: Sequence[Example]) -> list[Example]:
    """The examples of one corpus, with finer labels only where the corpus itself draws the distinction.

    Calm beside neutral is another way of speaking; calm in place of neutral (TurEV) is what others call neutral.
    """
    labels = {example.hard_label for example in examples}
    plain = {label: to_emotion(label) for label in labels}
    alone = {label: emotion for label, emotion in plain.items() if emotion and emotion not in labels}
    return [
        replace(example, label=alone[example.hard_label]) if example.hard_label in alone else example
        for example in examples
    ]


def _compare(
    examples: Sequence[Example], cache_dir: Path, on_progress: OnProgress | None, should_stop: ShouldStop | None
) -> Copies:
    """Look for copies among the recordings; told of and stopped as the preparation of features is."""

    def tick(done: int, total: int) -> None:
        if should_stop is not None and should_stop():
            raise TrainingCancelledError("Training was stopped while the recordings were compared.")
        if on_progress is not None and (done % 100 == 0 or done == total):
            on_progress(TrainProgress(0, 0, done, total, None, None, None, stage="preparing"))

    return find_copies(examples, cache_dir=cache_dir, on_progress=tick)


def _choose_dev(
    examples: Sequence[Example],
    held_out: Collection[str],
    asked: Collection[str] | None,
    seed: int,
    groups: Mapping[str, str],
) -> set[str]:
    speakers = {example.speaker for example in examples} - set(held_out)
    if asked is not None:
        absent = sorted(set(asked) - speakers)
        if absent:
            raise TrainingDataError(
                f"Dev speakers {', '.join(absent)} are not in the data, or are test speakers. "
                f"The data has {', '.join(sorted(speakers)[:10])}."
            )
        return set(asked)
    known = speakers & set(DEV_SPEAKERS)
    return known or draw_dev_speakers([e for e in examples if e.speaker in speakers], DEV_SHARE, seed, groups)
