"""RAVDESS by EmoBox's six folds, eight classes: `python -m benchmarks.folds --data DATA [--quick] [--json]`.

Each fold's four actors are answered by a head that was fitted on the other twenty; nothing is chosen on the fold. Plain
figures are comparable with the published ones; next to them stand those adapted by k unlabelled clips of the same
actor, knowing that the mix of the eight labels is about even (`ser.encoder.profiles`). Embeddings are kept in the
user's cache folder.

Source of the folds and of the published figures: EmoBox, https://arxiv.org/abs/2406.07162
"""

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.acoustic.head import ClassifierHead
from ser.audio.augmentation import SignalAugmentation, load_noises
from ser.config import EMBEDDED
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.encoder.offsets import fit_prior
from ser.encoder.profiles import combine, draw_profiles
from ser.evaluation.metrics import bootstrap_interval, confusion, per_class, uar_of
from ser.labels import RAVDESS_EIGHT
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.heads import fit_head
from ser.training.recipe import AUGMENTATIONS, HEAD

PUBLISHED = {"wav2vec2-base": 0.543, "HuBERT-base": 0.654, "WavLM-large": 0.720, "Whisper-large-v3": 0.753}
"""Mean UAR over the folds, frozen encoders with a small head. Source: EmoBox, https://arxiv.org/abs/2406.07162"""

HUMANS = 0.624
"""Share of right answers that listeners gave by voice alone, of other options. Source: Livingstone & Russo 2018,
https://doi.org/10.1371/journal.pone.0196391"""

ADAPTED_BY = (1, 4, 16, 59)
INNER_PARTS = 4
"""Of the training actors, each predicted by the others: what adaptation knows of speakers comes from them."""

PACKAGES = ("numpy", "scipy", "onnxruntime", "silero-vad")


