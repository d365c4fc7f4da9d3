"""Whether a new model may replace the one in use: both answer the same held-out clips.

Pure: labels in, decision out. Knows no model and no database.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ser.labels import EMOTIONS
from ser.metrics import confusion, paired_bootstrap, per_class, uar_of, war_of


@dataclass(frozen=True)
class Decision:
    """The outcome.

    Attributes:
        promoted: whether the new model is measurably better.
        reason: the decision in a sentence, with its figures.
        before: figures of the model in use: `uar`, `war`, `recall` per label that occurs.
        after: the same of the new model.
        gain: difference in unweighted average recall, 0..1.
        low: lower end of the gain's two-sided interval.
        high: upper end.
    """

    promoted: bool
    reason: str
    before: dict[str, object]
    after: dict[str, object]
    gain: float
    low: float
    high: float

    def metrics(self) -> dict[str, object]:
        """As the store keeps it."""
        return {
            "before": self.before,
            "after": self.after,
            "gain": round(self.gain, 4),
            "interval": [round(self.low, 4), round(self.high, 4)],
        }


def decide(
    truth: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    groups: Sequence[str],
    *,
    confidence: float,
    min_gain: float,
    seed: int = 0,
    unit: str = "speaker",
) -> Decision:
    """Compare two models on the same clips.

    The new one is promoted where its gain in unweighted average recall is at least `min_gain`, and above
    zero in `confidence` of the paired bootstrap's resamples.

    Args:
        truth: label of each held-out clip, as the raters say.
        before: answers of the model in use.
        after: answers of the new model.
        groups: who speaks in each clip; with several speakers the bootstrap draws speakers, not clips.
        confidence: one-sided, 0.5..1.
        min_gain: 0..1.
        seed: of the bootstrap.
        unit: what the held-out clips share with no clip that was learnt from; see `annotations.learning.holdout`.

    Returns:
        The decision with its figures.

    >>> truth = ["anger", "fear"] * 20
    >>> decide(truth, ["anger"] * 40, truth, ["s"] * 40, confidence=0.9, min_gain=0.01).promoted
    True
    >>> decide(truth, truth, truth, ["s"] * 40, confidence=0.9, min_gain=0.01).promoted
    False
    """
    speakers = sorted(set(groups))
    # With a handful of speakers, drawing them whole would give intervals from a handful of values.
    drawn = groups if len(speakers) >= 5 else None
    interval = paired_bootstrap(
        truth, before, after, EMOTIONS, groups=drawn, level=2 * confidence - 1, resamples=2000, seed=seed
    )
    sure = interval.low > 0
    promoted = sure and interval.value >= min_gain
    figures = (
        f"{_points(interval.value)} points of unweighted average recall "
        f"[{_points(interval.low)}, {_points(interval.high)}] on {len(truth)} held-out clips"
        f"{'' if unit == 'speaker' else ' of speakers it has learnt from'}"
    )
    if promoted:
        reason = f"Promoted: {figures}."
    elif interval.value <= 0:
        reason = f"Refused: no better than the model in use, {figures}."
    elif not sure:
        reason = f"Refused: the gain may be chance, {figures}. More clips would settle it."
    else:
        reason = f"Refused: the gain is under {100 * min_gain:.0f} point, {figures}."
    return Decision(
        promoted,
        reason,
        figures_of(truth, before),
        figures_of(truth, after),
        interval.value,
        interval.low,
        interval.high,
    )


def figures_of(truth: Sequence[str], answers: Sequence[str]) -> dict[str, object]:
    """`clips`, `uar`, `war`, and `recall` and `support` of each label that occurs."""
    matrix = confusion(truth, answers, EMOTIONS)
    classes = {label: c for label, c in per_class(matrix, EMOTIONS).items() if c.support}
    return {
        "clips": len(truth),
        "uar": round(uar_of(matrix), 4),
        "war": round(war_of(matrix), 4),
        "recall": {label: round(c.recall, 4) for label, c in classes.items()},
        "support": {label: c.support for label, c in classes.items()},
    }


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
