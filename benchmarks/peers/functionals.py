"""openSMILE functionals of corpora, kept between runs, and linear classifiers on them.

Features come from `worker` in an environment of its own; the classifiers are scikit-learn's. Knows no split.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.svm import SVC
from tqdm import tqdm

from benchmarks.peers.environment import OPENSMILE, PeerError, ensure_environment, run_in

Functionals = npt.NDArray[np.float32]

FEATURE_SETS = {"eGeMAPS": "eGeMAPSv02", "ComParE": "ComParE_2016"}
"""Name -> openSMILE's. Source: Eyben et al. 2016, https://doi.org/10.1109/TAFFC.2015.2457417 (88 functionals);
Schuller et al. 2016, https://doi.org/10.21437/Interspeech.2016-129 (6,373 functionals)."""

WORKER = Path(__file__).with_name("worker.py")
CHUNK = 100
"""Recordings of a call of the worker: what a stopped run loses at most."""

COSTS = (0.1, 1.0, 10.0, 100.0)
"""Values of C that are tried; the kernel has about 1 on its diagonal, so that they fit any number of features."""

INNER_FOLDS = 5
PENALTIES = (0.03, 0.3, 3.0, 30.0)
"""Of the ridge classifier that are tried, on a kernel of the same size."""


def functionals_of(paths: Sequence[Path], feature_set: str, folder: Path) -> Functionals:
    """Functionals of recordings, as openSMILE makes them.

    Args:
        paths: of recordings that libsndfile reads.
        feature_set: a name in `FEATURE_SETS`.
        folder: of environments and kept features.

    Returns:
        Shape (recordings, functionals); what openSMILE leaves undefined is 0.

    Raises:
        PeerError: where openSMILE cannot be installed or fails.
    """
    kept = folder / "functionals" / feature_set
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{hashlib.sha256(path.read_bytes()).hexdigest()[:24]}.npy" for path in paths]
    missing = [(path, file) for path, file in zip(paths, files, strict=True) if not file.is_file()]
    for first in tqdm(range(0, len(missing), CHUNK), unit=f"x {CHUNK} clips", disable=None if missing else True):
        chunk = missing[first : first + CHUNK]
        values, _ = extract([path for path, _ in chunk], feature_set, folder)
        for row, (_, file) in zip(values, chunk, strict=True):
            np.save(file, row)
    return np.nan_to_num(np.stack([np.load(file) for file in files]))


def extract(paths: Sequence[Path], feature_set: str, folder: Path) -> tuple[Functionals, npt.NDArray[np.float64]]:
    """Functionals as openSMILE gives them, and the seconds each recording took, decoding not counted.

    Raises:
        PeerError: as `functionals_of`.
    """
    python = ensure_environment(OPENSMILE, folder)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "values.npz"
        request = {"paths": [str(path.resolve()) for path in paths], "out": str(out)}
        run_in(python, [str(WORKER), FEATURE_SETS[feature_set]], text=json.dumps(request))
        if not out.is_file():
            raise PeerError(f"openSMILE gave no answer for {len(paths)} recordings. Remove {folder} and run again.")
        with np.load(out) as answer:
            return answer["values"], answer["seconds"]


