"""The recipe behind `python -m ser train`: corpus folders in, a checked and measured model folder out.

The shipped weights come from it; the speakers named here are never trained on.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ser.augmentation import load_noises
from ser.checkpoints import Meta
from ser.config import NO_MODEL, TrainConfig
from ser.corpora import read_corpus
from ser.errors import TrainingDataError
from ser.splits import LeakReport, draw_dev_speakers, report_leaks, split_by_speaker
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.progress import OnProgress, ShouldStop
from ser.training.run import check_labels, describe, train_on_features
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

FROM_NOTHING = TrainConfig(
    epochs=42,
    epoch_size=3840,
    batch_size=64,
    learning_rate=2e-3,
    variants=3,
    # One thread gives the same figures on every machine, and loses little: the network is small.
    threads=1,
    corpus_weights={"ravdess": 0.45, "nemo": 0.25, "tess": 0.1, "emodb": 0.1, "turev": 0.1},
)
"""How the shipped weights were trained; other corpora weigh 1 beside each other."""

TOLERATED = 0.01
"""Share of a corpus's recordings that may be unusable (too short, silent); they are named in the notes."""

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
    test_speakers: Collection[str] | None = None,
    dev_speakers: Collection[str] | None = None,
    noise_dir: Path | str | None = None,
    cache_dir: Path | str | None = None,
    device: str = "cpu",
    name: str | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> RecipeResult:
    """Read corpora, split by speaker, check for leaks, train, measure, save.

    Args:
        data_dirs: corpus folders with `metadata.csv`.
        out: folder of the model; must not exist yet, or be empty.
        init: `none` (the default), `embedded`, or a folder or Hub id of a model of this project.
        seed: of everything drawn.
        epochs: in place of the configuration's.
        config: by default `FROM_NOTHING`, or `TrainConfig.fine_tune()` where `init` names a model.
        test_speakers: kept out and measured at the end; by default `RESERVED_SPEAKERS`.
        dev_speakers: kept out and chosen by; by default `DEV_SPEAKERS`, or drawn where the data has none of them.
        noise_dir: recordings of noise to mix in.
        cache_dir: keeps features between runs; by default in the user's cache folder.
        device: `cpu` or `cuda`.
        name: of the model, for people; the folder's by default.
        on_progress: told while recordings are prepared and after every step.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: where the data does not suffice, cannot be read, or leaks between the sides.
        ModelUnavailableError: where `init` cannot be had, or `out` holds something.
        TrainingCancelledError: when asked to stop.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingDataError(f"{out} exists already. Name a new folder for the model, or remove it first.")
    fresh = init is None or str(init) == NO_MODEL
    config = config or (FROM_NOTHING if fresh else TrainConfig.fine_tune())
    config = replace(config, seed=seed, epochs=epochs or config.epochs)
    corpora = [read_corpus(folder) for folder in data_dirs]
    examples = [example for corpus in corpora for example in corpus.examples]
    held_out = set(RESERVED_SPEAKERS if test_speakers is None else test_speakers)
    dev = _choose_dev(examples, held_out, dev_speakers, seed)
    split = split_by_speaker(examples, test_speakers=held_out, dev_speakers=dev)
    check_labels(split.train)
    noises = load_noises(Path(noise_dir)) if noise_dir else ()
    how = Preparation(
        variants=config.variants,
        seed=seed,
        noises=noises,
        cache_dir=Path(cache_dir) if cache_dir else default_cache_dir(),
        on_progress=on_progress,
        should_stop=should_stop,
        tolerated=TOLERATED,
    )
    plain = replace(how, variants=0)
    train_set = prepare(split.train, how)
    dev_set = prepare(split.dev, plain) if split.dev else None
    test_set = prepare(split.test, plain) if split.test else None
    sets = [data for data in (train_set, dev_set, test_set) if data is not None]
    hashes = {path: digest for data in sets for path, digest in recording_hashes(data).items()}
    leaks = report_leaks(split, hashes)
    if not leaks.clean:
        raise TrainingDataError(f"{leaks} Remove the copies, or put them on one side.")
    model = train_on_features(
        train_set,
        config,
        dev=dev_set,
        init=None if fresh else init,
        data={**describe(split.train, split.dev), "test_speakers": sorted({e.speaker for e in split.test})},
        device=device,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    test_uar = uar_by_corpus(predict_logits(model.network, test_set), test_set) if test_set else {}
    meta = model.save(out, name=name, metrics={"test": {"uar": test_uar}} if test_uar else None)
    notes = tuple(note for corpus in corpora for note in corpus.notes)
    notes += tuple(f"Left out: {sentence}" for data in sets for sentence in data.skipped)
    return RecipeResult(out, meta, notes, leaks, test_uar)


def _choose_dev(
    examples: Sequence[Example], held_out: Collection[str], asked: Collection[str] | None, seed: int
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
    return known or draw_dev_speakers([e for e in examples if e.speaker in speakers], DEV_SHARE, seed)


def recording_hashes(data: FeatureSet) -> dict[str, str]:
    """{path: hash of its features}: the same audio gives the same features, whatever its container."""
    return {
        path: hashlib.sha256(variants[0].tobytes()).hexdigest()
        for path, variants in zip(data.paths, data.variants, strict=True)
    }
