"""Corpus folders in, a checked and measured classifier head on a frozen encoder out: `python -m ser train`.

The shipped weights come from it; the speakers named here are never trained on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from ser.acoustic.head import EXTRA_LABELS, ClassifierHead
from ser.audio.augmentation import SignalAugmentation, load_noises
from ser.checkpoints.folder import Meta
from ser.config import EMBEDDED
from ser.corpora import read_corpus
from ser.corpora.copies import Copies, find_copies, refuse_leaks
from ser.corpora.copies import default_cache_dir as fingerprints_dir
from ser.corpora.splits import LeakReport, Split, draw_dev_speakers, group_speakers, split_by_speaker
from ser.encoder.loading import load_encoder
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.evaluation.metrics import confusion, ece, uar_of
from ser.labels import EMOTIONS, RAVDESS_EIGHT, to_emotion
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.head_calibration import calibrate_head
from ser.training.heads import HeadConfig, HiddenConfig, fit_head
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.recordings import describe
from ser.training.rehearsal import DEV_SPEAKERS, draw_rehearsal
from ser.training.speech_probe import fit_speech_probe
from ser.types import Example

RESERVED_SPEAKERS = (
    *("ravdess_01", "ravdess_11", "ravdess_20", "ravdess_21"),
    *("nemo_EB0", "nemo_MK0", "emodb_03", "emodb_08", "turev_1157"),
    *(
        f"cremad_{number}"
        for number in (
            *(1010, 1013, 1022, 1026, 1037, 1038, 1040, 1045, 1047, 1048),
            *(1059, 1065, 1066, 1068, 1071, 1073, 1084, 1086, 1088),
        )
    ),
)
"""Tested on and never trained on. Source of the RAVDESS actors: EmoBox, fold 1, https://arxiv.org/abs/2406.07162; of
the CREMA-D actors: the test split of TensorFlow Datasets, https://www.tensorflow.org/datasets/catalog/crema_d"""

DEV_SHARE = 0.15
"""Of the clips, where none of the named dev speakers is in the data."""

TOLERATED = 0.01
"""Share of a corpus's recordings that may be unusable (too short, silent); they are named in the notes."""

HEAD_LABELS = tuple(dict.fromkeys([*RAVDESS_EIGHT, *EXTRA_LABELS]))
"""Labels that a head may have outputs for; those that no corpus has are left out."""


