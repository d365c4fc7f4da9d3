"""The gate: the one rule that decides if a candidate may replace the current model.

Pure: predictions in, decision out. Knows no model and no database.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from types import MappingProxyType

import numpy as np

from annotations.learning.promotion.comparison import Answers, Array, Comparison, compare, recall_of, shares_of
from annotations.learning.promotion.confounds import CHANNEL
from annotations.learning.promotion.decision import (
    Decision,
    Margins,
    Needed,
    PromotionRule,
    Standing,
    figures_of,
)
from annotations.learning.promotion.holdout import HELD_OUT_SHARE, Holdout
from annotations.learning.promotion.label_knowledge import Exchange, adjust, find_exchange
from annotations.learning.promotion.objections import (
    objection_to_base,
    objection_to_calibration,
    objection_to_gain,
    objection_to_gold,
    points,
)
from annotations.learning.promotion.probability_gain import mean_log_probability
from ser.labels import EMOTIONS

__all__ = ["Decision", "PromotionRule", "Standing", "decide", "decide_by_answers", "spend", "what_is_needed"]

NO_BASE_TEST = "old skills were not tested"


@dataclass(frozen=True)
class OtherMeasure:
    """A finding on another measure of the same predictions, such as cross entropy.

    Attributes:
        words: the finding, reported with the decision.
        suffices: True if it replaces the gain in recall, as long as recall drops by no more than the base margin.
        objection: reason to refuse the candidate whatever its recall; None if there is none.
    """

    words: str
    suffices: bool = False
    objection: str | None = None


def decide(
    answers: Answers,
    rule: PromotionRule = PromotionRule(),  # noqa: B008  # Frozen: one default for all calls.
    *,
    base: Standing | Answers | None = None,
    gold: Answers | None = None,
    looks: float = 0.0,
    other: OtherMeasure | None = None,
    hints: Mapping[str, Array] = MappingProxyType({}),
) -> Decision:
    """Compare a candidate with the current model.

    The candidate is promoted if its gain in unweighted average recall on held-out feedback is at least `min_gain`; if
    the gain is no chance: above zero in all but a share `alpha` of the paired bootstrap's draws, and no likelier than
    `alpha` between equal models by the randomisation test of `compare`; and if neither recall, nor log probability, nor
    calibration is worse on the base test and on gold clips beyond the margins. If probabilities are known, both models
    first get the same knowledge of which labels occur and how often (`label_knowledge.adjust`): the candidate must
    still gain in recall, and its gain in the probability of the correct label must be no chance; its confidence must
    be no worse calibrated; and the votes must not look as if labels had changed names.

    The first comparison on some clips has `alpha = 1 - confidence`; each later one on the same clips has less (see
    `spend`), so that trying again and again does not promote by luck in the end.

    Args:
        answers: of both models on the held-out clips.
        rule: the conditions.
        base: the base test; None if it was not run, and the decision says so.
        gold: clips of a known label that nothing was trained on; None or empty if there are none.
        looks: mean number of earlier comparisons on the held-out clips.
        other: a further measure that has a say.
        hints: {name: log probabilities} of the labels by confounds, as `confounds.find_confounds` gives them:
            both models are given. If the `CHANNEL` alone explains the votes as well as the candidate does, that is what
            it was trained to recognise, and it is refused.

    Returns:
        The decision with its figures.

    >>> truth, speakers = ["anger", "fear"] * 20, ["s"] * 40
    >>> decide(Answers(truth, ["anger"] * 40, truth, speakers), PromotionRule(0.9)).promoted
    True
    >>> decide(Answers(truth, truth, truth, speakers), PromotionRule(0.9)).promoted
    False
    """
    alpha = spend(1 - rule.confidence, looks)
    plain = compare(replace(answers, probabilities=None), alpha, seed=rule.seed)
    equal = _equally_informed(answers, hints)
    found = plain if equal is None else compare(equal, alpha, seed=rule.seed)
    exchange = None if equal is None else _exchange(answers)
    held_out = Standing.of("held-out clips", answers)
    tested = Standing.of("base test", base) if isinstance(base, Answers) else base
    marked = Standing.of("gold clips", gold) if gold is not None and len(gold) else None
    objection = (
        _objection(plain, found, rule, alpha, looks, other)
        or (exchange.words() if exchange is not None else None)
        or _objection_to_channel(answers, hints)
        or objection_to_calibration(held_out, rule.margins)
        or objection_to_base(tested, rule.margins)
        or objection_to_gold(marked, gold, rule.margins)
    )
    needed = what_is_needed(found, len(answers), answers.speakers, alpha, rule.min_gain) if objection else None
    drops = _recall_drops(answers, rule.margins)
    before, after = (
        figures_of(
            answers.truth,
            said,
            None if answers.probabilities is None else answers.probabilities[place],
            answers.labels,
        )
        for place, said in enumerate((answers.before, answers.after))
    )
    findings = _findings((plain, found), answers, other, (tested, marked), rule.margins, needed, drops)
    return Decision(
        promoted=objection is None,
        reason=reason_of(objection, findings),
        before=before,
        after=after,
        gain=plain.gain,
        low=plain.low,
        high=plain.high,
        p_value=found.proof.p_value,
        alpha=alpha,
        looks=looks,
        unit=answers.unit,
        speakers=answers.speakers,
        base=tested,
        gold=marked,
        regressions=drops,
        needed=needed,
        probability=found.probability,
        voice_gain=None if equal is None else found.gain,
        exchange=exchange,
    )


def _equally_informed(answers: Answers, hints: Mapping[str, Array]) -> Answers | None:
    """Give both models the same knowledge of which labels occur; None if only labels are known."""
    if answers.probabilities is None:
        return None
    shares = shares_of(answers.truth, answers.labels)
    before, after = (adjust(rows, shares, [*hints.values()]) for rows in answers.probabilities)
    old, new = ([answers.labels[place] for place in rows.argmax(1)] for rows in (before, after))
    return replace(answers, before=old, after=new, probabilities=(before, after))


def _objection_to_channel(answers: Answers, hints: Mapping[str, Array]) -> str | None:
    if answers.probabilities is None or CHANNEL not in hints:
        return None
    shares = shares_of(answers.truth, answers.labels)
    channel, after = (
        mean_log_probability(adjust(rows, shares), shares)
        for rows in (np.exp(hints[CHANNEL]), answers.probabilities[1])
    )
    return "the channel of the recordings alone predicts the labels as well" if channel >= after else None


def _exchange(answers: Answers) -> Exchange | None:
    assert answers.probabilities is not None
    return find_exchange(answers.probabilities[0], shares_of(answers.truth, answers.labels), answers.labels)


def decide_by_answers(
    holdout: Holdout,
    before: Array,
    after: Array,
    rule: PromotionRule = PromotionRule(),  # noqa: B008  # Frozen: one default for all calls.
    *,
    base: Standing | Answers | None = None,
    hints: Mapping[str, Array] = MappingProxyType({}),
    other: OtherMeasure | None = None,
    labels: Sequence[str] = EMOTIONS,
) -> Decision:
    """Decide by two models' predictions for the clips that a run held out, and for gold clips.

    Args:
        holdout: as `annotations.learning.promotion.holdout_store.hold_out` gives it.
        before: probabilities by the current model, of the held-out clips and then the gold ones, shape (clips, labels).
        after: the same by the candidate.
        rule: the conditions.
        base: as in `decide`.
        hints: see there.
        other: see there.
        labels: of the columns.
    """
    count = len(holdout.held_out)
    old, new = ([labels[place] for place in rows.argmax(axis=1)] for rows in (before, after))
    held_out, gold = (
        Answers(
            [e.soft_label for e in examples],
            old[part],
            new[part],
            [e.group for e in examples],
            holdout.unit,
            probabilities=(before[part], after[part]),
            labels=labels,
        )
        for examples, part in ((holdout.held_out, slice(count)), (holdout.gold, slice(count, None)))
    )
    return decide(held_out, rule, base=base, gold=gold, looks=holdout.looks, other=other, hints=hints)


def spend(alpha: float, looks: float) -> float:
    """Compute the level of a comparison after so many earlier ones on the same clips.

    The first takes all of `alpha`, the k-th `alpha / k**2`: however many follow, together they take at most
    1.65 times `alpha`. Clips that were not used yet bring the mean number of looks down, and so the level up.
    Source: the union bound over 1/k**2, whose sum is pi**2 / 6; as in Foster & Stine 2008, "Alpha-investing",
    https://doi.org/10.1111/j.1467-9868.2007.00643.x, the level is spent as one looks.

    >>> [round(spend(0.05, looks), 4) for looks in (0, 0.5, 1, 2)]
    [0.05, 0.0222, 0.0125, 0.0056]
    """
    return alpha / (1 + looks) ** 2


def what_is_needed(found: Comparison, clips: int, speakers: int, alpha: float, min_gain: float) -> Needed | None:
    """Estimate how many more held-out clips would settle a gain of the size that was seen.

    The interval narrows with the root of the number of what is drawn: a gain g whose lower end is w below it needs
    (w / g)**2 times as many. None if the gain is not above zero or too small, as no number would settle that, or if
    nothing is missing.

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