@dataclass(frozen=True)
class FoldAnswers:
    """A fold's clips and their answers.

    Attributes:
        truth: place in `RAVDESS_EIGHT` of each clip's label.
        logits: plain, shape (clips, 8).
        adapted: {clips of the actor: logits}.
        speakers: of the clips.
    """

    truth: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    adapted: Mapping[int, npt.NDArray[np.float32]]
    speakers: Sequence[str]

    def figures(self) -> dict[str, float]:
        """UAR: `plain` and `adapted by k`."""
        adapted = {f"adapted by {k}": self.uar(rows) for k, rows in self.adapted.items()}
        return {name: round(value, 4) for name, value in ({"plain": self.uar(self.logits)} | adapted).items()}

    def uar(self, rows: npt.NDArray[np.float32]) -> float:
        """UAR of answers to the clips."""
        return uar_of(confusion(labels_of(self.truth), labels_of(rows.argmax(axis=1)), RAVDESS_EIGHT))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folds", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the corpora and of ravdess/emobox_folds.csv"
    )
    parser.add_argument("--folds", nargs="+", type=int, metavar="N", help="some of them only")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="no augmented copies of the training clips")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The figures of every fold and of all together.

    Raises:
        SerError: where data cannot be read.
    """
    folds = read_folds(options.data / "ravdess" / "emobox_folds.csv")
    data = embed_ravdess(options.data, () if options.quick else AUGMENTATIONS, options.seed)
    with threadpool_limits(1):
        answers = {
            number: answer_fold(data, folds[number], options.seed)
            for number in tqdm(options.folds or sorted(folds), unit="fold", disable=None)
        }
    figures = {str(number): fold.figures() for number, fold in answers.items()}
    return {"benchmark": "folds", "folds": figures, **summarise(figures, list(answers.values())), "humans": HUMANS}


def read_folds(path: Path) -> dict[int, set[str]]:
    """{fold: its test speakers}."""
    with path.open(newline="", encoding="utf-8") as file:
        return {int(row["fold"]): set(row["test_speakers"].split()) for row in csv.DictReader(file)}


def embed_ravdess(folder: Path, augmentations: tuple[SignalAugmentation, ...], seed: int) -> EmbeddingSet:
    """All clips of RAVDESS with eight labels and augmented copies.

    Raises:
        SerError: where a clip cannot be read.
    """
    noise = folder / "noise"
    plan = CopyPlan(augmentations, seed, cache_dir=default_cache_dir())
    noises = load_noises(noise) if noise.is_dir() and augmentations else ()
    examples = read_corpus(folder / "ravdess", RAVDESS_EIGHT).examples
    return embed_examples(examples, EmbeddingPlan(plan, noises=noises, labels=RAVDESS_EIGHT))


def answer_fold(data: EmbeddingSet, actors: set[str], seed: int) -> FoldAnswers:
    """Answer the clips of some actors by a head that was fitted on the others."""
    speakers = np.array(data.speakers)
    test = data.take(np.flatnonzero(np.isin(speakers, list(actors))))
    train = data.take(np.flatnonzero(~np.isin(speakers, list(actors))))
    head = with_prior(fit_fold(train, seed), train, seed)
    adapted = {}
    for clips in ADAPTED_BY:
        drawn = draw_profiles(
            test.plain,
            head.encoder_sha256,
            speakers=test.speakers,
            clips=clips,
            even_labels=tuple(RAVDESS_EIGHT),
            seed=seed,
        )
        centers = [combine(head, profiles) for profiles in drawn]
        rows = [head.logits(row[None], center)[0] for row, center in zip(test.plain, centers, strict=True)]
        adapted[clips] = np.stack(rows)
    return FoldAnswers(test.targets.argmax(axis=1), head.logits(test.plain), adapted, test.speakers)


def fit_fold(train: EmbeddingSet, seed: int) -> ClassifierHead:
    """The shipped configuration of the head, on these clips alone."""
    encoder = load_encoder(EMBEDDED)
    return fit_head(train, replace(HEAD, seed=seed), encoder=EMBEDDED, encoder_sha256=encoder.sha256)


def with_prior(head: ClassifierHead, train: EmbeddingSet, seed: int) -> ClassifierHead:
    """The head with what is known of speakers, from training actors that heads of the others predict."""
    speakers = np.array(train.speakers)
    names = np.random.default_rng(seed).permutation(np.unique(speakers))
    scores = np.zeros(train.targets.shape, dtype=np.float32)
    for part in np.array_split(names, min(INNER_PARTS, len(names))):
        rows = np.isin(speakers, part)
        scores[rows] = fit_fold(train.take(np.flatnonzero(~rows)), seed).scores(train.plain[rows])
    return replace(head, prior=fit_prior(scores, train.targets, train.corpora, train.speakers))


def labels_of(places: npt.NDArray[np.int64]) -> list[str]:
    """The labels at these places."""
    return [RAVDESS_EIGHT[place] for place in places]


def summarise(figures: Mapping[str, Mapping[str, float]], answers: list[FoldAnswers]) -> dict[str, Any]:
    """Means over the folds with their spread, and what the clips of all folds show together."""
    names = next(iter(figures.values()))
    by_name = {name: [fold[name] for fold in figures.values()] for name in names}
    means = {
        name: {"mean": round(float(np.mean(v)), 4), "sd": round(float(np.std(v)), 4)} for name, v in by_name.items()
    }
    truth = [label for fold in answers for label in labels_of(fold.truth)]
    predicted = [label for fold in answers for label in labels_of(fold.logits.argmax(axis=1))]
    speakers = [speaker for fold in answers for speaker in fold.speakers]
    interval = bootstrap_interval(truth, predicted, RAVDESS_EIGHT, groups=speakers)
    scores = per_class(confusion(truth, predicted, RAVDESS_EIGHT), RAVDESS_EIGHT)
    return {
        "uar": means,
        "plain_ci": [round(interval.low, 4), round(interval.high, 4)],
        "recall": {label: round(score.recall, 4) for label, score in scores.items()},
        "accuracy": round(float(np.mean([a == b for a, b in zip(truth, predicted, strict=True)])), 4),
        "clips": len(truth),
        "published": PUBLISHED,
    }


if __name__ == "__main__":
    sys.exit(main())
