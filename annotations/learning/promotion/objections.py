"""Reasons to refuse a candidate, each the beginning of a sentence; None if there is none.

Pure: figures in, words out.
"""

import math

from annotations.learning.promotion.comparison import Answers, Comparison, recall_of
from annotations.learning.promotion.decision import Margins, PromotionRule, Standing
from annotations.learning.promotion.probability_gain import ProbabilityGain

MIN_PROBABILITY_GAIN = 0.005
"""Nats that a candidate must gain: less, however sure, is what the fit of label shares leaves over."""

MANY_GOLD = 20
"""Fewest gold clips whose log probability and calibration count; on fewer they scatter too much."""


def objection_to_gain(
    found: Comparison,
    rule: PromotionRule,
    alpha: float,
    looks: float,
    proof: Comparison | ProbabilityGain | None = None,
) -> str | None:
    """A gain that does not suffice.

    Args:
        found: the gain in recall, or the drop of the error rate.
        rule: the conditions.
        alpha: the level.
        looks: mean number of earlier comparisons on these clips.
        proof: that the gain is no chance; the comparison's own by default.
    """
    proof = proof or found.proof
    if found.gain <= 0:
        return "no better than the current model"
    if proof.low <= 0 or proof.p_value > alpha:
        again = f", on clips already used for {looks:.1f} comparisons" if looks >= 0.05 else ""
        return f"the gain may be chance{again}"
    if isinstance(proof, ProbabilityGain) and proof.gain < MIN_PROBABILITY_GAIN:
        return "the correct label gets hardly more probability"
    if found.gain < rule.min_gain:
        return f"the gain is under {100 * rule.min_gain:.0f} point"
    return None


def objection_to_calibration(standing: Standing, margins: Margins) -> str | None:
    """Calibration that is worse than the margin allows."""
    if standing.calibration is None:
        return None
    before, after = standing.calibration
    if after - max(before, standing.scatter) <= margins.calibration + 1e-9:
        return None
    return f"its confidence is worse calibrated (calibration error {before:.2f} -> {after:.2f} on the {standing.what})"


def objection_to_base(base: Standing | None, margins: Margins) -> str | None:
    """A loss of old skills."""
    # A mean that hides the loss of old skills is no gain; if there is nothing to compare, NaN objects to nothing.
    if base is None:
        return None
    if base.change < -margins.base - 1e-9:
        return f"it loses old skills ({points(base.change)} points on the {base.what})"
    return _objection_to_probability(base, margins) or objection_to_calibration(base, margins)


def objection_to_gold(gold: Standing | None, answers: Answers | None, margins: Margins) -> str | None:
    """A loss on clips of a known label."""
    if gold is None or answers is None:
        return None
    right = [sum(recall * support for recall, support in _counts(answers, said)) for said in ("before", "after")]
    if gold.change < -margins.gold - 1e-9 and right[0] - right[1] > 1 + 1e-9:
        return f"it is worse on the gold clips ({points(gold.change)} points on {gold.count})"
    if gold.count < MANY_GOLD:
        return None
    return _objection_to_probability(gold, margins) or objection_to_calibration(gold, margins)


def points(share: float) -> str:
    """Write a share as points, with its sign.

    >>> points(0.056)
    '+5.6'
    """
    return f"{100 * share:+.1f}"


def _objection_to_probability(standing: Standing, margins: Margins) -> str | None:
    if standing.log_probabilities is None:
        return None
    before, after = standing.log_probabilities
    if after - before >= -margins.log_probability - 1e-9:
        return None
    return f"the correct label gets only {math.exp(after - before):.2f}x the probability on the {standing.what}"


def _counts(answers: Answers, said: str) -> list[tuple[float, float]]:
    _, recall, support = recall_of(answers.truth, getattr(answers, said))
    return [(recall[label], support[label]) for label in recall]
