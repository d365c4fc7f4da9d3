"""Drift: a shift is found, a store in which nothing changes raises few alarms, and Train shows the notice."""

import numpy as np
import pytest

from annotations.learning.drift import BLOCK, BLOCKS, LEVEL, Drift, compare, read_drift
from annotations.store import NewVote
from ser.testing import fake_recognizer, synthetic_speech
from ui.backend.services import Services
from ui.train.tab import Shown, TrainHandlers

CLIPS = BLOCK * (BLOCKS + 1)


def period(rng: np.random.Generator, shift: float = 0.0, voices: int = 110) -> Drift:
    """Clips of speakers who differ from each other much more than their own clips do; the newest block shifted."""
    per_voice = CLIPS // voices
    recent = np.arange(CLIPS) < BLOCK
    voice = np.arange(CLIPS) // per_voice
    rate = rng.beta(2, 4, voices)[voice] * (1 - shift) + shift * recent
    corrected = np.where(rng.random(CLIPS) < 0.8, (rng.random(CLIPS) < rate).astype(float), np.nan)
    mixes = rng.dirichlet(np.ones(7), voices)[voice]
    labels = (mixes.cumsum(axis=1) > rng.random(CLIPS)[:, None]).argmax(axis=1)
    labels = np.where(recent & (rng.random(CLIPS) < shift), 0, labels)
    vectors = rng.normal(size=(voices, 16))[voice] + 0.3 * rng.normal(size=(CLIPS, 16)) + 3 * shift * recent[:, None]
    kept = np.ones(CLIPS, dtype=bool)
    return compare(recent, [str(one) for one in voice], corrected, np.eye(7)[labels], (kept, vectors))


def false_alarms(count: int, seed: int) -> float:
    """Share of simulated blocks, in which nothing has changed, that raise an alarm."""
    rng = np.random.default_rng(seed)
    return float(np.mean([any(period(rng).flags().values()) for _ in range(count)]))


def test_a_shift_is_found_and_named() -> None:
    rng = np.random.default_rng(5)
    found = [period(rng, shift=0.6) for _ in range(5)]
    assert all(drift.flags() == dict.fromkeys(("corrections", "labels", "embeddings"), True) for drift in found)
    assert "people correct the answers" in found[0].sentences()[0].lower() and "%" in found[0].sentences()[0]


def test_nothing_that_changed_raises_few_alarms() -> None:
    # At 1 % more than two of 40 are raised in one case of 150.
    assert false_alarms(40, seed=1) <= 5 * LEVEL


@pytest.mark.slow
def test_the_false_alarm_rate_is_the_level() -> None:
    assert false_alarms(1000, seed=2) <= 2 * LEVEL


def test_too_few_voices_are_not_compared() -> None:
    recent = np.arange(20) < 10
    nothing = (np.zeros(20, dtype=bool), np.zeros((0, 4)))
    assert compare(recent, ["ann", "bob"] * 10, np.ones(20), np.eye(7)[np.zeros(20, int)], nothing).p_values == {}


def test_train_shows_what_drifted(page_services: Services) -> None:
    store, version = page_services.store, page_services.store.active_version().id
    assert read_drift(store) == Drift()
    audio = synthetic_speech(0.3, seed=1)
    answer = fake_recognizer().recognize(synthetic_speech(0.6, seed=1))
    for number in range(2 * BLOCK):
        changed = type(audio)(np.roll(audio.signal, number))
        clip = store.add_clip(changed, source="page", speaker=f"speaker {number // 4}", consent=("training",))
        prediction = store.add_prediction(clip.id, answer, version)
        late = number >= BLOCK
        vote = NewVote("ann", "correct", label="fear") if late else NewVote("ann", "accept", label=answer.label)
        store.add_correction(clip.id, vote, prediction_id=prediction.id)
    drift = read_drift(store)
    assert drift.clips == BLOCK and drift.before == BLOCK
    assert drift.flags() == {"corrections": True, "labels": False, "embeddings": False}
    shown = TrainHandlers(page_services).on_tick(Shown({}, "quick", "acoustic"))
    assert "0% to 100%" in str(shown.feedback) and "correct the answers" in str(shown.feedback)
