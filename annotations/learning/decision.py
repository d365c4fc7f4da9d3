"""What a comparison of two models comes to: its figures, its verdict, and what would settle it where it is open.

Values only; they are made in `annotations.learning.gate`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotations.learning.comparison import Answers, Array, Truth, recall_of
from annotations.learning.probability_gain import ProbabilityGain
from ser.calibration import ece
from ser.labels import EMOTIONS


@dataclass(frozen=True)
class Margins:
    """What a new model may lose.

    Attributes:
        base: points of unweighted average recall on what the model knew before, 0..1.
        gold: the same on gold clips; one clip more wrong than right is never too much.
        class_fall: fall of a label's recall on held-out feedback that is told, 0..1.
    """

    base: float = 0.01
    gold: float = 0.02
    class_fall: float = 0.10


MARGINS = Margins()


@dataclass(frozen=True)
class Standing:
    """How two models do on something that neither should get worse at.

    Attributes:
        what: such as `base prototypes`, `base test`, `gold clips`.
        before: unweighted average recall of the model in use, 0..1.
        after: the same of the new one.
        count: how many items they were asked.
    """

    what: str
    before: float
    after: float
    count: int

    @classmethod
    def of(cls, what: str, answers: Answers) -> "Standing":
        """From the answers themselves."""
        before, after = (recall_of(answers.truth, said)[0] for said in (answers.before, answers.after))
        return cls(what, before, after, len(answers))

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before

    def as_dict(self) -> dict[str, object]:
        """As the store keeps it."""
        return {
            "what": self.what,
            "count": self.count,
            "before": round(self.before, 4),
            "after": round(self.after, 4),
        }


@dataclass(frozen=True)
class Needed:
    """What would settle a gain that may be chance, were it as large on further clips.

    Attributes:
        held_out_clips: more of them.
        speakers: from at least so many more speakers.
        labelled_clips: about so many more labelled ones in all, as only a share is held out.
    """

    held_out_clips: int
    speakers: int
    labelled_clips: int


@dataclass(frozen=True)
class Decision:
    """The outcome.

    Attributes:
        promoted: whether the new model is measurably better, and not worse elsewhere.
        reason: the decision in a sentence, with its figures.
        before: figures of the model in use: `clips`, `uar`, `war`, and `recall` and `support` per label that occurs.
        after: the same of the new model.
        gain: difference in unweighted average recall, 0..1.
        low: lower end of the gain's two-sided interval.
        high: upper end.
        p_value: chance of such a gain between two models that are equally good: of that in probability where it is
            known, else of that in recall.
        probability: gain in the probability of what is true; None where only labels are known.
        alpha: what it had to stay under, and the share of the bootstrap's draws beyond each end of the interval.
        looks: how often these clips had judged before, on average.
        unit: as in `Answers`.
        speakers: how many the held-out clips have.
        base: how the two do on what the model knew before; None where that was not looked at.
        gold: the same on gold clips.
        regressions: {label: {before, after, support}} of labels whose recall fell by more than is let pass untold.
        needed: what would settle it, where that can be said.
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

    def metrics(self) -> dict[str, object]:
        """As the store keeps it."""
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
            "probability": self.probability.as_dict() if self.probability else None,
            "needed": None if needed is None else dict(vars(needed)),
        }


def figures_of(truth: Sequence[Truth], answers: Sequence[str], probabilities: Array | None = None) -> dict[str, object]:
    """`clips`, `uar`, `war`, `recall` and `support` of each label that occurs, and `ece` where probabilities are known.

    `ece` is how far confidence and the share of right answers lie apart; see `ser.calibration.ece`.
    """
    uar, recall, support = recall_of(truth, answers)
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
        hard = [known if isinstance(known, str) else max(known, key=known.__getitem__) for known in truth]
        figures["ece"] = round(ece(probabilities, hard, EMOTIONS), 4)
    return figures
