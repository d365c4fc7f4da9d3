import numpy as np
import pytest

from annotations.learning.promotion import gate
from annotations.learning.promotion.comparison import Answers, Comparison, compare, recall_of
from annotations.learning.promotion.decision import Decision, Margins, Needed, Standing
from annotations.learning.promotion.gate import PromotionRule, decide_by_answers, spend, what_is_needed
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.promotion.probability_gain import stacked
from annotations.store.records import Clip, FeedbackExample
from ser.evaluation.metrics import paired_bootstrap, uar
from ser.labels import EMOTIONS
from ser.types import EmotionScores

CONFIDENCE = {"confidence": 0.9, "min_gain": 0.01}


def decide(truth, before, after, groups, *, unit="speaker", probabilities=None, **given) -> Decision:
    answers = Answers(truth, before, after, groups, unit, probabilities=probabilities)
    tests = {name: given.pop(name) for name in ("base", "gold", "looks", "hints") if name in given}
    return gate.decide(answers, PromotionRule(**given), **tests)


def answers(truth: list[str], accuracy: float, seed: int) -> list[str]:
    """Right with the given probability, otherwise drawn from all labels."""
    rng = np.random.default_rng(seed)
    return [label if rng.random() < accuracy else str(rng.choice(EMOTIONS)) for label in truth]


TRUTH = [EMOTIONS[n % 7] for n in range(84)]
GROUPS = [f"speaker {n // 7 % 6}" for n in range(84)]
TWELVE = [f"speaker {n % 12}" for n in range(84)]


def test_a_clearly_better_model_is_promoted() -> None:
    decision = decide(TRUTH, answers(TRUTH, 0.3, 0), answers(TRUTH, 0.9, 1), GROUPS, **CONFIDENCE)
    assert decision.promoted
    assert decision.gain > 0.3 and decision.low > 0
    assert decision.reason.startswith("Promoted: +")
    assert decision.metrics()["before"] == decision.before


def test_the_same_answers_are_refused() -> None:
    same = answers(TRUTH, 0.5, 0)
    decision = decide(TRUTH, same, same, GROUPS, **CONFIDENCE)
    assert not decision.promoted and decision.gain == 0.0
    assert decision.reason == (
        "Refused: no better than the current model, "
        "+0.0 points of unweighted average recall [+0.0, +0.0] on 84 held-out clips of 6 speakers; "
        "old skills were not tested."
    )


def test_a_worse_model_is_refused() -> None:
    assert not decide(TRUTH, TRUTH, answers(TRUTH, 0.5, 0), GROUPS, **CONFIDENCE).promoted


def test_a_gain_that_may_be_chance_is_refused() -> None:
    before = answers(TRUTH, 0.5, 0)
    wrong = next(i for i, label in enumerate(TRUTH) if before[i] != label)
    after = [*before[:wrong], TRUTH[wrong], *before[wrong + 1 :]]
    decision = decide(TRUTH, before, after, GROUPS, confidence=0.9, min_gain=0.0)
    assert decision.gain > 0 and not decision.promoted
    assert "may be chance" in decision.reason


def test_a_sure_but_tiny_gain_is_refused() -> None:
    decision = decide(TRUTH, answers(TRUTH, 0.3, 0), answers(TRUTH, 0.9, 1), GROUPS, confidence=0.9, min_gain=0.95)
    assert not decision.promoted and "the gain is under 95 point" in decision.reason


def test_models_that_differ_by_chance_are_seldom_promoted() -> None:
    rounds = 40
    promoted = sum(
        decide(TRUTH, answers(TRUTH, 0.4, 2 * n), answers(TRUTH, 0.4, 2 * n + 1), GROUPS, **CONFIDENCE).promoted
        for n in range(rounds)
    )
    assert promoted / rounds <= 0.2


def test_figures_name_only_labels_that_occur() -> None:
    decision = decide(["anger", "fear"], ["anger", "anger"], ["anger", "fear"], ["a", "b"], **CONFIDENCE)
    assert decision.before["recall"] == {"anger": 1.0, "fear": 0.0}
    assert decision.before["uar"] == 0.5 and decision.after["uar"] == pytest.approx(1.0)


def test_figures_on_known_voices_say_so() -> None:
    decision = decide(TRUTH, answers(TRUTH, 0.3, 0), TRUTH, GROUPS, **CONFIDENCE, unit="session")
    assert "on 84 held-out clips of 6 speakers that it was trained on; " in decision.reason


def test_the_interval_is_that_of_the_paired_bootstrap_of_hard_labels() -> None:
    before, after = answers(TRUTH, 0.4, 0), answers(TRUTH, 0.6, 1)
    for groups in (TWELVE, []):
        ours = compare(Answers(TRUTH, before, after, groups), 0.05, resamples=500, seed=3)
        theirs = paired_bootstrap(
            TRUTH, before, after, EMOTIONS, groups=groups or None, level=0.9, resamples=500, seed=3
        )
        assert (ours.gain, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))