@dataclass(frozen=True)
class RecipeResult:
    """Result of a run of the recipe.

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


VOICE = SignalAugmentation(
    speed=(0.87, 1.15),
    gain=(-10.0, 5.0),
    reverb_probability=0.15,
    reverb_time=(0.1, 1.0),
    noise_probability=0.3,
    snr=(3.0, 30.0),
    telephone_probability=0.05,
    clipping_probability=0.08,
    codec_probability=0.12,
    band_probability=0.6,
)
"""Another voice and microphone; half of the copies differ by voice and band alone."""

ROOM = replace(VOICE, reverb_probability=1.0, reverb_time=(0.15, 1.2), direct=(-14.0, 6.0), snr=(8.0, 30.0))
NOISE = replace(VOICE, noise_probability=1.0, snr=(-4.0, 20.0), reverb_probability=0.2)
SHORT = replace(VOICE, crop_probability=1.0)

AUGMENTATIONS = (VOICE, ROOM, NOISE, SHORT)
"""Copies of training clips, one of each."""


HEAD = HeadConfig(corpora={"cremad": 2.0, "emodb-full": 0.5}, hidden=HiddenConfig())
"""Of the shipped head. Corpora weigh 1 if not named: CREMA-D has the most speakers, EMO-DB the fewest clips."""


@dataclass(frozen=True)
class HeadRecipe:
    """Settings of training a head on corpora.

    Attributes:
        encoder: frozen under it: `embedded`, or folder or hub id.
        head: how the head is fitted.
        augmentations: of every training clip one copy for each.
        noise_dir: recordings of noise to mix in; synthetic noise without.
        test_speakers: kept out and measured at the end.
        dev_speakers: kept out and measured; drawn where the data has none of them. The temperature is fitted with
            their help, and later they tell what fine-tuning forgets.
        seed: of everything drawn.
        device: of encoders that run on torch.
    """

    encoder: str = EMBEDDED
    head: HeadConfig = HEAD
    augmentations: tuple[SignalAugmentation, ...] = AUGMENTATIONS
    noise_dir: Path | None = None
    test_speakers: Collection[str] = RESERVED_SPEAKERS
    dev_speakers: Collection[str] | None = None
    seed: int = 0
    device: str = "cpu"


def run_recipe(
    data_dirs: Sequence[Path | str],
    out: Path | str,
    recipe: HeadRecipe | None = None,
    *,
    name: str | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> RecipeResult:
    """Read corpora, split by speaker, check for leaks, embed, fit, measure, save.

    Args:
        data_dirs: corpora, as `ser.corpora.read_corpus` takes them.
        out: folder of the model; must not exist yet, or be empty.
        recipe: how.
        name: of the model, for people; the folder's by default.
        cache_dir: keeps embeddings between runs; by default in the user's cache folder.
        on_progress: called while recordings are embedded.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: where the data does not suffice or cannot be read.
        DataLeakError: where speakers or recordings are in two splits.
        ModelUnavailableError: where the encoder cannot be had, or `out` holds something.
        TrainingCancelledError: when asked to stop.
    """
    out, recipe = Path(out), recipe or HeadRecipe()
    refuse_folder(out)
    corpora = split_corpora(data_dirs, recipe.test_speakers, recipe.dev_speakers, recipe.seed, on_progress, should_stop)
    split = corpora.split
    noises = load_noises(recipe.noise_dir) if recipe.noise_dir else ()
    plan = CopyPlan(recipe.augmentations, recipe.seed, recipe.encoder, recipe.device, cache_dir or default_cache_dir())
    how = EmbeddingPlan(plan, noises=noises, tolerated=TOLERATED, on_progress=on_progress, should_stop=should_stop)
    train, development, test = _embed(split, how)
    encoder = load_encoder(recipe.encoder, recipe.device)
    fitting = replace(recipe.head, seed=recipe.seed)
    head = fit_head(train, fitting, encoder=recipe.encoder, encoder_sha256=encoder.sha256)
    head = fit_speech_probe(calibrate_head(head, train, development, fitting), train, noises, encoder, recipe.seed)
    metrics: dict[str, object] = {}
    if development is not None:
        metrics["dev"] = figures_by_corpus(head, development)
    test_figures = figures_by_corpus(head, test) if test is not None else {}
    metrics["test"] = test_figures
    facts = {**describe(split.train, split.dev), "test_speakers": sorted({e.speaker for e in split.test})}
    config = {
        **asdict(recipe),
        "head": asdict(recipe.head),
        "test_speakers": [],
        "dev_speakers": sorted({e.speaker for e in split.dev}),
    }
    about = Meta(name or out.name, head.labels, config=_plain(config), data=facts, metrics=metrics)
    meta = head.save(out, about, draw_rehearsal(train, development, recipe.seed))
    sets = [data for data in (train, development, test) if data is not None]
    notes = (*corpora.notes, *(f"Left out: {sentence}" for data in sets for sentence in data.skipped))
    return RecipeResult(out, meta, notes, corpora.leaks, {corpus: f["uar"] for corpus, f in test_figures.items()})


@dataclass(frozen=True)
class SplitCorpora:
    """Corpora divided by speaker.

    Attributes:
        split: whose training part has at least two labels.
        leaks: between its parts; always clean.
        notes: what a person should know of the data.
    """

    split: Split
    leaks: LeakReport
    notes: tuple[str, ...]


def split_corpora(
    data_dirs: Sequence[Path | str],
    test_speakers: Collection[str],
    dev_speakers: Collection[str] | None,
    seed: int,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> SplitCorpora:
    """Read corpora, divide them by speaker and check the parts for leaks; arguments and errors as `run_recipe`'s."""
    corpora = [read_corpus(folder, HEAD_LABELS) for folder in data_dirs]
    examples = [example for corpus in corpora for example in plainly_labelled(corpus.examples)]
    copies = _compare(examples, fingerprints_dir(), on_progress, should_stop)
    groups = group_speakers(examples, copies.hashes, copies.near)
    dev = _choose_dev(examples, test_speakers, dev_speakers, seed, groups)
    split = split_by_speaker(examples, test_speakers=set(test_speakers), dev_speakers=dev)
    leaks = refuse_leaks(split, copies)
    check_labels(split.train)
    notes = tuple(note for corpus in corpora for note in corpus.notes)
    return SplitCorpora(split, leaks, (*notes, *(f"Copies: {sentence}." for sentence in leaks.within)))


