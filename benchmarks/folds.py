"""RAVDESS by EmoBox's six folds, eight classes: `python -m benchmarks.folds --data DATA [--models DIR] [--json]`.

Each fold's four actors are answered by a model of the recipe of `python -m ser train` that learnt from the other folds'
actors and the other corpora; nothing is chosen on the fold, nor on any other speaker: the epochs are fixed. Models are
kept under `--models` and used again. Plain figures are comparable with the published ones; beside them stand those
adapted by k unlabelled clips of the same actor (`ser.adaptation`), and each member network's alone.

Source of the folds and of the published figures: EmoBox, https://arxiv.org/abs/2406.07162
"""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.machine import describe_run
from ser.acoustic.classifier import load_network
from ser.acoustic.network import AcousticModelForAudioClassification, answer_with, split_members
from ser.acoustic.onnx import softmax
from ser.adaptation import adapt_rows
from ser.corpora import read_corpus
from ser.errors import SerError
from ser.labels import RAVDESS_EIGHT
from ser.metrics import bootstrap_interval, confusion, per_class, uar_of
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import FROM_NOTHING, WHOLE_RECORDINGS, run_recipe
from ser.types import Example

CORPORA = ("ravdess", "nemo", "tess", "emodb", "turev")
PUBLISHED = {"wav2vec2-base": 0.543, "HuBERT-base": 0.654, "WavLM-large": 0.720, "Whisper-large-v3": 0.753}
"""Mean UAR over the folds, frozen encoders with a small head. Source: EmoBox, https://arxiv.org/abs/2406.07162"""

FOLD_CONFIG = replace(
    FROM_NOTHING,
    epochs=20,
    max_duration=2.4,
    heard_labels=RAVDESS_EIGHT,
    choose_best=False,
    refit=False,
    crossed=0,
    narrow_probability=0.0,
    corpus_weights={"ravdess": 0.45, "nemo": 0.25, "tess": 0.1, "emodb": 0.1, "turev": 0.1},
    network={"members": [{}, {"pitch_channels": []}, {**WHOLE_RECORDINGS, "weight": 1.25}]},
)
"""The recipe with fewer and shorter epochs, more of RAVDESS, no narrowed bands, and two networks, so that six models
take an hour of one core. The network that looks at the mel spectrogram alone makes other mistakes than the one that
sees the pitch too. Statistics of the whole recording have the share that they have in the recipe."""

ADAPTED_BY = (1, 4, 16)
DRAWS = 5
"""Of the clips that answers are adapted by; figures are means over them."""