def reason_of(objection: str | None, findings: Sequence[str]) -> str:
    """Put a verdict and its findings into a sentence.

    >>> reason_of("the gain may be chance", ["+1.0 points of recall", "old skills were not tested"])
    'Refused: the gain may be chance, +1.0 points of recall; old skills were not tested.'
    """
    verdict = "Promoted: " if objection is None else f"Refused: {objection}, "
    return f"{verdict}{'; '.join(finding for finding in findings if finding)}."


def needed_words(needed: Needed | None) -> str:
    """Say what would settle a gain that may be chance; empty if nothing would."""
    if needed is None:
        return ""
    clips = f"{needed.held_out_clips} more held-out {'clip' if needed.held_out_clips == 1 else 'clips'}"
    people = f"{needed.speakers} more {'speaker' if needed.speakers == 1 else 'speakers'}"
    count = needed.labelled_clips
    return (
        f"{clips} from at least {people} would settle it (about {count} more labelled clip{'' if count == 1 else 's'})"
    )


def _roots_missing(p_value: float, alpha: float) -> float:
    """The distance of the gain from what the randomisation test asks for, in standard errors: 2 is half of it."""
    reached = NormalDist().inv_cdf(1 - min(p_value, 0.45))
    return NormalDist().inv_cdf(1 - alpha) / reached


