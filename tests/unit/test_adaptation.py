"""Fitting answers to a speaker: what is taken out, what stays, and what happens at the edges."""

import numpy as np
import pytest

from ser.adaptation import SpeakerProfile, adapt_recognitions, adapt_to_speakers
from ser.labels import EMOTIONS
from ser.testing import fake_recognizer, synthetic_speech
from ser.types import EmotionScores


def answers_of(bias: np.ndarray, feelings: list[int], generator: np.random.Generator) -> list[EmotionScores]:
    """Answers of a model that hears the feeling, and the voice's bias on top of it."""
    logits = generator.normal(0.0, 0.5, (len(feelings), len(EMOTIONS))) + bias
    logits[np.arange(len(feelings)), feelings] += 2.0
    odds = np.exp(logits)
    return [EmotionScores(tuple(row)) for row in (odds / odds.sum(1, keepdims=True)).tolist()]


def test_a_biased_voice_is_heard_better_when_it_is_known() -> None:
    generator = np.random.default_rng(0)
    feelings = [n % len(EMOTIONS) for n in range(70)]
    bias = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0])
    plain = answers_of(bias, feelings, generator)
    truth = [EMOTIONS[feeling] for feeling in feelings]

    def right(scores: list[EmotionScores]) -> float:
        return float(np.mean([score.label == label for score, label in zip(scores, truth, strict=True)]))

    by_clips = {clips: right(adapt_to_speakers(plain, ["ann"] * 70, clips)) for clips in (1, 4, 16)}
    assert right(plain) < 0.5 < 0.85 < by_clips[16]
    assert by_clips[1] < by_clips[4] < by_clips[16]


def test_an_unbiased_voice_loses_nothing() -> None:
    generator = np.random.default_rng(1)
    feelings = [n % len(EMOTIONS) for n in range(70)]
    plain = answers_of(np.zeros(len(EMOTIONS)), feelings, generator)
    adapted = adapt_to_speakers(plain, ["ann"] * 70, 16)
    agreement = np.mean([a.label == b.label for a, b in zip(plain, adapted, strict=True)])
    assert agreement > 0.9


def test_labels_that_the_model_does_not_know_stay_out() -> None:
    scores = [EmotionScores.from_dict({"anger": 0.7, "sadness": 0.3})] * 5
    profile = SpeakerProfile.from_scores(scores)
    adapted = profile.adapt(EmotionScores.from_dict({"anger": 0.5, "sadness": 0.5}))
    assert adapted.as_dict()["fear"] == 0.0
    assert adapted.label == "sadness"


def test_a_speakers_only_clip_keeps_its_answer_and_others_are_not_mixed_in() -> None:
    loud = EmotionScores.from_dict({"anger": 0.9, "sadness": 0.1})
    quiet = EmotionScores.from_dict({"anger": 0.1, "sadness": 0.9})
    assert adapt_to_speakers([loud, quiet], ["ann", "bob"], 4) == [loud, quiet]


def test_a_seed_fixes_the_draws() -> None:
    generator = np.random.default_rng(2)
    plain = answers_of(np.zeros(len(EMOTIONS)), [n % 7 for n in range(20)], generator)
    speakers = ["ann", "bob"] * 10
    assert adapt_to_speakers(plain, speakers, 2, seed=5) == adapt_to_speakers(plain, speakers, 2, seed=5)
    assert adapt_to_speakers(plain, speakers, 2, seed=5) != adapt_to_speakers(plain, speakers, 2, seed=6)


def test_a_profile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one clip, and 0 were given"):
        SpeakerProfile.from_scores([])


def test_recordings_of_one_person_are_adapted_by_each_other() -> None:
    recognizer = fake_recognizer()
    answers = [recognizer.recognize(synthetic_speech(0.6 + 0.3 * n, seed=n)) for n in range(3)]
    adapted = adapt_recognitions(answers)
    plain = [answer.acoustic for answer in answers]
    expected = SpeakerProfile.from_scores(plain[1:]).adapt(plain[0])
    assert adapted[0].acoustic.probabilities == pytest.approx(expected.probabilities)
    assert adapted[0].notes[-1] == "Adapted to the speaker by 2 other recordings."
    assert adapt_recognitions(answers[:1]) == answers[:1]