def test_few_speakers_are_not_drawn_whole() -> None:
    assert compare(Answers(TRUTH, TRUTH, TRUTH, GROUPS), 0.05).drawn == "clips"
    assert compare(Answers(TRUTH, TRUTH, TRUTH, TWELVE), 0.05).drawn == "speakers"


def test_recall_of_soft_labels_counts_each_label_with_its_share() -> None:
    value, recall, support = recall_of([{"fear": 0.75, "sadness": 0.25}, "sadness"], ["fear", "sadness"])
    assert support == {"fear": 0.75, "sadness": 1.25}
    assert recall == {"fear": 1.0, "sadness": 0.8} and value == pytest.approx(0.9)
    hard = answers(TRUTH, 0.5, 0)
    assert recall_of(TRUTH, hard)[0] == pytest.approx(uar(TRUTH, hard, EMOTIONS))


def test_a_model_that_forgets_is_refused_however_well_it_learns() -> None:
    before, better = answers(TRUTH, 0.3, 0), answers(TRUTH, 0.9, 1)
    forgets = Standing("base test", 0.80, 0.785, 1400)
    refused = decide(TRUTH, before, better, GROUPS, **CONFIDENCE, base=forgets)
    assert not refused.promoted
    assert refused.reason.startswith("Refused: it loses old skills (-1.5 points on the base test), ")
    allowed = decide(TRUTH, before, better, GROUPS, **CONFIDENCE, base=forgets, margins=Margins(base=0.02))
    assert allowed.promoted and "base test -1.5 (limit -2.0)" in allowed.reason
    assert allowed.metrics()["base"] == {"what": "base test", "count": 1400, "before": 0.8, "after": 0.785}


def test_base_answers_item_by_item_are_as_good_as_their_figures() -> None:
    base = Answers(TRUTH, TRUTH, answers(TRUTH, 0.5, 5))
    decision = decide(TRUTH, answers(TRUTH, 0.3, 0), TRUTH, GROUPS, **CONFIDENCE, base=base)
    assert not decision.promoted and decision.base is not None and decision.base.count == 84


def test_gold_clips_must_not_be_lost_but_one_of_them_is_no_proof() -> None:
    before, better = answers(TRUTH, 0.3, 0), answers(TRUTH, 0.9, 1)
    known = ["anger", "fear", "sadness", "anger", "fear", "sadness"]
    one = Answers(known, known, ["fear", *known[1:]])
    two = Answers(known, known, ["fear", "anger", *known[2:]])
    assert decide(TRUTH, before, better, GROUPS, **CONFIDENCE, gold=one).promoted
    refused = decide(TRUTH, before, better, GROUPS, **CONFIDENCE, gold=two)
    assert not refused.promoted and "it is worse on the gold clips (-33.3 points on 6)" in refused.reason


def test_a_label_that_falls_is_reported() -> None:
    before = [label if label == "fear" else "neutral" for label in TRUTH]
    after = ["anger" if label == "fear" else label for label in TRUTH]
    decision = decide(TRUTH, before, after, GROUPS, **CONFIDENCE)
    assert decision.promoted and decision.reason.endswith("recall falls for fear -100.0.")
    assert decision.metrics()["regressions"] == {"fear": {"before": 1.0, "after": 0.0, "support": 12.0}}


