"""Comparison of two models' predictions on the same clips: recall, its gain with an interval, and its p-value.

Pure: labels in, figures out. Knows no model and no database, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotations.learning.promotion.probability_gain import EVEN_SHARE, ProbabilityGain, true_log_probabilities
from ser.labels import EMOTIONS

Truth = str | Mapping[str, float]
"""The correct label of a clip, or shares of several labels that sum to 1."""

RESAMPLES = 4000
FEW_SPEAKERS = 10
"""Fewer speakers than this, and the bootstrap draws clips: whole speakers would give only a handful of values."""

CHUNK = 250
"""Draws held in memory at a time."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Two models' predictions on the same clips.

    Attributes:
        truth: the correct label of each clip.
        before: label that the current model predicts for each clip.
        after: label that the candidate predicts.
        groups: speaker of each; empty if not known: each clip counts for itself.
        unit: what no training clip shares with these clips: `speaker`, `session`, `part of the session`.
        clip_ids: ids in the store, if they have some.
        probabilities: of the current model and of the candidate, shape (clips, labels) each; None if they give labels
            alone.
        labels: that there are, in the order of the probabilities.
    """

    truth: Sequence[Truth]
    before: Sequence[str]
    after: Sequence[str]
    groups: Sequence[str] = ()
    unit: str = "speaker"
    clip_ids: Sequence[int] = ()
    probabilities: tuple[Array, Array] | None = None
    labels: Sequence[str] = EMOTIONS

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.truth, self.before, self.after)}
        lengths |= {len(part) for part in (self.groups, self.clip_ids) if len(part)}
        lengths |= {len(part) for part in self.probabilities or ()}
        if len(lengths) != 1:
            raise ValueError(f"truth, answers, groups and clips must be of one length; they have {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def speakers(self) -> int:
        """The number of speakers; the number of clips if they are not known."""
        return len(set(self.groups)) if len(self.groups) else len(self)


@dataclass(frozen=True)
class Comparison:
    """The gain of a candidate in unweighted average recall, or the drop of its error rate, 0..1.

    Attributes:
        gain: after minus before.
        low: end of the bootstrap interval that is passed by a share `alpha` of the draws.
        high: the other end, by the same share.
        p_value: chance of such a gain or a larger one between two models that are equally good.
        drawn: unit of the bootstrap, `speakers` or `clips`.
        probability: gain in the probability of the correct label; None if only labels are known.
    """

    gain: float
    low: float
    high: float
    p_value: float
    drawn: str
    probability: ProbabilityGain | None = None

    @property
    def proof(self) -> "Comparison | ProbabilityGain":
        """The finding that is tested: that on probabilities if they are known, as they tell more than labels do."""
        return self.probability or self


def shares_of(truth: Sequence[Truth], labels: Sequence[str] = EMOTIONS) -> Array:
    """Put shares into an array of shape (clips, labels), rows sum to 1, columns in the order of `labels`.

    >>> shares_of(["fear", {"anger": 0.25, "fear": 0.75}])[:, :3].tolist()
    [[0.0, 0.0, 1.0], [0.25, 0.0, 0.75]]
    """
    rows = np.zeros((len(truth), len(labels)))
    for row, known in zip(rows, truth, strict=True):
        for label, share in {known: 1.0}.items() if isinstance(known, str) else known.items():
            row[labels.index(label)] = share
    return rows


def hits_of(truth: Array, answers: Sequence[str], labels: Sequence[str] = EMOTIONS) -> Array:
    """Mask the correct part of each clip's shares, shape (clips, labels)."""
    said = shares_of(answers, labels)
    return truth * said


def recall_of(
    truth: Sequence[Truth], answers: Sequence[str], labels: Sequence[str] = EMOTIONS
) -> tuple[float, dict[str, float], dict[str, float]]:
    """Compute unweighted average recall, and recall and support of each label that occurs.

    With one label a clip these are the usual figures; a clip of several counts for each with its share.

    >>> recall_of(["fear", "fear", "anger"], ["fear", "anger", "anger"])
    (0.75, {'anger': 1.0, 'fear': 0.5}, {'anger': 1.0, 'fear': 2.0})
    """
    shares = shares_of(truth, labels)
    right, support = hits_of(shares, answers, labels).sum(0), shares.sum(0)
    recall = {label: float(right[i] / support[i]) for i, label in enumerate(labels) if support[i] > 0}
    counts = {label: float(support[i]) for i, label in enumerate(labels) if support[i] > 0}
    return (float(np.mean([*recall.values()])) if recall else float("nan")), recall, counts


