"""Small real stand-ins for the models, and synthetic speech: for tests and for `app.py --fake`.

Each one implements one of `ser.protocols` and computes its answer from its input; none of them has
been trained, so their scores mean nothing. Needs numpy only.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ser.encoder.profiles import Profiles
from ser.labels import EMOTIONS
from ser.recognizer import Recognizer
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Segment, SpeechRegion, Transcript

FRAME = SAMPLING_RATE // 50
"""Samples in a frame of 20 ms."""


def synthetic_speech(duration: float, *, pitch: float = 140.0, seed: int = 0) -> Audio:
    """Make a voiced, syllable-like sound.

    A pulse train with a gliding pitch, shaped by three moving formants and by four syllables a second.

    Args:
        duration: seconds.
        pitch: mean fundamental frequency in Hz.
        seed: draws the formants, the glide and a little breath noise.

    Returns:
        Audio that peaks at half of full scale.

    >>> round(synthetic_speech(1.5).duration, 2)
    1.5
    """
    rng = np.random.default_rng(seed)
    time = np.arange(int(duration * SAMPLING_RATE)) / SAMPLING_RATE
    glide = 1.0 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch * glide) / SAMPLING_RATE
    vowel = 1.0 + 0.2 * np.sin(2 * np.pi * rng.uniform(1.0, 2.0) * time)
    formants = np.array([rng.uniform(400, 800), rng.uniform(1100, 1900), rng.uniform(2300, 2900)])
    signal = np.zeros_like(time)
    for harmonic in range(1, int(4000 / pitch)):
        frequency = harmonic * pitch * glide
        gain = sum(
            np.exp(-0.5 * ((frequency - formant * vowel) / (90 + 0.06 * formant)) ** 2) / (1 + index)
            for index, formant in enumerate(formants)
        )
        signal += (0.02 + gain) * np.sin(harmonic * phase)
    syllables = 0.05 + np.clip(np.sin(2 * np.pi * 2.0 * time + rng.uniform(0, 3)) ** 2, 0, 1)
    signal = signal * syllables + 0.01 * rng.standard_normal(len(time))
    return Audio((0.5 * signal / np.abs(signal).max()).astype(np.float32))


class EnergyDetector:
    """Calls every frame speech that is louder than a threshold.

    Args:
        threshold: in dB relative to full scale.
    """

    name = "energy"

    def __init__(self, threshold: float = -45.0) -> None:
        self.threshold = threshold

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        """One region from the first loud frame to the end of the last; none where all is quiet."""
        count = len(audio.signal) // FRAME
        frames = audio.signal[: count * FRAME].reshape(count, FRAME)
        loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > 10 ** (self.threshold / 20))
        if len(loud) == 0:
            return ()
        return (SpeechRegion(loud[0] * FRAME / SAMPLING_RATE, (loud[-1] + 1) * FRAME / SAMPLING_RATE),)


class BandEnergyModel:
    """Classifies by a seeded random projection of the energy in sixteen bands: quick, deterministic, untrained.

    The energies are its embeddings.

    Args:
        seed: draws the projection; another seed is another model.
        name: as the answer reports it.
    """

    labels = EMOTIONS
    bands = 16
    encoder_sha256 = hashlib.sha256(b"band energy").hexdigest()

    def __init__(self, seed: int = 0, name: str | None = None) -> None:
        self.name = name or f"band energy, seed {seed}"
        self._weights = np.random.default_rng(seed).standard_normal((self.bands, len(EMOTIONS)))
        self.sha256 = hashlib.sha256(self._weights.tobytes()).hexdigest()

    adapts_to_any_mix = True

    def classify(self, audio: Audio) -> EmotionScores:
        """Scores from the shape of the long-term spectrum; the level does not count."""
        return self.classify_batch([audio])[0]

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Classify one by one."""
        return self.classify_embeddings(self.embed_batch(audios))

    def embed_batch(self, audios: Sequence[Audio]) -> npt.NDArray[np.float32]:
        """Logarithmic energies of the bands, standardised, shape (recordings, bands)."""
        rows = []
        for audio in audios:
            power = np.abs(np.fft.rfft(audio.signal)) ** 2
            energy = np.log(np.array([band.sum() for band in np.array_split(power, self.bands)]) + 1e-9)
            rows.append((energy - energy.mean()) / (energy.std() + 1e-9))
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.bands)

    def classify_embeddings(
        self, embeddings: npt.NDArray[np.float32], center: npt.NDArray[np.float32] | None = None
    ) -> list[EmotionScores]:
        """Scores of embeddings, of which a profile's mean is taken out if given."""
        values = embeddings if center is None else embeddings - center
        return [EmotionScores(tuple(softmax(row))) for row in values.astype(np.float64) @ self._weights]

    def center_for(self, profiles: Profiles) -> npt.NDArray[np.float32] | None:
        """The mean of the narrower profile."""
        profile = profiles.known_speaker or profiles.known_source
        return None if profile is None else np.asarray(profile.embeddings.mean(axis=0))

    def novelty(
        self, embeddings: npt.NDArray[np.float32], center: npt.NDArray[np.float32] | None = None
    ) -> list[float | None]:
        """None: nothing is known, so that nothing is novel."""
        return [None] * len(embeddings)

    def speech(self, embeddings: npt.NDArray[np.float32]) -> list[bool]:
        """Take everything for speech."""
        return [True] * len(embeddings)


