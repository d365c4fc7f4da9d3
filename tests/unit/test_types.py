import numpy as np
import pytest

from ser.labels import EMOTIONS, map_labels, to_emotion
from ser.testing import synthetic_speech
from ser.types import Audio, EmotionScores, Example, Segment, Transcript


def test_audio_takes_mono_float32_only() -> None:
    with pytest.raises(ValueError, match="float32 of shape"):
        Audio(np.zeros((2, 100), dtype=np.float32))
    with pytest.raises(ValueError, match="float64"):
        Audio(np.zeros(100))


def test_a_recording_keeps_its_name_through_sixteen_bits() -> None:
    audio = synthetic_speech(1.0)
    stored = np.rint(audio.signal * 32768).astype("<i2").astype(np.float32) / 32768
    assert Audio(stored).sha256 == audio.sha256
    assert synthetic_speech(1.0, seed=1).sha256 != audio.sha256


def test_crop_stays_within_the_recording() -> None:
    assert synthetic_speech(1.0).crop(0.25, 0.75).duration == pytest.approx(0.5)
    assert synthetic_speech(1.0).crop(-1.0, 9.0).duration == pytest.approx(1.0)


@pytest.mark.parametrize(
    "probabilities",
    [(1.0,), (0.5,) * 7, (1.5, -0.5, 0.0, 0.0, 0.0, 0.0, 0.0), (float("nan"), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)],
)
def test_scores_must_be_probabilities(probabilities: tuple[float, ...]) -> None:
    with pytest.raises(ValueError):
        EmotionScores(probabilities)


def test_entropy_runs_from_certain_to_clueless() -> None:
    assert EmotionScores.from_dict({"fear": 1.0}).entropy == 0.0
    assert EmotionScores((1 / 7,) * 7).entropy == pytest.approx(1.0)


def test_scores_from_unknown_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown labels \['boredom'\]"):
        EmotionScores.from_dict({"boredom": 1.0})


def test_transcript_confidence_weighs_words_by_their_length() -> None:
    segments = (Segment(0.0, 0.3, "long", 1.0), Segment(0.3, 0.4, "a", 0.2), Segment(0.4, 0.5, "b", None))
    assert Transcript("long a b", "en", segments, "test").confidence == pytest.approx(0.8)
    assert Transcript("", "en", (), "test").confidence is None


def test_example_labels_soft_and_hard(tmp_path) -> None:
    hard = Example(tmp_path / "a.wav", "sadness", "s1")
    assert hard.soft_label.tolist() == [float(e == "sadness") for e in EMOTIONS]
    soft = Example(tmp_path / "a.wav", {"anger": 0.25, "fear": 0.75}, "s1")
    assert soft.hard_label == "fear"
    assert soft.soft_label.sum() == pytest.approx(1.0)


def test_labels_of_published_checkpoints_are_mapped_by_name() -> None:
    mapped, unmapped = map_labels(["ANG", "hap", "Pleasant Surprise", "other"])
    assert mapped == {0: "anger", 1: "happiness", 2: "surprise"}
    assert unmapped == ["other"]


@pytest.mark.parametrize(
    ("names", "emotion"),
    [
        ("生气/angry ang Angry female_angry Wut! гнев öfke 怒り", "anger"),
        ("厌恶/disgusted dis DISGUST ekel", "disgust"),
        ("恐惧/fearful fea male-fear 공포", "fear"),
        ("开心/happy hap exc excited 高兴 joy_2 happiness_strong", "happiness"),
        ("中立/neutral neu calm", "neutral"),
        ("难过/sad Sad tristeza", "sadness"),
        ("吃惊/surprised sur pleasant_surprise überrascht", "surprise"),
        ("其他/other <unk> fru xxx oth LABEL_0 un-happy angry_sad boredom annoyed 3 strong", None),
    ],
)
def test_foreign_spellings_are_known_and_none_is_guessed(names: str, emotion: str | None) -> None:
    assert {name: to_emotion(name) for name in names.split()} == dict.fromkeys(names.split(), emotion)
    assert to_emotion("Anger (strong)") == "anger" and to_emotion("not angry") is None
