"""The six folds of RAVDESS that EmoBox publishes, and what a figure over them is worth.

Eight classes, calm apart from neutral; no actor is in two folds. Source: Ma et al. 2024, "EmoBox: Multilingual
Multi-corpus Speech Emotion Recognition Toolkit and Benchmark", https://arxiv.org/abs/2406.07162. Knows no model.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.evaluation.metrics import uar
from ser.labels import RAVDESS_EIGHT

FOLDS_FILE = "emobox_folds.csv"


@dataclass(frozen=True, eq=False)
class Folds:
    """RAVDESS as EmoBox divides it; all of one length, in the order of the corpus's table.

    Attributes:
        paths: of the recordings.
        labels: one of `RAVDESS_EIGHT` for each.
        speakers: of each.
        numbers: of the fold in whose test set each recording is, shape (recordings,).
    """

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    speakers: tuple[str, ...]
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def truth(self) -> npt.NDArray[np.str_]:
        """The labels as an array."""
        return np.array(self.labels)

    def only(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Folds":
        """Some of the recordings."""
        return Folds(
            tuple(self.paths[row] for row in rows),
            tuple(self.labels[row] for row in rows),
            tuple(self.speakers[row] for row in rows),
            self.numbers[list(rows)],
        )


def read_folds(folder: Path) -> Folds:
    """Read RAVDESS and its folds.

    Args:
        folder: of the corpus, with `emobox_folds.csv` (`fold,test_speakers`, speakers apart by spaces).

    Raises:
        TrainingDataError: where a file is missing, or an actor is in no fold or in two.
    """
    path = folder / FOLDS_FILE
    if not path.is_file():
        raise TrainingDataError(f"There is no {FOLDS_FILE} in {folder}; EmoBox's folds of RAVDESS are expected there.")
    fold_of: dict[str, int] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for speaker in row["test_speakers"].split():
                if speaker in fold_of:
                    raise TrainingDataError(f"{path}: {speaker} is in two folds. Every actor belongs to one.")
                fold_of[speaker] = int(row["fold"])
    examples = load_corpus(folder, RAVDESS_EIGHT)
    strangers = sorted({example.speaker for example in examples} - set(fold_of))
    if strangers:
        raise TrainingDataError(f"{path}: {', '.join(strangers)} in no fold. Every actor belongs to one.")
    return Folds(
        tuple(example.path for example in examples),
        tuple(example.hard_label for example in examples),
        tuple(example.speaker for example in examples),
        np.array([fold_of[example.speaker] for example in examples], dtype=np.int64),
    )


def score_folds(folds: Folds, predictions: Sequence[str]) -> dict[str, object]:
    """What predictions for every recording, each by a model that had not heard its fold, are worth.

    Returns:
        As `summarise_folds`.
    """
    answers = np.array(predictions)
    scores = []
    for number in np.unique(folds.numbers):
        rows = folds.numbers == number
        scores.append(uar(folds.truth[rows].tolist(), answers[rows].tolist(), RAVDESS_EIGHT))
    return summarise_folds(scores)


def summarise_folds(scores: Sequence[float]) -> dict[str, object]:
    """Mean over folds and its 95 % interval, by Student's t with the folds as the sample.

    Args:
        scores: UAR of each fold, two or more.

    Returns:
        `uar` by fold, `mean`, `ci` [low, high].

    >>> summarise_folds([0.5, 0.6])["mean"]
    0.55
    """
    values = np.array(scores, dtype=np.float64)
    mean = float(values.mean())
    reach = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {
        "uar": [round(float(value), 4) for value in values],
        "mean": round(mean, 4),
        "ci": [round(mean - reach, 4), round(mean + reach, 4)],
    }
