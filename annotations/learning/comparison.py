"""How two models' answers on the same clips compare: recall, its gain with an interval, and the chance of it by luck.

Pure: labels in, figures out. Knows no model and no database, and decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotations.learning.probability_gain import ProbabilityGain, true_log_probabilities
from ser.labels import EMOTIONS

Truth = str | Mapping[str, float]
"""What a clip is: a label, or shares of several that sum to 1."""

RESAMPLES = 4000
FEW_SPEAKERS = 5
"""Under so many the bootstrap draws clips: speakers drawn whole would give an interval from a handful of values."""

CHUNK = 250
"""Draws that are held in memory together."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Two models' answers on the same clips.

    Attributes:
        truth: what each clip is.
        before: label that the model in use gives each clip.
        after: label that the new model gives it.
        groups: who speaks in each; empty where that is not known, and each clip counts for itself.
        unit: what these clips share with no clip that was learnt from: `speaker`, `session`, `part of the sitting`.
        clip_ids: ids in the store, where they have some.
        probabilities: what the model in use and the new one hold each label for, shape (clips, labels) each; None
            where they tell labels alone.
    """

    truth: Sequence[Truth]
    before: Sequence[str]
    after: Sequence[str]
    groups: Sequence[str] = ()
    unit: str = "speaker"
    clip_ids: Sequence[int] = ()
    probabilities: tuple[Array, Array] | None = None

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
        """How many of them there are; the number of clips where that is not known."""
        return len(set(self.groups)) if len(self.groups) else len(self)


@dataclass(frozen=True)
class Comparison:
    """How much better the new answers are, in unweighted average recall, 0..1.

    Attributes:
        gain: after minus before.
        low: end of the bootstrap interval that is passed by a share `alpha` of the draws.
        high: the other end, by the same share.
        p_value: chance of such a gain or a larger one, were the two models equally good.
        drawn: `speakers` or `clips`: what the bootstrap draws.
        probability: how much more probable the new model holds what is true; None where only labels are known.
    """

    gain: float
    low: float
    high: float
    p_value: float
    drawn: str
    probability: ProbabilityGain | None = None

    @property
    def proof(self) -> "Comparison | ProbabilityGain":
        """What tells chance apart best: the probabilities where they are known, as they tell more than labels do."""
        return self.probability or self


def shares_of(truth: Sequence[Truth]) -> Array:
    """Shares as an array of shape (clips, labels), rows sum to 1, columns in `EMOTIONS` order.

    >>> shares_of(["fear", {"anger": 0.25, "fear": 0.75}])[:, :3].tolist()
    [[0.0, 0.0, 1.0], [0.25, 0.0, 0.75]]
    """
    rows = np.zeros((len(truth), len(EMOTIONS)))
    for row, known in zip(rows, truth, strict=True):
        for label, share in {known: 1.0}.items() if isinstance(known, str) else known.items():
            row[EMOTIONS.index(label)] = share
    return rows


def hits_of(truth: Array, answers: Sequence[str]) -> Array:
    """The part of each clip's shares that an answer is right about, of shape (clips, labels)."""
    said = shares_of(answers)
    return truth * said


def recall_of(truth: Sequence[Truth], answers: Sequence[str]) -> tuple[float, dict[str, float], dict[str, float]]:
    """Unweighted average recall, and recall and support of each label that occurs.

    With one label a clip these are the usual figures; a clip of several counts for each with its share.

    >>> recall_of(["fear", "fear", "anger"], ["fear", "anger", "anger"])
    (0.75, {'anger': 1.0, 'fear': 0.5}, {'anger': 1.0, 'fear': 2.0})
    """
    shares = shares_of(truth)
    right, support = hits_of(shares, answers).sum(0), shares.sum(0)
    recall = {label: float(right[i] / support[i]) for i, label in enumerate(EMOTIONS) if support[i] > 0}
    counts = {label: float(support[i]) for i, label in enumerate(EMOTIONS) if support[i] > 0}
    return (float(np.mean([*recall.values()])) if recall else float("nan")), recall, counts


def compare(answers: Answers, alpha: float, *, seed: int = 0, resamples: int = RESAMPLES) -> Comparison:
    """Compare two models on the same clips.

    The interval is that of a paired bootstrap which draws speakers, or clips where there are fewer than
    `FEW_SPEAKERS`. The p-value is that of a randomisation test: were both models equally good, each clip's two
    answers might as well be exchanged. It holds for any number of clips, where the bootstrap promises too much
    with few. Where probabilities are known the same is done with the log probability of what is true.

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
    shares = shares_of(answers.truth)
    by_speaker = len(answers.groups) > 0 and answers.speakers >= FEW_SPEAKERS
    units = np.unique(np.asarray(answers.groups), return_inverse=True)[1] if by_speaker else np.arange(len(answers))

    def found(before: Array, after: Array) -> tuple[float, float, float, float]:
        old, new, support = (_sum_by(units, part) for part in (before, after, shares))
        low, high = np.quantile(_bootstrap(old, new, support, resamples, seed), [alpha, 1 - alpha])
        totals = shares.sum(0)
        weights = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0) / max((totals > 0).sum(), 1)
        changes = ((after - before) * weights).sum(1)
        return float(changes.sum()), float(low), float(high), _chance(changes, seed)

    right = (hits_of(shares, answers.before), hits_of(shares, answers.after))
    probability = None
    if answers.probabilities is not None:
        old, new = answers.probabilities
        probability = ProbabilityGain(*found(true_log_probabilities(old, shares), true_log_probabilities(new, shares)))
    return Comparison(*found(*right), "speakers" if by_speaker else "clips", probability)


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
    """How often signs drawn at random give as much as the clips' own; the observed draw counts as one of them."""
    # Less than the temperature is fitted to is no change.
    moved, rng = changes[np.abs(changes) > 1e-6 / len(changes)], np.random.default_rng(seed)
    if not len(moved):
        return 1.0
    reached = 0
    for first in range(0, RESAMPLES, CHUNK):
        signs = rng.choice((-1.0, 1.0), size=(min(CHUNK, RESAMPLES - first), len(moved)))
        reached += int((signs @ moved >= moved.sum() - 1e-12).sum())
    return (reached + 1) / (RESAMPLES + 1)