def refuse_folder(out: Path) -> None:
    """Refuse a folder that holds something already, before anything is computed for it.

    Raises:
        TrainingDataError: if it does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingDataError(f"{out} exists already. Name a new folder for the model, or remove it first.")


def check_labels(examples: Sequence[Example]) -> None:
    """Refuse examples of fewer than two labels.

    Raises:
        TrainingDataError: where they have fewer than two labels.
    """
    labels = sorted({example.hard_label for example in examples})
    if len(labels) < 2:
        raise TrainingDataError(
            f"Examples given: {len(examples)}, with the labels {', '.join(labels) or 'none'}; at "
            "least two different labels are needed. Add examples of other emotions."
        )


def figures_by_corpus(head: ClassifierHead, data: EmbeddingSet) -> dict[str, dict[str, float]]:
    """Measure a head: `clips`, `uar` over the labels that each corpus has, and `ece`, by corpus."""
    answers = head.probabilities(data.plain)
    names = [data.labels[place] for place in data.targets.argmax(axis=1)]
    truth = np.array([to_emotion(name) or EXTRA_LABELS[name] for name in names])
    predicted = np.array(EMOTIONS)[answers.argmax(axis=1)]
    corpora = np.array(data.corpora)
    figures: dict[str, dict[str, float]] = {}
    for corpus in sorted(set(data.corpora)):
        rows = corpora == corpus
        matrix = confusion(truth[rows].tolist(), predicted[rows].tolist(), EMOTIONS)
        error = ece(answers[rows], truth[rows].tolist(), EMOTIONS)
        figures[corpus] = {"clips": int(rows.sum()), "uar": uar_of(matrix), "ece": error}
    return figures


def _embed(split: Split, how: EmbeddingPlan) -> tuple[EmbeddingSet, EmbeddingSet | None, EmbeddingSet | None]:
    """Training clips with augmented copies; the others as they are."""
    found = {example.hard_label for example in [*split.train, *split.dev]}
    how = replace(how, labels=tuple(label for label in HEAD_LABELS if label in found))
    plain = replace(how, plan=replace(how.plan, augmentations=()))
    train = embed_examples(split.train, how)
    development = embed_examples(split.dev, plain) if split.dev else None
    known = [example for example in split.test if example.hard_label in found]
    return train, development, embed_examples(known, plain) if known else None


def _plain(config: Mapping[str, object]) -> dict[str, object]:
    """Values that JSON knows: of folders their names."""
    return {key: value.name if isinstance(value, Path) else value for key, value in config.items()}


def plainly_labelled(examples: Sequence[Example]) -> list[Example]:
    """The examples of one corpus, with finer labels only where the corpus itself draws the distinction.

    Calm is a label of its own where neutral is one, too; without neutral (TurEV) it is what others call neutral.
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
    """Look for copies among the recordings; reports progress and stops as the preparation of features does."""

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
