"""Figures of merit for emotion recognition, with intervals, and calibration. Pure; knows nothing of models or files.

Labels are names; `labels` says which there are and in what order. A class that never occurs in the truth has no
recall and is left out of the means of UAR and macro-F1; answers that name it still count as misses of the true class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ECE_BINS = 15
"""Equal-width bins over 0..1. Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 5."""

TEMPERATURE_RANGE = (0.4, 4.0)
"""Outside of it the dev examples say nothing useful (too few, or all alike)."""

Matrix = npt.NDArray[np.int64]


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
        ValueError: if the lengths differ or a name is none of `labels`.

    >>> confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"]).tolist()
    [[1, 1], [0, 1]]
    """
    rows, columns = indices_of(truth, labels), indices_of(predictions, labels)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} truths and {len(columns)} predictions; as many of each are needed")
    size = len(labels)
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


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
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile interval (95 %) of the UAR, by drawing examples again with replacement.

    Args:
        truth: labels.
        predictions: answers.
        labels: all names.
        groups: the speaker of each example: whole speakers are drawn, since a speaker's clips are not independent.
            With a single speaker the examples are drawn instead, and the interval says nothing of other speakers.
        resamples: how many draws.
        seed: of the draws.
    """
    matrices = _per_unit(truth, predictions, labels, groups)
    return _interval(lambda counts: uar_of(np.tensordot(counts, matrices, 1)), len(matrices), resamples, seed)


def paired_bootstrap(
    truth: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the UAR of `second` minus that of `first`, two models' answers on the same examples drawn together.

    Other arguments as `bootstrap_interval`'s; `level` is the share of draws inside the interval.
    """
    one, two = (_per_unit(truth, answers, labels, groups) for answers in (first, second))

    def difference(counts: npt.NDArray[np.int64]) -> float:
        return uar_of(np.tensordot(counts, two, 1)) - uar_of(np.tensordot(counts, one, 1))

    return _interval(difference, len(one), resamples, seed, level)


def indices_of(names: Sequence[str], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each name in `labels`.

    Raises:
        ValueError: if a name is none of them.

    >>> indices_of(["b", "a"], ["a", "b"]).tolist()
    [1, 0]
    """
    position = {label: index for index, label in enumerate(labels)}
    strangers = sorted(set(names) - set(position))
    if strangers:
        raise ValueError(f"unknown labels {strangers}, expected some of {list(labels)}")
    return np.array([position[name] for name in names], dtype=np.int64)


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


def _interval(
    figure: Callable[[npt.NDArray[np.int64]], float], units: int, resamples: int, seed: int, level: float = 0.95
) -> Interval:
    """The figure of all units counted once, and its interval over draws of how often each is counted."""
    value = figure(np.ones(units, dtype=np.int64))
    if not units:
        return Interval(value, float("nan"), float("nan"))
    counts = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=resamples)
    draws = np.array([figure(row) for row in counts])
    if np.isnan(draws).all():
        return Interval(value, float("nan"), float("nan"))
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
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


def fit_temperature(
    logits: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating] | None = None,
    limits: tuple[float, float] = TEMPERATURE_RANGE,
) -> float:
    """The temperature under which the logits explain the truths best (least cross entropy).

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599

    Args:
        logits: shape (examples, labels).
        targets: probabilities of the same shape.
        weights: shape (examples,); all alike where None.
        limits: of the temperature.

    Returns:
        Within `limits`; above 1 makes answers less sure.

    >>> certain = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0], [0.0, 9.0]], dtype=np.float32)
    >>> fit_temperature(certain, np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.float32)) > 1.5
    True
    """
    shares = np.ones(len(logits)) if weights is None else weights.astype(np.float64)
    values = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = values / np.exp(log_temperature)
        top = scaled.max(1, keepdims=True)
        log_probabilities = scaled - top - np.log(np.exp(scaled - top).sum(1, keepdims=True))
        return float(np.average(-(targets * log_probabilities).sum(1), weights=shares))

    # Golden section: the loss has one valley in 1 / temperature.
    low, high = np.log(limits)
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2.0))


def ece(probabilities: npt.ArrayLike, truth: Sequence[str], labels: Sequence[str], bins: int = ECE_BINS) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, in equal-width bins of confidence.

    Args:
        probabilities: shape (examples, labels).
        truth: a label of each example.
        labels: names of the columns.
        bins: equal-width bins over 0..1; a confidence on an edge belongs to the bin below it.

    Returns:
        Mean of |accuracy - confidence| over bins, weighted by their examples; NaN without examples.

    >>> round(ece([[0.9, 0.1], [0.9, 0.1]], ["a", "b"], ["a", "b"]), 6)  # sure to 0.9, right in half
    0.4
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    known = indices_of(truth, labels)
    if rows.shape != (len(known), len(labels)):
        raise ValueError(f"probabilities have shape {rows.shape}, expected {(len(known), len(labels))}")
    if not len(known):
        return float("nan")
    confidence, right = rows.max(1), rows.argmax(1) == known
    gaps = np.bincount(_bins_of(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(known))


def ece_by_chance(probabilities: npt.ArrayLike, bins: int = ECE_BINS, *, draws: int = 200, seed: int = 0) -> float:
    """The calibration error that answers of such confidence show by chance alone, were each exactly as sure as right.

    With few examples in a bin its accuracy scatters, so that `ece` is above 0 for the best calibrated of models; what a
    model shows beyond this is its own.
    Source: Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams",
    https://doi.org/10.1175/WAF993.1 (consistency resampling)

    Args:
        probabilities: shape (examples, labels).
        bins: as `ece`'s.
        draws: of right and wrong answers, at random.
        seed: of the draws.

    Returns:
        The mean over the draws; NaN without examples.

    >>> ece_by_chance([[0.5, 0.5]] * 10) > ece_by_chance([[0.5, 0.5]] * 1000)
    True
    """
    confidence = np.asarray(probabilities, dtype=np.float64).max(1, initial=0.0)
    if not len(confidence):
        return float("nan")
    bin_of = _bins_of(confidence, bins)
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(draws):
        right = rng.random(len(confidence)) < confidence
        total += float(np.abs(np.bincount(bin_of, weights=right - confidence, minlength=bins)).sum())
    return total / (draws * len(confidence))


def _bins_of(confidence: npt.NDArray[np.float64], bins: int) -> npt.NDArray[np.int64]:
    return np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)
