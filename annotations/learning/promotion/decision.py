"""The decision on a candidate as a value: figures, verdict, and the feedback that would settle an open case.

Values only; `annotations.learning.promotion.gate` makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotations.learning.promotion.comparison import Answers, Array, Truth, recall_of, shares_of
from annotations.learning.promotion.label_knowledge import Exchange
from annotations.learning.promotion.probability_gain import ProbabilityGain, mean_log_probability
from ser.evaluation.metrics import ece, ece_by_chance
from ser.labels import EMOTIONS


@dataclass(frozen=True)
class Margins:
    """Losses that a candidate may show.

    Attributes:
        base: in unweighted average recall on the base test, 0..1.
        recall: the same on held-out feedback if both models know which labels occur, and the candidate's gain in the
            probability of the correct label is no chance.
        gold: the same on gold clips; one clip more wrong than right is always allowed.
        log_probability: nats of the mean log probability of the correct label, on the base test and on gold clips.
        calibration: of the calibration error, 0..1, beyond its scatter on so few clips; on all three.
        recall_drop: drop of a label's recall on held-out feedback above which it is reported, 0..1.
    """

    base: float = 0.01
    recall: float = 0.01
    gold: float = 0.02
    log_probability: float = 0.1
    calibration: float = 0.05
    recall_drop: float = 0.10


@dataclass(frozen=True)
class PromotionRule:
    """The conditions a candidate has to meet.

    Attributes:
        confidence: one-sided, 0.5..1.
        min_gain: least gain in unweighted average recall, or least drop of the error rate, 0..1.
        seed: of the bootstrap and the randomisation test.
        margins: losses that are allowed.
    """

    confidence: float = 0.95
    min_gain: float = 0.01
    seed: int = 0
    margins: Margins = Margins()


@dataclass(frozen=True)
class Standing:
    """Recall of two models on items that a candidate must not get worse at.

    Attributes:
        what: such as `base test` or `gold clips`.
        before: unweighted average recall of the current model, 0..1.
        after: the same of the candidate.
        count: number of items.
        log_probabilities: mean log probability of the correct label, before and after; None if only labels are known.
        calibration: calibration error, before and after; None likewise.
        scatter: calibration error that a calibrated model shows on so few items.
    """

    what: str
    before: float
    after: float
    count: int
    log_probabilities: tuple[float, float] | None = None
    calibration: tuple[float, float] | None = None
    scatter: float = 0.0

    @classmethod
    def of(cls, what: str, answers: Answers) -> "Standing":
        """Count it from predictions."""
        before, after = (recall_of(answers.truth, said, answers.labels)[0] for said in (answers.before, answers.after))
        if answers.probabilities is None:
            return cls(what, before, after, len(answers))
        shares, hard = shares_of(answers.truth, answers.labels), hard_labels(answers.truth)
        old, new = answers.probabilities
        return cls(
            what,
            before,
            after,
            len(answers),
            (mean_log_probability(old, shares), mean_log_probability(new, shares)),
            (ece(old, hard, answers.labels), ece(new, hard, answers.labels)),
            ece_by_chance(new),
        )

    @property
    def change(self) -> float:
        """Recall after minus recall before."""
        return self.after - self.before

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values for the store."""
        return {
            "what": self.what,
            "count": self.count,
            "before": round(self.before, 4),
            "after": round(self.after, 4),
        } | {
            name: [round(value, 4) for value in pair]
            for name, pair in (("log_probability", self.log_probabilities), ("ece", self.calibration))
            if pair is not None
        }


@dataclass(frozen=True)
class Needed:
    """Further feedback that would settle a gain that may be chance, if it stays as large.

    Attributes:
        held_out_clips: number of further held-out clips.
        speakers: least number of further speakers among them.
        labelled_clips: number of further labelled clips in all, of which only a share is held out.
    """

    held_out_clips: int
    speakers: int
    labelled_clips: int


