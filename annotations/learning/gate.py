"""Whether a new model may replace the one in use: both answer the same held-out clips, the base's and the gold ones.

Pure: labels in, decision out. Knows no model and no database.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

from annotations.learning.comparison import Answers, Array, Comparison, Truth, compare, recall_of
from annotations.learning.decision import MARGINS, Decision, Margins, Needed, Standing, figures_of
from annotations.learning.holdout import HELD_OUT_SHARE, Holdout
from annotations.learning.probability_gain import stacked
from annotations.records import FeedbackExample
from ser.types import EmotionScores

__all__ = ["AnswerAll", "Decision", "Standing", "decide", "judge", "spend", "what_is_needed"]

AnswerAll = Callable[[Sequence[FeedbackExample]], Sequence[EmotionScores]]
"""A model's answers for some clips, in their order."""


def decide(
    truth: Sequence[Truth],
    before: Sequence[str],
    after: Sequence[str],
    groups: Sequence[str],
    *,
    confidence: float,
    min_gain: float,
    seed: int = 0,
    unit: str = "speaker",
    base: Standing | Answers | None = None,
    gold: Answers | None = None,
    looks: float = 0.0,
    margins: Margins = MARGINS,
    probabilities: tuple[Array, Array] | None = None,
) -> Decision:
    """Compare two models.

    The new one is promoted where its gain in unweighted average recall on held-out feedback is at least `min_gain`;
    where it is no chance: above zero in all but a share `alpha` of the paired bootstrap's draws, and no likelier than
    `alpha` between equal models by the randomisation test of `compare`; where it is not worse on the base than the
    margin allows; and where it is not worse on gold clips. Where probabilities are known, it is the gain in the
    probability of what is true that must be no chance: it shows in clips whose label stays as it is, too.

    The first comparison on some clips has `alpha = 1 - confidence`; each later one on the same clips has less (see
    `spend`), so that trying again and again does not promote by luck in the end.

    Args:
        truth: label of each held-out clip, or its shares, as the raters say.
        before: answers of the model in use.
        after: answers of the new model.
        groups: who speaks in each clip.
        confidence: one-sided, 0.5..1.
        min_gain: 0..1.
        seed: of the draws.
        unit: what the held-out clips share with no clip that was learnt from; see `annotations.learning.holdout`.
        base: prototypes or the base's test; None where it was not looked at, and the decision says so.
        gold: clips of a known label that nothing was learnt from; None or empty where there are none.
        looks: how often the held-out clips have judged before, on average over them.
        margins: what the new model may lose.
        probabilities: what both models hold each label of each clip for, shape (clips, labels) each.

    Returns:
        The decision with its figures.

    >>> truth = ["anger", "fear"] * 20
    >>> decide(truth, ["anger"] * 40, truth, ["s"] * 40, confidence=0.9, min_gain=0.01).promoted
    True
    >>> decide(truth, truth, truth, ["s"] * 40, confidence=0.9, min_gain=0.01).promoted
    False
    """
    answers = Answers(truth, before, after, groups, unit, probabilities=probabilities)
    alpha = spend(1 - confidence, looks)
    found = compare(answers, alpha, seed=seed)
    known = Standing.of("base prototypes", base) if isinstance(base, Answers) else base
    marked = Standing.of("gold clips", gold) if gold is not None and len(gold) else None
    needed = what_is_needed(found, len(answers), answers.speakers, alpha, min_gain)
    objection = (
        _objection_to_gain(found, alpha, min_gain, looks)
        or _objection_to_base(known, margins)
        or _objection_to_gold(marked, gold, margins)
    )
    shares = probabilities or (None, None)
    figures = [figures_of(truth, said, shares[place]) for place, said in enumerate((before, after))]
    told = _regressions(answers, margins)
    words = [f"{objection or ''}{_figures(found, answers)}", _standings(known, marked, margins)]
    if found.probability is not None:
        words.insert(1, found.probability.words())
    if needed is not None and objection is not None and found.gain > 0:
        words.append(_needed_words(needed))
    if told:
        falls = ", ".join(f"{label} {_points(fall['after'] - fall['before'])}" for label, fall in told.items())
        words.append(f"recall falls for {falls}")
    verdict = "Promoted" if objection is None else "Refused"
    return Decision(
        promoted=objection is None,
        reason=f"{verdict}: {'; '.join(words)}.",
        before=figures[0],
        after=figures[1],
        gain=found.gain,
        low=found.low,
        high=found.high,
        p_value=found.proof.p_value,
        alpha=alpha,
        looks=looks,
        unit=unit,
        speakers=answers.speakers,
        base=known,
        gold=marked,
        regressions=told,
        needed=needed if objection is not None else None,
        probability=found.probability,
    )


def judge(
    holdout: Holdout,
    before: AnswerAll,
    after: AnswerAll,
    *,
    confidence: float,
    min_gain: float,
    seed: int = 0,
    base: Standing | Answers | None = None,
) -> Decision:
    """Let two models answer what a run held out, gold clips included, and decide.

    Args:
        holdout: as `annotations.learning.sides.hold_out` gives it.
        before: the model in use: clips in, an answer for each out.
        after: the new one.
        confidence: as in `decide`, like all that follow.
        min_gain: see there.
        seed: see there.
        base: see there.
    """
    asked = [*holdout.held_out, *holdout.gold]
    scores = before(asked), after(asked)
    old, new = ([said.label for said in part] for part in scores)
    count = len(holdout.held_out)
    gold = Answers([e.soft_label for e in holdout.gold], old[count:], new[count:], [e.group for e in holdout.gold])
    return decide(
        [e.soft_label for e in holdout.held_out],
        old[:count],
        new[:count],
        [e.group for e in holdout.held_out],
        confidence=confidence,
        min_gain=min_gain,
        seed=seed,
        unit=holdout.unit,
        base=base,
        gold=gold,
        looks=holdout.looks,
        probabilities=(stacked(scores[0][:count]), stacked(scores[1][:count])),
    )


