"""Figures of merit for emotion recognition, with intervals. Pure numpy; knows nothing of models or files.

Labels are names; `labels` says which there are and in what order. A class that never occurs in the truth has no
recall and is left out of the means of UAR and macro-F1; answers that name it still count as misses of the true class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.int64]
Statistic = Callable[[Matrix], float]


@dataclass(frozen=True)
class ClassScores:
    """One class's figures, each in 0..1; `support` counts its examples."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Interval:
    """A bootstrap percentile interval around `value`."""

    value: float
    low: float
    high: float


def confusion(truth: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> Matrix:
    """Counts of shape (labels, labels): rows are the truth, columns the answers.

    Raises:
        ValueError: where the lengths differ or a name is none of `labels`.

    >>> confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    rows, columns = indices_of(truth, labels), indices_of(predictions, labels)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} truths and {len(columns)} predictions; as many of each are needed")
    return _count(rows, columns, len(labels))


def recalls(matrix: Matrix) -> npt.NDArray[np.float64]:
    """Recall of each class of a confusion matrix; NaN for a class that never occurs in the truth.

    >>> recalls(np.array([[3, 1], [0, 0]])).tolist()
    [0.75, nan]
    """
    return _ratio(np.diag(matrix), matrix.sum(1))


def uar_of(matrix: Matrix) -> float:
    """Unweighted average recall of a confusion matrix: the mean over the classes that occur in the truth.

    >>> uar_of(np.array([[3, 1], [1, 1]]))
    0.625
    """
    return _mean_known(recalls(matrix))


def war_of(matrix: Matrix) -> float:
    """Weighted average recall, which is the accuracy: the share of right answers; NaN without examples.

    >>> war_of(np.array([[3, 1], [1, 1]])) == 4 / 6
    True
    """
    return float(_ratio(np.trace(matrix), matrix.sum()))


def macro_f1_of(matrix: Matrix) -> float:
    """Mean F1 over the classes that occur in the truth.

    >>> round(macro_f1_of(np.array([[3, 1], [1, 1]])), 3)  # F1 of 6/8 and of 2/4
    0.625
    """
    return _mean_known(_f1s(matrix))


def uar(truth: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> float:
    """`uar_of` the answers' confusion matrix."""
    return uar_of(confusion(truth, predictions, labels))


def war(truth: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> float:
    """`war_of` the answers' confusion matrix."""
    return war_of(confusion(truth, predictions, labels))


def macro_f1(truth: Sequence[str], predictions: Sequence[str], labels: Sequence[str]) -> float:
    """`macro_f1_of` the answers' confusion matrix."""
    return macro_f1_of(confusion(truth, predictions, labels))


def per_class(matrix: Matrix, labels: Sequence[str]) -> dict[str, ClassScores]:
    """Precision, recall, F1 and support of each class; 0 where there is nothing to divide by.

    >>> per_class(np.array([[3, 1], [1, 1]]), ["a", "b"])["a"]
    ClassScores(precision=0.75, recall=0.75, f1=0.75, support=4)
    """
    precision = np.nan_to_num(_ratio(np.diag(matrix), matrix.sum(0)))
    recall, f1 = np.nan_to_num(recalls(matrix)), np.nan_to_num(_f1s(matrix))
    return {
        label: ClassScores(float(precision[i]), float(recall[i]), float(f1[i]), int(matrix[i].sum()))
        for i, label in enumerate(labels)
    }


def bootstrap_interval(
    truth: Sequence[str],
    predictions: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    statistic: Statistic = uar_of,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval of a figure, by drawing examples again with replacement.

    Args:
        truth: labels.
        predictions: answers.
        labels: all names.
        groups: the speaker of each example: whole speakers are drawn, since a speaker's clips are not independent.
            With a single speaker the examples are drawn instead, and the interval says nothing of other speakers.
        statistic: of a confusion matrix.
        resamples: how many draws.
        level: share of draws inside the interval.
        seed: of the draws.
    """
    matrices = _per_unit(truth, predictions, labels, groups)
    counts = _draws(len(matrices), resamples, seed)
    values = np.array([statistic(np.tensordot(row, matrices, 1)) for row in counts])
    return _interval(statistic(matrices.sum(0)), values, level)


def paired_bootstrap(
    truth: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    statistic: Statistic = uar_of,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of `second` minus `first`: two models' answers on the same examples, drawn together.

    Args:
        truth: labels.
        first: answers of one model.
        second: answers of the other.
        labels: all names.
        groups: as for `bootstrap_interval`, like all that follow.
        statistic: of a confusion matrix.
        resamples: how many draws.
        level: share of draws inside the interval.
        seed: of the draws.
    """
    one, two = (_per_unit(truth, answers, labels, groups) for answers in (first, second))
    counts = _draws(len(one), resamples, seed)
    values = [statistic(np.tensordot(row, two, 1)) - statistic(np.tensordot(row, one, 1)) for row in counts]
    return _interval(statistic(two.sum(0)) - statistic(one.sum(0)), np.array(values), level)


def indices_of(names: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each name in `labels`.

    Raises:
        ValueError: where a name is none of them.

    >>> indices_of(["b", "a"], ["a", "b"]).tolist()
    [1, 0]
    """
    position = {label: index for index, label in enumerate(labels)}
    strangers = sorted(set(names) - set(position))
    if strangers:
        raise ValueError(f"unknown labels {strangers}, expected some of {list(labels)}")
    return np.array([position[name] for name in names], dtype=np.int64)


def _count(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], size: int) -> Matrix:
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def _per_unit(
    truth: Sequence[str], predictions: Sequence[str], labels: Sequence[str], groups: Sequence[str] | None
) -> Matrix:
    """Confusion matrices of shape (units, labels, labels): of each speaker, or of each example."""
    rows, columns, size = indices_of(truth, labels), indices_of(predictions, labels), len(labels)
    if not len(rows) == len(columns) or (groups is not None and len(groups) != len(rows)):
        raise ValueError("truth, predictions and groups must be of one length")
    units = np.arange(len(rows))
    if groups is not None and len(set(groups)) > 1:
        units = np.unique(np.asarray(groups), return_inverse=True)[1]
    number = int(units.max()) + 1 if len(units) else 0
    cells = np.bincount((units * size + rows) * size + columns, minlength=number * size * size)
    return cells.reshape(number, size, size)


def _draws(units: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each unit is drawn, shape (resamples, units)."""
    if not units:
        return np.zeros((resamples, 0), dtype=np.int64)
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=resamples)


def _interval(value: float, draws: npt.NDArray[np.float64], level: float) -> Interval:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _f1s(matrix: Matrix) -> npt.NDArray[np.float64]:
    f1 = _ratio(2 * np.diag(matrix), matrix.sum(0) + matrix.sum(1))
    f1[matrix.sum(1) == 0] = np.nan
    return f1


def _ratio(above: npt.ArrayLike, below: npt.ArrayLike) -> npt.NDArray[np.float64]:
    over, under = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under > 0)


def _mean_known(values: npt.NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def roc_auc(positive: Sequence[bool], scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative; ties count half.

    Source: Hanley & McNeil 1982, "The meaning and use of the area under a receiver operating characteristic curve",
    https://doi.org/10.1148/radiology.143.1.7063747

    Args:
        positive: of each example; both kinds must be there.
        scores: of each, higher for positive.

    >>> roc_auc([True, False, False, True], [0.9, 0.1, 0.4, 0.4])
    0.875
    """
    chosen = np.asarray(positive, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    # Mean ranks of equal scores, from 1: half of those below and half of those not above, and a half.
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right") + 1) / 2
    count, others = int(chosen.sum()), int((~chosen).sum())
    return float((ranks[chosen].sum() - count * (count + 1) / 2) / (count * others))


def risk_coverage(right: npt.ArrayLike, certainty: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Accuracy on the most certain share of the answers, for every share.

    Source: El-Yaniv & Wiener 2010, "On the Foundations of Noise-free Selective Classification",
    https://jmlr.org/papers/v11/el-yaniv10a.html

    Args:
        right: of each answer, shape (answers,).
        certainty: of each answer; ties count in the order given.

    Returns:
        Shape (answers,): entry k - 1 is the accuracy on the k most certain ones.

    >>> risk_coverage([False, True, True, False], [0.2, 0.9, 0.8, 0.6]).round(2).tolist()
    [1.0, 1.0, 0.67, 0.5]
    """
    order = np.argsort(-np.asarray(certainty), kind="stable")
    correct = np.asarray(right, dtype=np.float64)[order]
    return np.asarray(np.cumsum(correct) / np.arange(1, len(correct) + 1))
