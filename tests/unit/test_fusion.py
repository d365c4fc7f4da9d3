import numpy as np
import pytest

from ser.fusion.remarks import (
    MIN_CONFIDENCE,
    MIN_CONFIDENT_WORDS,
    MIN_WORD_CONFIDENCE,
    abstention,
    confident_words,
)
from ser.fusion.rule import MAX_WEIGHT, MIN_WEIGHT, fuse, informativeness, text_weight
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Segment, Transcript

ANGRY = EmotionScores.from_dict({"anger": 0.94} | dict.fromkeys(EMOTIONS[1:], 0.01))


def transcript(text="i really hate all of this", confidence=0.9, language="en"):
    words = text.split()
    segments = tuple(Segment(i * 0.3, i * 0.3 + 0.3, word, confidence) for i, word in enumerate(words))
    return Transcript(text, language, segments, "test")


def draw_scores(rng, unknown=0):
    values = rng.dirichlet(np.full(len(EMOTIONS), 0.5)) + 1e-9
    values[rng.choice(len(EMOTIONS), unknown, replace=False)] = 0.0
    return EmotionScores(tuple((values / values.sum()).tolist()))


CASES = [pytest.param(seed, id=f"seed{seed}") for seed in range(40)]


@pytest.mark.parametrize("seed", CASES)
def test_pooling_keeps_to_its_laws(seed):
    rng = np.random.default_rng(seed)
    sound, words, weight = draw_scores(rng, seed % 3), draw_scores(rng, seed % 4), float(rng.uniform(0, 1))
    fused = fuse(sound, words, weight)
    assert sum(fused.probabilities) == pytest.approx(1.0)
    assert min(fused.probabilities) >= 0.0
    assert fuse(sound, words, 0.0) is sound
    assert fuse(sound, words, 1.0) is words
    # Neither opinion is special: swapping them and the weight changes nothing.
    assert fuse(words, sound, 1.0 - weight).probabilities == pytest.approx(fused.probabilities, abs=1e-9)
    # A label that at least one of both knows keeps a share.
    for label, p in fused.as_dict().items():
        known = sound.as_dict()[label] > 0 or words.as_dict()[label] > 0
        assert (p > 0) == known


@pytest.mark.parametrize("seed", CASES)
def test_pooling_agreement_keeps_it_and_weight_moves_it_one_way(seed):
    rng = np.random.default_rng(seed)
    sound, words = draw_scores(rng), draw_scores(rng)
    assert fuse(sound, sound, 0.3).probabilities == pytest.approx(sound.probabilities)
    favoured = int(np.argmax(np.array(words.probabilities) / np.array(sound.probabilities)))
    shares = [fuse(sound, words, weight).probabilities[favoured] for weight in np.linspace(0, 1, 11)]
    assert all(later >= earlier - 1e-12 for earlier, later in zip(shares, shares[1:], strict=False))
    if sound.label == words.label:
        assert fuse(sound, words, 0.5).label == sound.label


@pytest.mark.parametrize("seed", CASES)
def test_pooling_is_continuous_at_both_ends_even_with_unknown_labels(seed):
    rng = np.random.default_rng(seed)
    sound, words = draw_scores(rng, 1), draw_scores(rng, 2)
    assert fuse(sound, words, 1e-7).probabilities == pytest.approx(sound.probabilities, abs=1e-4)
    assert fuse(sound, words, 1 - 1e-7).probabilities == pytest.approx(words.probabilities, abs=1e-4)


def test_an_unknown_label_is_not_vetoed():
    sound = EmotionScores.from_dict({"disgust": 0.9, "anger": 0.05, "neutral": 0.05})
    words = EmotionScores.from_dict({"anger": 0.5, "neutral": 0.5})
    assert fuse(sound, words, 0.5).label == "disgust"
    assert fuse(words, sound, 0.5).label == "disgust"


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_out_of_range_is_refused(weight):
    with pytest.raises(ValueError, match=r"it must lie in 0\.\.1"):
        fuse(ANGRY, ANGRY, weight)


def test_weight_grows_with_confidence_and_never_leaves_its_range():
    weights = [text_weight(transcript(confidence=c), ANGRY) for c in np.linspace(0, 1, 21)]
    assert weights == sorted(weights)
    assert weights[0] == 0.0 and 0.0 < weights[-1] <= MAX_WEIGHT
    assert text_weight(transcript(confidence=MIN_CONFIDENCE), ANGRY) == 0.0


def test_weight_falls_as_words_say_less():
    by_neutrality = [
        text_weight(transcript(), EmotionScores.from_dict({"anger": 1.0 - n, "neutral": n}))
        for n in np.linspace(0.5, 1, 11)
    ]
    assert by_neutrality == sorted(by_neutrality, reverse=True) and by_neutrality[-1] == 0.0
    shares = np.linspace(0, 1 / 7, 11)
    by_doubt = [
        text_weight(transcript(), EmotionScores((1 - 6 * s, s, s, s, s, s, s))) for s in np.clip(shares, 0, 1 / 7)
    ]
    assert by_doubt == sorted(by_doubt, reverse=True) and by_doubt[-1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seed", CASES)
def test_informativeness_lies_in_0_to_1(seed):
    assert 0.0 <= informativeness(draw_scores(np.random.default_rng(seed), seed % 7)) <= 1.0


def test_words_count_where_they_are_sure_enough():
    assert abstention(transcript(), ("en",)) is None
    assert abstention(transcript(language="en-US"), ("en",)) is None
    assert abstention(transcript(language=None), ("en",)) is None
    assert abstention(transcript("ich hasse das alles", language="de"), None) is None
    assert abstention(Transcript("i hate you", "en", (), "a person"), ("en",)) is None


def test_words_abstain_with_a_sentence():
    assert MIN_CONFIDENT_WORDS == 2
    assert abstention(transcript("  "), ("en",)) == "The words are left out: none were recognised."
    assert abstention(transcript(language="pl"), ("en",)) == (
        "The words are left out: they are in pl, and the text model reads en."
    )
    assert abstention(transcript(confidence=0.31), ("en",)) == (
        "The words are left out: they were recognised with a confidence of only 31%."
    )
    assert abstention(transcript("so"), ("en",)) == ("The words are left out: 1 word was understood, 2 are needed.")


def test_only_sure_words_count_as_understood():
    segments = (
        Segment(0, 1, "i hate", 0.99),
        Segment(1, 1.1, "bananas", MIN_WORD_CONFIDENCE - 0.01),
        Segment(1.1, 2, "you", None),
    )
    assert confident_words(Transcript("i hate bananas you", "en", segments, "test")) == 3


def test_words_that_say_next_to_nothing_weigh_nothing() -> None:
    spoken = Transcript("kids are talking by the door", "en", (), "a person")
    faint = EmotionScores.from_dict({"neutral": 0.9, "happiness": 0.1})
    plain = EmotionScores.from_dict({"neutral": 0.3, "happiness": 0.7})
    assert text_weight(spoken, faint) == 0.0
    assert text_weight(spoken, plain) >= MIN_WEIGHT