@dataclass(frozen=True)
class Decision:
    """The decision on a candidate, with its figures.

    Attributes:
        promoted: True if the candidate is measurably better and not worse elsewhere.
        reason: the decision in a sentence, with its figures.
        before: figures of the current model: `clips`, `uar`, `war`, and `recall` and `support` per label that occurs.
        after: the same of the candidate.
        gain: difference in unweighted average recall, 0..1.
        low: lower end of the gain's two-sided interval.
        high: upper end.
        p_value: chance of such a gain between two models that are equally good, by probability if that is known,
            else by recall.
        alpha: level that the p-value had to stay under, and share of bootstrap draws beyond each end of the interval.
        looks: mean number of earlier comparisons on these clips.
        unit: as in `Answers`.
        speakers: number of speakers of the held-out clips.
        base: recall of both models on the base test; None if it was not tested.
        gold: the same on gold clips.
        regressions: {label: {before, after, support}} of labels whose recall drops by more than the margin.
        needed: further feedback that would settle it, if that can be estimated.
        probability: gain in the probability of the correct label if both models know equally well which labels occur;
            None if only labels are known.
        voice_gain: gain in unweighted average recall, likewise.
        exchange: labels that look as if they had changed names; None if none do.
        start: figures of the model that training began with, on the same clips; None if they were not computed.
    """

    promoted: bool
    reason: str
    before: dict[str, object]
    after: dict[str, object]
    gain: float
    low: float
    high: float
    p_value: float = 1.0
    alpha: float = 0.05
    looks: float = 0.0
    unit: str = "speaker"
    speakers: int = 0
    base: Standing | None = None
    gold: Standing | None = None
    regressions: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    needed: Needed | None = None
    probability: ProbabilityGain | None = None
    voice_gain: float | None = None
    exchange: Exchange | None = None
    start: Mapping[str, object] | None = None

    def metrics(self) -> dict[str, object]:
        """Convert to JSON values for the store."""
        needed = self.needed
        return {
            "before": self.before,
            "after": self.after,
            "gain": round(self.gain, 4),
            "interval": [round(self.low, 4), round(self.high, 4)],
            "p_value": round(self.p_value, 5),
            "alpha": round(self.alpha, 5),
            "looks": round(self.looks, 2),
            "unit": self.unit,
            "speakers": self.speakers,
            "base": self.base.as_dict() if self.base else None,
            "gold": self.gold.as_dict() if self.gold else None,
            "regressions": {label: dict(fall) for label, fall in self.regressions.items()},
            "learnt": None if self.voice_gain is None else round(self.voice_gain, 4),
            "exchange": dict(self.exchange.names) if self.exchange else None,
            "probability": self.probability.as_dict() if self.probability else None,
            "needed": None if needed is None else dict(vars(needed)),
            "start": None if self.start is None else dict(self.start),
        }


def figures_of(
    truth: Sequence[Truth],
    answers: Sequence[str],
    probabilities: Array | None = None,
    labels: Sequence[str] = EMOTIONS,
) -> dict[str, object]:
    """Compute `clips`, `uar`, `war`, `recall` and `support` of each label that occurs, and `ece` from probabilities.

    `ece` is the expected calibration error; see `ser.evaluation.metrics.ece`.
    """
    uar, recall, support = recall_of(truth, answers, labels)
    total = sum(support.values())
    right = sum(recall[label] * support[label] for label in recall)
    figures: dict[str, object] = {
        "clips": len(truth),
        "uar": round(uar, 4),
        "war": round(right / total, 4) if total else float("nan"),
        "recall": {label: round(value, 4) for label, value in recall.items()},
        "support": {label: int(count) if count.is_integer() else round(count, 2) for label, count in support.items()},
    }
    if probabilities is not None:
        figures["ece"] = round(ece(probabilities, hard_labels(truth), labels), 4)
        figures["log_probability"] = round(mean_log_probability(probabilities, shares_of(truth, labels)), 4)
    return figures


def hard_labels(truth: Sequence[Truth]) -> list[str]:
    """The label of the largest share of each clip.

    >>> hard_labels(["fear", {"anger": 0.75, "fear": 0.25}])
    ['fear', 'anger']
    """
    return [known if isinstance(known, str) else max(known, key=known.__getitem__) for known in truth]