def _objection(
    plain: Comparison, found: Comparison, rule: PromotionRule, alpha: float, looks: float, other: OtherMeasure | None
) -> str | None:
    if other is not None and other.objection is not None:
        return other.objection
    if other is not None and other.suffices and plain.gain >= -rule.margins.base - 1e-9:
        return None
    if found is not plain and plain.gain > 0 and (found.gain < -rule.margins.recall or found.proof.gain <= 0):
        return "all that it gains is which labels occur"
    return objection_to_gain(plain, rule, alpha, looks, found.proof)


def _recall_drops(answers: Answers, margins: Margins) -> dict[str, dict[str, float]]:
    _, before, support = recall_of(answers.truth, answers.before, answers.labels)
    _, after, _ = recall_of(answers.truth, answers.after, answers.labels)
    return {
        label: {
            "before": round(before[label], 4),
            "after": round(after[label], 4),
            "support": round(support[label], 2),
        }
        for label in before
        if before[label] - after[label] > margins.recall_drop + 1e-9
    }


def _findings(
    compared: tuple[Comparison, Comparison],
    answers: Answers,
    other: OtherMeasure | None,
    standings: tuple[Standing | None, Standing | None],
    margins: Margins,
    needed: Needed | None,
    drops: dict[str, dict[str, float]],
) -> list[str]:
    """The parts of a reason, each a phrase or empty."""
    (plain, found), count = compared, answers.speakers
    speakers = f" of {count} {'speaker' if count == 1 else 'speakers'}" if len(answers.groups) else ""
    known = "" if answers.unit == "speaker" else " that it was trained on"
    base, gold = standings
    tested = NO_BASE_TEST if base is None else f"{base.what} {points(base.change)} (limit {points(-margins.base)})"
    falls = ", ".join(f"{label} {points(fall['after'] - fall['before'])}" for label, fall in drops.items())
    return [
        f"{points(plain.gain)} points of unweighted average recall "
        f"[{points(plain.low)}, {points(plain.high)}] on {len(answers)} held-out clips{speakers}{known}",
        _learnt_words(found) if found is not plain else "",
        other.words if other is not None else "",
        tested + (f", {gold.what} {points(gold.change)}" if gold is not None else ""),
        needed_words(needed) if found.gain > 0 else "",
        f"recall falls for {falls}" if falls else "",
    ]


def _learnt_words(found: Comparison) -> str:
    known = f"{points(found.gain)} if both know which labels occur"
    return "; ".join([known, *([found.probability.words()] if found.probability is not None else [])])