class FixedTranscriber:
    """Transcribes every recording as the same words, spread evenly over its speech.

    Args:
        text: the words.
        confidence: of each word, 0..1.
        language: ISO 639-1 code.
    """

    name = "fixed words"

    def __init__(
        self, text: str = "kids are talking by the door", confidence: float = 0.9, language: str = "en"
    ) -> None:
        self.text = text
        self.confidence = confidence
        self.language = language

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """The words, at even distances between the first and the last speech."""
        words = self.text.split()
        if not regions or not words:
            return Transcript("", self.language, (), self.name)
        edges = np.linspace(regions[0].start, regions[-1].end, len(words) + 1)
        segments = tuple(
            Segment(float(start), float(end), word, self.confidence)
            for start, end, word in zip(edges[:-1], edges[1:], words, strict=True)
        )
        return Transcript(self.text, self.language, segments, self.name)


class WordListModel:
    """Counts words of a short list for each emotion; a sentence without any is neutral."""

    name = "word list"
    labels = EMOTIONS
    languages: tuple[str, ...] | None = ("en",)
    words = {
        "anger": {"hate", "furious", "angry"},
        "disgust": {"disgusting", "gross"},
        "fear": {"afraid", "scared"},
        "happiness": {"happy", "wonderful", "love"},
        "neutral": {"fine"},
        "sadness": {"sad", "miss", "cry"},
        "surprise": {"wow", "unexpected"},
    }

    def classify(self, text: str) -> EmotionScores:
        """Scores from the counts, smoothed."""
        spoken = text.lower().split()
        counts = {label: float(sum(word in listed for word in spoken)) for label, listed in self.words.items()}
        counts["neutral"] += 0.5
        return EmotionScores(tuple(softmax(np.array([2.0 * counts[label] for label in EMOTIONS]))))

    def classify_batch(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Classify one by one."""
        return [self.classify(text) for text in texts]


def fake_recognizer(text: str = "what a wonderful day", *, seed: int = 0) -> Recognizer:
    """A `Recognizer` made of the parts above.

    Args:
        text: the transcript of every recording.
        seed: of the acoustic model.
    """
    return Recognizer(EnergyDetector(), BandEnergyModel(seed), WordListModel(), FixedTranscriber(text))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Exponentials that sum to 1.

    >>> softmax(np.zeros(2)).tolist()
    [0.5, 0.5]
    """
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
