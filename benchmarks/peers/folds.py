"""EmoBox's six folds of RAVDESS, and the mean and interval of a figure over them.

Eight classes, calm apart from neutral; no actor is in two folds. Source: Ma et al. 2024, "EmoBox: Multilingual
Multi-corpus Speech Emotion Recognition Toolkit and Benchmark", https://arxiv.org/abs/2406.07162. Knows no model.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.acoustic.folds import read_folds
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.evaluation.metrics import uar
from ser.labels import RAVDESS_EIGHT

FOLDS_FILE = "emobox_folds.csv"


@dataclass(frozen=True, eq=False)
class Folds:
    """RAVDESS as EmoBox divides it; all of shape (recordings,), in the order of the corpus's table.

    Attributes:
        paths: of the recordings.
        truth: one of `RAVDESS_EIGHT` for each.
        speakers: of each.
        numbers: of the fold in whose test set each recording is.
    """

    paths: npt.NDArray[np.object_]
    truth: npt.NDArray[np.str_]
    speakers: npt.NDArray[np.str_]
    numbers: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, rows: npt.NDArray[np.int64]) -> "Folds":
        """Select recordings."""
        return Folds(self.paths[rows], self.truth[rows], self.speakers[rows], self.numbers[rows])


def load_folds(folder: Path) -> Folds:
    """Read RAVDESS and its folds.

    Args:
        folder: of the corpus, with `emobox_folds.csv` (`fold,test_speakers`, speakers apart by spaces).

    Raises:
        TrainingDataError: if a file is missing, or an actor is in no fold or in two.
    """
    path = folder / FOLDS_FILE
    if not path.is_file():
        raise TrainingDataError(f"There is no {FOLDS_FILE} in {folder}; EmoBox's folds of RAVDESS are expected there.")
    examples = load_corpus(folder, RAVDESS_EIGHT)
    folds = read_folds(path)
    times = Counter(speaker for speakers in folds.values() for speaker in speakers)
    times.update(dict.fromkeys((example.speaker for example in examples), 0))
    wrong = [f"{speaker} is in {count} folds" for speaker, count in sorted(times.items()) if count != 1]
    if wrong:
        raise TrainingDataError(f"{path}: {', '.join(wrong)}. Every actor belongs to one.")
    fold_of = {speaker: number for number, speakers in folds.items() for speaker in speakers}
    return Folds(
        np.array([example.path for example in examples], dtype=object),
        np.array([example.hard_label for example in examples]),
        np.array([example.speaker for example in examples]),
        np.array([fold_of[example.speaker] for example in examples]),
    )


def score_folds(folds: Folds, answers: npt.NDArray[np.str_]) -> dict[str, object]:
    """Score predictions for every recording, each by a model that was not trained on its fold.

    Returns:
        `uar` by fold, its `mean` over folds, and `ci`, the mean's 95 % interval by Student's t over folds.
    """
    parts = [folds.numbers == number for number in np.unique(folds.numbers)]
    scores = [uar(folds.truth[rows].tolist(), answers[rows].tolist(), RAVDESS_EIGHT) for rows in parts]
    mean, error = float(np.mean(scores)), float(stats.sem(scores))
    # Folds that are all alike have no spread, for which the distribution is not defined.
    interval = stats.t.interval(0.95, len(scores) - 1, mean, error) if error else (mean, mean)
    return {
        "uar": [round(float(value), 4) for value in scores],
        "mean": round(mean, 4),
        "ci": [round(float(end), 4) for end in interval],
    }