def normalise_by(values: Functionals, groups: Sequence[str]) -> Functionals:
    """Each feature with mean 0 and deviation 1 over every group's own rows; constant features become 0.

    Args:
        values: shape (recordings, features).
        groups: the speaker of each recording; no label is looked at.

    >>> normalise_by(np.array([[1.0], [3.0], [10.0], [30.0]], np.float32), ["a", "a", "b", "b"]).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    out = np.zeros_like(values)
    names = np.asarray(groups)
    for name in sorted(set(groups)):
        rows = names == name
        out[rows] = standardise(values[rows], values[rows])
    return out


def standardise(reference: Functionals, values: Functionals) -> Functionals:
    """`values` in units of the deviation from the mean of `reference`; constant features become 0."""
    mean, deviation = reference.mean(0, dtype=np.float64), reference.std(0, dtype=np.float64)
    # A feature that is constant but for rounding has a deviation of some 1e-7 of its size, and would explode.
    usable = deviation > 1e-6 * np.maximum(1.0, np.abs(mean))
    scaled = np.where(usable, (values - mean) / np.where(usable, deviation, 1.0), 0.0)
    return np.asarray(np.clip(scaled, -10.0, 10.0), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class LinearSvm:
    """A support vector machine on inner products, divided by the number of features.

    Attributes:
        machine: trained on the kernel between `known` and itself.
        known: training rows, shape (recordings, features).
        cost: the C it was trained with.
    """

    machine: SVC
    known: Functionals
    cost: float

    def predict(self, values: Functionals) -> npt.NDArray[np.str_]:
        """The label of each row."""
        answers: npt.NDArray[np.str_] = self.machine.predict(values @ self.known.T / values.shape[1])
        return answers


def train_svm(values: Functionals, truth: npt.NDArray[np.str_], groups: Sequence[object]) -> LinearSvm:
    """Train with the best of `COSTS`, chosen by leaving out groups of the training rows in turn.

    Args:
        values: scaled features, shape (recordings, features).
        truth: label of each row.
        groups: rows of one group are left out together: the fold, the corpus or the speaker; two or more.
    """
    kernel = values @ values.T / values.shape[1]
    places = np.unique(np.asarray(groups), return_inverse=True)[1]
    splitter = GroupKFold(min(INNER_FOLDS, int(places.max()) + 1))
    scores = dict.fromkeys(COSTS, 0.0)
    for train, test in splitter.split(kernel, truth, places):
        for cost in COSTS:
            machine = _svm(cost).fit(kernel[np.ix_(train, train)], truth[train])
            answers = machine.predict(kernel[np.ix_(test, train)])
            scores[cost] += balanced_accuracy_score(truth[test], answers)
    best = max(COSTS, key=lambda cost: scores[cost])
    return LinearSvm(_svm(best).fit(kernel, truth), values, best)


@dataclass(frozen=True, eq=False)
class LinearRidge:
    """A ridge classifier on inner products, divided by the number of features, with a constant for the bias.

    Attributes:
        coefficients: shape (recordings, labels).
        labels: of the columns.
        known: training rows, shape (recordings, features).
        penalty: it was trained with.
    """

    coefficients: npt.NDArray[np.float64]
    labels: npt.NDArray[np.str_]
    known: Functionals
    penalty: float

    def predict(self, values: Functionals) -> npt.NDArray[np.str_]:
        """The label of each row."""
        answers: npt.NDArray[np.str_] = self.labels[(_kernel(values, self.known) @ self.coefficients).argmax(1)]
        return answers


def train_ridge(values: Functionals, truth: npt.NDArray[np.str_], groups: Sequence[str]) -> LinearRidge:
    """Train with the best of `PENALTIES`, chosen by leaving out groups of the training rows in turn.

    Args:
        values: scaled features, shape (recordings, features).
        truth: label of each row.
        groups: corpora: all count the same, and so do the labels within each; two or more.
    """
    labels, columns = np.unique(truth, return_inverse=True)
    names = np.asarray(groups)
    targets = np.where(columns[:, None] == np.arange(len(labels)), 1.0, -1.0)
    cells, cell_of = np.unique(np.char.add(names.astype(str), truth), return_inverse=True)
    weights = (len(truth) / len(cells) / np.bincount(cell_of))[cell_of]
    kernel = _kernel(values, values)
    scores = dict.fromkeys(PENALTIES, 0.0)
    for group in np.unique(names):
        test = names == group
        for penalty in PENALTIES:
            solved = _ridge(kernel[np.ix_(~test, ~test)], targets[~test], weights[~test], penalty)
            answers = labels[(kernel[np.ix_(test, ~test)] @ solved).argmax(1)]
            scores[penalty] += float(np.mean([(answers[here] == label).mean() for label, here in _by(truth, test)]))
    best = max(PENALTIES, key=lambda penalty: scores[penalty])
    return LinearRidge(_ridge(kernel, targets, weights, best), labels, values, best)


def _by(truth: npt.NDArray[np.str_], chosen: npt.NDArray[np.bool_]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    return [(label, truth[chosen] == label) for label in np.unique(truth[chosen])]


def _kernel(first: Functionals, second: Functionals) -> npt.NDArray[np.float32]:
    return first @ second.T / np.float32(first.shape[1]) + np.float32(1.0)


def _ridge(
    kernel: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    penalty: float,
) -> npt.NDArray[np.float64]:
    """Weighted kernel ridge regression: (K + penalty / weights) coefficients = targets."""
    system = kernel.astype(np.float64)
    system[np.diag_indices_from(system)] += penalty / weights
    return np.asarray(solve(system, targets, assume_a="pos", overwrite_a=True))


def _svm(cost: float) -> SVC:
    return SVC(kernel="precomputed", C=cost, class_weight="balanced")
