import numpy as np
import pytest

from annotations.learning.gate import decide
from ser.labels import EMOTIONS

CONFIDENCE = {"confidence": 0.9, "min_gain": 0.01}


def answers(truth: list[str], accuracy: float, seed: int) -> list[str]:
    """Right with the given probability, otherwise drawn from all labels."""
    rng = np.random.default_rng(seed)
    return [label if rng.random() < accuracy else str(rng.choice(EMOTIONS)) for label in truth]


TRUTH = [EMOTIONS[n % 7] for n in range(84)]
GROUPS = [f"speaker {n // 7 % 6}" for n in range(84)]


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
        "Refused: no better than the model in use, "
        "+0.0 points of unweighted average recall [+0.0, +0.0] on 84 held-out clips."
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
    assert decision.reason.endswith("on 84 held-out clips of speakers it has learnt from.")