def test_what_is_needed_is_enough_where_the_gain_stays_as_it_is() -> None:
    truth = [EMOTIONS[n % 7] for n in range(42)]
    before = ["anger" if n % 3 else truth[n] for n in range(42)]
    after = [*before]
    for n in (1, 4, 10, 16):
        after[n] = truth[n]
    after[0] = "disgust"
    few = decide(truth, before, after, ["ann"] * 42, confidence=0.99, min_gain=0.01)
    assert not few.promoted and few.needed is not None
    assert f"{few.needed.held_out_clips} more held-out clips from at least 1 more speaker" in few.reason
    times = -(-(42 + few.needed.held_out_clips) // 42)
    many = decide(truth * times, before * times, after * times, ["ann"] * 42 * times, confidence=0.99, min_gain=0.01)
    assert many.promoted and many.needed is None


def test_speakers_are_asked_for_where_speakers_are_drawn() -> None:
    found = Comparison(0.04, -0.01, 0.09, 0.1, "speakers")
    needed = what_is_needed(found, clips=60, speakers=6, alpha=0.05, min_gain=0.01)
    assert needed == Needed(held_out_clips=49, speakers=4, labelled_clips=164)
    assert what_is_needed(Comparison(-0.01, -0.1, 0.1, 0.6, "clips"), 60, 6, 0.05, 0.01) is None


def test_looking_again_and_again_takes_ever_less_and_never_more_than_promised() -> None:
    assert spend(0.05, 0) == 0.05
    assert sum(spend(0.05, looks) for looks in range(10_000)) < 1.65 * 0.05
    before = answers(TRUTH, 0.5, 0)
    wrong = [i for i, label in enumerate(TRUTH) if before[i] != label][:6]
    after = [label if i in wrong else before[i] for i, label in enumerate(TRUTH)]
    first = decide(TRUTH, before, after, ["s"] * 84, confidence=0.95, min_gain=0.01)
    third = decide(TRUTH, before, after, ["s"] * 84, confidence=0.95, min_gain=0.01, looks=2)
    assert first.promoted and not third.promoted
    assert "on clips already used for 2.0 comparisons" in third.reason


def test_gold_clips_are_compared_apart() -> None:
    def example(number: int, label: str) -> FeedbackExample:
        clip = Clip(number, f"{number:064x}", "", 1.0, "ann", "page", None, ("training",), "t")
        return FeedbackExample(clip, {label: 1.0}, 1, f"speaker {number % 6}", ())

    held = tuple(example(n, TRUTH[n]) for n in range(84))
    gold = (example(100, "fear"), example(101, "anger"))
    old = stacked([scores("anger", 0.4)] * 86)
    new = stacked([scores(label, 0.95) for label in (*TRUTH[:84], "fear", "anger")])
    decision = decide_by_answers(Holdout((), held, "speaker", 6, gold=gold), old, new, PromotionRule(0.9))
    assert decision.promoted
    gold = decision.gold
    assert gold is not None and (gold.before, gold.after, gold.count) == (0.5, 1.0, 2)
    assert decision.before["clips"] == 84
    assert decision.probability is not None and decision.probability.low > 0.5
    assert decision.metrics()["probability"] == decision.probability.as_dict()
    assert "the correct label gets " in decision.reason


def scores(label: str, chance: float) -> EmotionScores:
    """One label of that chance, the others alike."""
    return EmotionScores(tuple(chance if name == label else (1 - chance) / 6 for name in EMOTIONS))


def drawn(seed: int, signal: float, clips: int = 42) -> np.ndarray:
    """Probabilities that know as much of `TRUTH` as the signal is strong."""
    logits = np.random.default_rng(seed).normal(size=(clips, 7))
    logits[np.arange(clips), [EMOTIONS.index(label) for label in TRUTH[:clips]]] += signal
    return softmax(logits)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def said(probabilities: np.ndarray) -> list[str]:
    return [EMOTIONS[place] for place in probabilities.argmax(1)]


def by_probability(before: np.ndarray, after: np.ndarray, confidence: float = 0.95, looks: float = 0.0) -> Decision:
    count = len(before)
    given = TRUTH[:count], said(before), said(after), GROUPS[:count]
    return decide(*given, confidence=confidence, min_gain=0.01, probabilities=(before, after), looks=looks)


def test_probabilities_settle_what_labels_leave_open() -> None:
    """Of small gains the labels alone show one in three or fewer; the probabilities most."""
    by_labels = by_both = 0
    for seed in range(30):
        before = drawn(seed, 0.8)
        # It learns: further evidence for what is true, on top of what was known.
        after = softmax(np.log(before) + 0.5 * np.log(drawn(1000 + seed, 1.0)))
        by_both += by_probability(before, after).promoted
        by_labels += decide(TRUTH[:42], said(before), said(after), GROUPS[:42], confidence=0.95, min_gain=0.01).promoted
    assert by_both >= by_labels + 5


def test_equal_models_are_as_seldom_promoted_by_probabilities() -> None:
    promoted = sum(by_probability(drawn(n, 0.8), drawn(500 + n, 0.8)).promoted for n in range(60))
    assert promoted <= 6


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_being_more_or_less_sure_alone_is_no_gain(temperature: float) -> None:
    before = drawn(3, 0.8)
    after = softmax(np.log(before) / temperature)
    decision = by_probability(before, after)
    assert not decision.promoted and decision.probability is not None
    assert decision.probability.gain == pytest.approx(0.0, abs=1e-4)
    # One clip more that is right does not make it a proof either.
    wrong = next(place for place in range(42) if said(after)[place] != TRUTH[place])
    lucky = after.copy()
    lucky[wrong] = np.eye(7)[EMOTIONS.index(TRUTH[wrong])] * 0.3 + 0.1
    found = by_probability(before, lucky)
    assert found.gain > 0.01 and not found.promoted and "may be chance" in found.reason


def test_better_probabilities_without_better_labels_are_refused() -> None:
    before = drawn(3, 1.0)
    truth = np.eye(7)[[EMOTIONS.index(label) for label in TRUTH[:42]]]
    # What is true gains where it stays second all the same.
    right = np.array([label == name for label, name in zip(said(before), TRUTH, strict=False)])
    after = before.copy()
    room = before.max(1) - (before * truth).sum(1)
    after += np.where(right[:, None], 0.0, 0.9 * room[:, None] * truth)
    after /= after.sum(1, keepdims=True)
    decision = by_probability(before, after)
    assert decision.probability is not None and decision.probability.p_value < 0.01
    assert decision.gain == 0.0 and not decision.promoted and "no better than the current model" in decision.reason


def test_what_is_needed_follows_from_the_probabilities() -> None:
    refused = next(
        found
        for seed in range(200)
        if (found := by_probability(drawn(seed, 0.8), drawn(900 + seed, 1.0), 0.99)).needed and found.gain > 0.01
    )
    proof, needed = refused.probability, refused.needed
    assert proof is not None and needed is not None and not refused.promoted
    assert f"{needed.held_out_clips} more held-out clip" in refused.reason
    found = Comparison(refused.gain, refused.low, refused.high, 0.4, "clips", proof)
    assert what_is_needed(found, 42, 6, 0.01, 0.01) == needed


def test_knowing_which_labels_occur_is_no_gain() -> None:
    """A candidate that has the label shares of the store on top of what was known, and nothing else."""
    truth = [label for label in TRUTH if label in ("anger", "neutral", "sadness")] * 3
    logits = np.random.default_rng(1).normal(size=(len(truth), 7))
    logits[np.arange(len(truth)), [EMOTIONS.index(label) for label in truth]] += 1.0
    before = softmax(logits)
    prior = np.array([0.33 if label in truth else 0.002 for label in EMOTIONS])
    after = before * prior / (before * prior).sum(1, keepdims=True)
    groups = [f"speaker {n % 6}" for n in range(len(truth))]
    decision = decide(truth, said(before), said(after), groups, **CONFIDENCE, probabilities=(before, after))
    assert decision.gain > 0.05 and not decision.promoted
    assert decision.voice_gain == pytest.approx(0.0, abs=0.02)
    # What the recording's channel gives away is known to both as well.
    hint = np.log(softmax(np.eye(7)[[EMOTIONS.index(label) for label in truth]] * 2.0 + 0.3 * logits[::-1]))
    channel = softmax(1.6 * (np.log(after) + hint))
    given = truth, said(before), said(channel), groups
    assert decide(*given, **CONFIDENCE, probabilities=(before, channel)).promoted
    assert not decide(*given, **CONFIDENCE, probabilities=(before, channel), hints={"words": hint}).promoted


def test_exchanged_labels_are_refused_by_name() -> None:
    before = drawn(3, 2.0, 84)
    swap = {"anger": "fear", "fear": "anger"}
    truth = [swap.get(label, label) for label in TRUTH]
    after = softmax(np.eye(7)[[EMOTIONS.index(label) for label in truth]] * 3.0)
    decision = decide(truth, said(before), said(after), GROUPS, **CONFIDENCE, probabilities=(before, after))
    assert not decision.promoted and decision.metrics()["exchange"] == swap
    assert "the votes seem to call fear anger, anger fear" in decision.reason
    honest = decide(TRUTH, said(before), said(before), GROUPS, **CONFIDENCE, probabilities=(before, before))
    assert honest.exchange is None


def test_a_candidate_that_is_sure_without_reason_is_refused() -> None:
    before = drawn(3, 1.0, 84)
    after = softmax(8.0 * np.log(drawn(4, 1.8, 84)))
    decision = decide(TRUTH, said(before), said(after), GROUPS, **CONFIDENCE, probabilities=(before, after))
    assert decision.gain > 0.05 and not decision.promoted
    assert "its confidence is worse calibrated" in decision.reason


def test_what_the_channel_explains_as_well_is_refused() -> None:
    # At these powers they are as sure as they should be.
    before, after = (softmax(signal * np.log(drawn(seed, signal, 84))) for seed, signal in ((3, 0.5), (4, 1.8)))
    given = TRUTH, said(before), said(after), GROUPS
    assert decide(*given, **CONFIDENCE, probabilities=(before, after)).promoted
    channel = {"channel": np.log(drawn(5, 3.0, 84))}
    refused = decide(*given, **CONFIDENCE, probabilities=(before, after), hints=channel)
    assert not refused.promoted
    nothing = {"channel": np.log(drawn(5, 0.0, 84))}
    assert decide(*given, **CONFIDENCE, probabilities=(before, after), hints=nothing).promoted