PACKAGES = ("torch", "transformers", "numpy", "librosa", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 where done, 2 where something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folds", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the corpora and of ravdess/emobox_folds.csv"
    )
    parser.add_argument("--models", type=Path, default=Path("work") / "folds", help="trained where missing")
    parser.add_argument("--folds", nargs="+", type=int, default=range(1, 7), metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of training; models of each seed are kept apart")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        result = measure(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every fold and of all together.

    Args:
        options: of the command line.

    Raises:
        SerError: where data cannot be read, or a model cannot be trained.
    """
    folds = read_folds(options.data / "ravdess" / "emobox_folds.csv")
    clips = read_corpus(options.data / "ravdess", RAVDESS_EIGHT).examples
    figures: dict[str, dict[str, float]] = {}
    answers: list[Answers] = []
    for number in options.folds:
        network = fold_model(number, folds[number], options)
        answered = Answers.of(network, [clip for clip in clips if clip.speaker in folds[number]])
        figures[str(number)] = answered.figures()
        answers.append(answered)
    return {
        "benchmark": "folds",
        "folds": figures,
        **together(figures, answers),
        "published": PUBLISHED,
    } | describe_run(options.seed, PACKAGES)


def read_folds(path: Path) -> dict[int, set[str]]:
    """{fold: its test speakers}."""
    with path.open(newline="", encoding="utf-8") as file:
        return {int(row["fold"]): set(row["test_speakers"].split()) for row in csv.DictReader(file)}


def fold_model(number: int, actors: set[str], options: argparse.Namespace) -> AcousticModelForAudioClassification:
    """The recipe's model that never met the fold's actors, trained where there is none yet; it tells eight classes.

    Raises:
        SerError: as `ser.training.recipe.run_recipe`.
    """
    place = options.models / f"fold_{number}-seed_{options.seed}"
    if not (place / "config.json").is_file():
        print(f"training without fold {number} into {place} ...", file=sys.stderr)
        noise = options.data / "noise"
        run_recipe(
            [options.data / name for name in CORPORA],
            place,
            seed=options.seed,
            config=FOLD_CONFIG,
            test_speakers=actors,
            dev_speakers=(),
            noise_dir=noise if noise.is_dir() else None,
        )
    network = load_network(place)
    return answer_with(network, network.config.heard(), {}).eval()


class Answers:
    """A fold's clips and what was answered."""

    def __init__(self, data: FeatureSet, rows: npt.NDArray[np.float64], alone: list[npt.NDArray[np.float64]]) -> None:
        self.data, self.rows, self.alone = data, rows, alone
        self.truth = [RAVDESS_EIGHT[place] for place in data.targets.argmax(1)]
        self.adapted = {k: [adapt_rows(rows, data.speakers, k, seed) for seed in range(DRAWS)] for k in ADAPTED_BY}

    @classmethod
    def of(cls, network: AcousticModelForAudioClassification, clips: Sequence[Example]) -> "Answers":
        """Let the model, and each of its networks alone, answer."""
        data = prepare(clips, Preparation(labels=RAVDESS_EIGHT, cache_dir=default_cache_dir()))
        alone = [softmax(predict_logits(single, data)) for single in split_members(network)]
        return cls(data, softmax(predict_logits(network, data)), alone)

    def uar(self, rows: npt.NDArray[np.float64]) -> float:
        """Of answers to the clips."""
        return uar_of(confusion(self.truth, labels_of(rows), RAVDESS_EIGHT))

    def figures(self) -> dict[str, float]:
        """UAR: `plain`, `adapted by k`, `member n`."""
        adapted = {f"adapted by {k}": float(np.mean([self.uar(r) for r in draws])) for k, draws in self.adapted.items()}
        members = {f"member {n}": self.uar(rows) for n, rows in enumerate(self.alone, 1)}
        return {name: round(uar, 4) for name, uar in ({"plain": self.uar(self.rows)} | adapted | members).items()}


def labels_of(rows: npt.NDArray[np.float64]) -> list[str]:
    """The most probable label of each row."""
    return [RAVDESS_EIGHT[place] for place in rows.argmax(1)]


def together(figures: dict[str, dict[str, float]], answers: list[Answers]) -> dict[str, Any]:
    """Means over the folds with their spread, and what the clips of all folds show together."""
    names = next(iter(figures.values()))
    by_name = {name: [fold[name] for fold in figures.values()] for name in names}
    means = {
        name: {"mean": round(float(np.mean(v)), 4), "sd": round(float(np.std(v)), 4)} for name, v in by_name.items()
    }
    truth = [label for fold in answers for label in fold.truth]
    said = [label for fold in answers for label in labels_of(fold.rows)]
    speakers = [speaker for fold in answers for speaker in fold.data.speakers]
    interval = bootstrap_interval(truth, said, RAVDESS_EIGHT, groups=speakers)
    scores = per_class(confusion(truth, said, RAVDESS_EIGHT), RAVDESS_EIGHT)
    return {
        "uar": means,
        "plain_ci": [round(interval.low, 4), round(interval.high, 4)],
        "recall": {label: round(score.recall, 4) for label, score in scores.items()},
        "clips": len(truth),
    }


if __name__ == "__main__":
    sys.exit(main())
