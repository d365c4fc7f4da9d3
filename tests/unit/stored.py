"""What the tests of the store put into it."""

from pathlib import Path

import soundfile

from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.types import Audio, EmotionScores, Recognition, Segment, SpeechRegion, Timings, Transcript


def recording(seed: int = 0) -> Audio:
    return synthetic_speech(0.5, seed=seed)


def write_wav(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, recording(seed).signal, 16_000, subtype="PCM_16")


def answer(label: str = "fear", confidence: float = 0.4) -> Recognition:
    rest = (1 - confidence) / (len(EMOTIONS) - 1)
    scores = EmotionScores(tuple(confidence if emotion == label else rest for emotion in EMOTIONS))
    words = Transcript("kids are talking", "en", (Segment(0.1, 0.4, "kids", 0.9),), "test")
    return Recognition(
        0.5, (SpeechRegion(0, 0.5),), scores, words, None, scores, 0.0, ("clipped",), Timings(), {"acoustic": "test"}
    )