def spend(alpha: float, looks: float) -> float:
    """The chance of a promotion by luck that a comparison may take, after so many earlier ones on the same clips.

    The first takes all of `alpha`, the k-th `alpha / k**2`: however many follow, together they take at most
    1.65 times `alpha`. Clips that have not judged yet bring the average number of looks down, and so the level up.
    Source: the union bound over 1/k**2, whose sum is pi**2 / 6; as in Foster & Stine 2008, "Alpha-investing",
    https://doi.org/10.1111/j.1467-9868.2007.00643.x, the level is spent as one looks.

    >>> [round(spend(0.05, looks), 4) for looks in (0, 0.5, 1, 2)]
    [0.05, 0.0222, 0.0125, 0.0056]
    """
    return alpha / (1 + looks) ** 2


def what_is_needed(found: Comparison, clips: int, speakers: int, alpha: float, min_gain: float) -> Needed | None:
    """How many more held-out clips would settle a gain of the size that was seen, by what tells chance apart best.

    The interval narrows with the root of the number of what is drawn: a gain g whose lower end is w below it needs
    (w / g)**2 times as many. None where the gain is not above zero or too small, as no number would settle that, or
    where nothing is missing.

    >>> what_is_needed(Comparison(0.05, -0.01, 0.11, 0.08, "clips"), 50, 1, 0.05, 0.01)
    Needed(held_out_clips=30, speakers=1, labelled_clips=100)
    """
    proof = found.proof
    if min(found.gain, proof.gain) <= 0 or found.gain < min_gain or (proof.low > 0 and proof.p_value <= alpha):
        return None
    times = max((proof.gain - proof.low) / proof.gain, _roots_missing(proof.p_value, alpha)) ** 2
    # A tenth more, so that the bounds are passed and not just reached.
    more = max(math.ceil(clips * (times * 1.1 - 1)), 1)
    others = max(math.ceil(speakers * (times - 1)), 1) if found.drawn == "speakers" else 1
    more = max(more, others)
    return Needed(more, others, math.ceil(more / HELD_OUT_SHARE))


def _roots_missing(p_value: float, alpha: float) -> float:
    """How far the gain is, in standard errors, from what the randomisation test asks for: 2 is half of it."""
    reached = NormalDist().inv_cdf(1 - min(p_value, 0.45))
    return NormalDist().inv_cdf(1 - alpha) / reached


def _objection_to_gain(found: Comparison, alpha: float, min_gain: float, looks: float) -> str | None:
    if found.gain <= 0:
        return "no better than the model in use, "
    if found.proof.low <= 0 or found.proof.p_value > alpha:
        again = f", on clips that have judged {looks:.1f} times before" if looks >= 0.05 else ""
        return f"the gain may be chance{again}, "
    if found.gain < min_gain:
        return f"the gain is under {100 * min_gain:.0f} point, "
    return None


def _objection_to_base(base: Standing | None, margins: Margins) -> str | None:
    # A mean that hides the loss of what was known is no gain; with nothing to compare NaN objects to nothing.
    if base is not None and base.change < -margins.base - 1e-9:
        return f"it forgets what the model in use knows ({_points(base.change)} points on the {base.what}), "
    return None


def _objection_to_gold(gold: Standing | None, answers: Answers | None, margins: Margins) -> str | None:
    if gold is None or answers is None or gold.change >= -margins.gold - 1e-9:
        return None
    right = [sum(recall * support for recall, support in _counts(answers, said)) for said in ("before", "after")]
    if right[0] - right[1] <= 1 + 1e-9:
        return None
    return f"it is worse on the gold clips ({_points(gold.change)} points on {gold.count}), "


def _counts(answers: Answers, said: str) -> list[tuple[float, float]]:
    _, recall, support = recall_of(answers.truth, getattr(answers, said))
    return [(recall[label], support[label]) for label in recall]


def _regressions(answers: Answers, margins: Margins) -> dict[str, dict[str, float]]:
    _, before, support = recall_of(answers.truth, answers.before)
    _, after, _ = recall_of(answers.truth, answers.after)
    return {
        label: {
            "before": round(before[label], 4),
            "after": round(after[label], 4),
            "support": round(support[label], 2),
        }
        for label in before
        if before[label] - after[label] > margins.class_fall + 1e-9
    }


def _figures(found: Comparison, answers: Answers) -> str:
    count = answers.speakers
    voices = f" of {count} {'speaker' if count == 1 else 'speakers'}" if len(answers.groups) else ""
    known = "" if answers.unit == "speaker" else " that it has learnt from"
    return (
        f"{_points(found.gain)} points of unweighted average recall "
        f"[{_points(found.low)}, {_points(found.high)}] on {len(answers)} held-out clips{voices}{known}"
    )


def _standings(base: Standing | None, gold: Standing | None, margins: Margins) -> str:
    parts = []
    if base is None:
        parts.append("the base was not looked at")
    else:
        parts.append(f"{base.what} {_points(base.change)} (allowed {_points(-margins.base)})")
    if gold is not None:
        parts.append(f"{gold.what} {_points(gold.change)}")
    return ", ".join(parts)


def _needed_words(needed: Needed) -> str:
    clips = f"{needed.held_out_clips} more held-out {'clip' if needed.held_out_clips == 1 else 'clips'}"
    people = f"{needed.speakers} more {'speaker' if needed.speakers == 1 else 'speakers'}"
    return f"{clips} from at least {people} would settle it (about {needed.labelled_clips} more labelled clips)"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