def compare(answers: Answers, alpha: float, *, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """Compare two models on the same clips.

    The interval is that of a paired bootstrap which draws speakers, or clips if there are fewer than `FEW_SPEAKERS`.
    The p-value is that of a randomisation test: if both models are equally good, each clip's two predictions can be
    exchanged. It holds for any number of clips, while the bootstrap promises too much with few. If probabilities are
    known the same is done with the log probability of the correct label.

    Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13; Noreen 1989, "Computer-Intensive
    Methods for Testing Hypotheses", chapter 2.

    Args:
        answers: at least one.
        alpha: share of draws beyond each end of the interval, 0..0.5.
        seed: of the draws.
        resamples: how many draws.

    >>> truth = ["anger", "fear"] * 20
    >>> found = compare(Answers(truth, ["anger"] * 40, truth), 0.05)
    >>> round(found.gain, 2), found.low > 0.3, found.p_value < 0.001
    (0.5, True, True)
    """
    shares = shares_of(answers.truth, answers.labels)
    units, drawn = _units(answers.groups, len(answers))

    def found(before: Array, after: Array) -> tuple[float, float, float, float]:
        return _paired(before, after, shares, units, alpha, seed=seed, resamples=resamples)

    right = tuple(hits_of(shares, said, answers.labels) for said in (answers.before, answers.after))
    probability = None
    if answers.probabilities is not None:
        old, new = answers.probabilities
        logs = (true_log_probabilities(rows, shares, EVEN_SHARE) for rows in (old, new))
        probability = ProbabilityGain(*found(*logs))
    return Comparison(*found(*right), drawn, probability)


def compare_rates(
    before: Array, after: Array, sizes: Array, groups: Sequence[str], alpha: float, *, seed: int = 0
) -> Comparison:
    """Compare two models by a rate that each clip has a part in, as `compare`: the gain is its drop.

    Args:
        before: errors or losses of the current model on each clip, shape (clips,).
        after: the same of the candidate.
        sizes: divisor of each clip, such as its words; the rate is the sum of errors by the sum of sizes.
        groups: speaker of each clip.
        alpha: share of draws beyond each end of the interval, 0..0.5.
        seed: of the draws.

    >>> found = compare_rates(np.ones(9), np.full(9, 0.5), np.ones(9), [""] * 9, 0.05)
    >>> found.gain, found.low, found.high
    (0.5, 0.5, 0.5)
    """
    units, drawn = _units(groups, len(before))
    return Comparison(*_paired(-before[:, None], -after[:, None], sizes[:, None], units, alpha, seed=seed), drawn)


def _units(groups: Sequence[str], clips: int) -> tuple[npt.NDArray[np.int64], str]:
    """The unit of each clip that the bootstrap draws, and the name of such units."""
    if len(set(groups)) >= FEW_SPEAKERS:
        return np.unique(np.asarray(groups), return_inverse=True)[1], "speakers"
    return np.arange(clips), "clips"


def _paired(
    before: Array,
    after: Array,
    support: Array,
    units: npt.NDArray[np.int64],
    alpha: float,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> tuple[float, float, float, float]:
    """Gain, both ends of its interval, and p-value; all three arrays of shape (clips, columns)."""
    old, new, known = (_sum_by(units, part) for part in (before, after, support))
    low, high = np.quantile(_bootstrap(old, new, known, resamples, seed), [alpha, 1 - alpha])
    totals = support.sum(0)
    weights = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0) / max((totals > 0).sum(), 1)
    changes = ((after - before) * weights).sum(1)
    return float(changes.sum()), float(low), float(high), _chance(changes, seed)


def _sum_by(units: npt.NDArray[np.int64], rows: Array) -> Array:
    sums = np.zeros((int(units.max()) + 1, rows.shape[1]))
    np.add.at(sums, units, rows)
    return sums


def _bootstrap(before: Array, after: Array, support: Array, resamples: int, seed: int) -> Array:
    rng, count = np.random.default_rng(seed), len(support)
    parts = []
    for first in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - first)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        known = drawn @ support
        differences = np.divide(drawn @ (after - before), known, out=np.zeros_like(known), where=known > 0)
        parts.append(differences.sum(1) / (known > 0).sum(1))
    return np.concatenate(parts)


def _chance(changes: Array, seed: int) -> float:
    """Compute the share of random signs that give as large a sum as the observed ones, which count as one draw."""
    # Less than the temperature is fitted to is no change.
    moved, rng = changes[np.abs(changes) > 1e-6 / len(changes)], np.random.default_rng(seed)
    if not len(moved):
        return 1.0
    reached = 0
    for first in range(0, RESAMPLES, CHUNK):
        signs = rng.choice((-1.0, 1.0), size=(min(CHUNK, RESAMPLES - first), len(moved)))
        reached += int((signs @ moved >= moved.sum() - 1e-12).sum())
    return (reached + 1) / (RESAMPLES + 1)
