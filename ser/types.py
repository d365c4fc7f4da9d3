"""Values of recognition: audio, transcript, scores, the answer, labelled examples.

Pure values; nothing here loads a model, opens a file or knows of storage.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ser.labels import EMOTIONS

if TYPE_CHECKING:
    from ser.face import FaceAnswer
    from ser.language_model.opinion import Opinion

SAMPLING_RATE = 16_000
"""Hz; every model of the project, embedded or from a hub, takes speech at this rate."""

Signal = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Audio:
    """A mono recording, checked once where it was decoded.

    Attributes:
        signal: float32 of shape (samples,), full scale ±1.
        sampling_rate: Hz, always `SAMPLING_RATE` after decoding.
        notes: what a listener should know of its quality ("clipped", "very quiet"), as sentences.
    """

    signal: Signal
    sampling_rate: int = SAMPLING_RATE
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signal.ndim != 1 or self.signal.dtype != np.float32:
            raise ValueError(f"signal must be float32 of shape (samples,), not {self.signal.dtype} {self.signal.shape}")

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.signal) / self.sampling_rate

    @cached_property
    def sha256(self) -> str:
        """Hash of the signal as 16-bit samples: the same recording has the same name, whatever its container."""
        samples = np.clip(np.rint(self.signal * 32768.0), -32768, 32767).astype("<i2")
        return hashlib.sha256(samples.tobytes()).hexdigest()

    def crop(self, start: float, end: float) -> "Audio":
        """The part from `start` to `end` seconds, within the recording."""
        first = max(0, round(start * self.sampling_rate))
        last = min(len(self.signal), round(end * self.sampling_rate))
        return Audio(self.signal[first:last], self.sampling_rate, self.notes)


@dataclass(frozen=True)
class SpeechRegion:
    """A stretch of speech; `start` and `end` in seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """A word or phrase of a transcript; times in seconds, confidence in 0..1 or None if unknown."""

    start: float
    end: float
    text: str
    confidence: float | None = None


@dataclass(frozen=True)
class Transcript:
    """The words of a recording.

    Attributes:
        text: the words; empty if none were recognised.
        language: ISO 639-1 code, or None if the recogniser does not say.
        segments: words with times and confidences, in order.
        source: the name of the recogniser, or of the person who wrote it.
    """

    text: str
    language: str | None
    segments: tuple[Segment, ...]
    source: str

    @property
    def confidence(self) -> float | None:
        """Mean word confidence weighted by word duration, 0..1; None if no word carries one."""
        known = [(s.end - s.start, s.confidence) for s in self.segments if s.confidence is not None]
        total = sum(duration for duration, _ in known)
        if total <= 0:
            return None
        return sum(duration * confidence for duration, confidence in known) / total


@dataclass(frozen=True)
class EmotionScores:
    """A probability for each of `EMOTIONS`, or for labels of a model's own.

    Attributes:
        probabilities: in the order of `labels`, each in 0..1, sum 1.
        unmapped: given to labels that are none of the seven, before the rest was brought to sum 1; empty if embedded.
        intensity: the probability of a strong rather than a normal feeling, 0..1; None if it is not predicted.
        labels: `EMOTIONS`, unless the model has other ones.
        means: {label: emotions of the seven that it means}, for labels of a model's own.
        ratings: {rating, such as valence: (value from 0 to 100, concordance with raters of other speakers)}.

    >>> EmotionScores((0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0)).label
    'anger'
    """

    probabilities: tuple[float, ...]
    unmapped: Mapping[str, float] = field(default_factory=dict)
    intensity: float | None = None
    labels: tuple[str, ...] = EMOTIONS
    means: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ratings: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.probabilities) != len(self.labels):
            raise ValueError(f"{len(self.probabilities)} probabilities, expected one for each of {self.labels}")
        if any(not 0.0 <= p <= 1.0 + 1e-6 for p in self.probabilities):
            raise ValueError(f"probabilities must lie in 0..1: {self.probabilities}")
        if not math.isclose(sum(self.probabilities), 1.0, abs_tol=1e-4):
            raise ValueError(f"probabilities must sum to 1, they sum to {sum(self.probabilities)}")

    @classmethod
    def from_dict(cls, scores: Mapping[str, float]) -> "EmotionScores":
        """From {label: probability}; labels that are absent get 0."""
        unknown = sorted(set(scores) - set(EMOTIONS))
        if unknown:
            raise ValueError(f"unknown labels {unknown}, expected some of {list(EMOTIONS)}")
        return cls(tuple(float(scores.get(label, 0.0)) for label in EMOTIONS))

    def as_dict(self) -> dict[str, float]:
        """{label: probability} in the order of `labels`."""
        return dict(zip(self.labels, self.probabilities, strict=True))

    def over_labels_of(self, other: "EmotionScores") -> tuple["EmotionScores | None", float]:
        """Scores over the seven as scores over another model's own labels, and the share of them that has a place.

        An emotion that several labels mean is shared evenly; None if no label means anything of it.

        >>> own = EmotionScores((0.5, 0.5), labels=("tense", "calm"), means={"tense": ("anger", "fear"), "calm": ()})
        >>> words, share = EmotionScores.from_dict({"anger": 0.5, "fear": 0.25, "neutral": 0.25}).over_labels_of(own)
        >>> words.as_dict(), share
        ({'tense': 1.0, 'calm': 0.0}, 0.75)
        """
        if self.labels == other.labels:
            return self, 1.0
        sums = dict.fromkeys(other.labels, 0.0)
        for emotion, probability in self.as_dict().items():
            meant = [label for label in other.labels if emotion in other.means.get(label, ())]
            for label in meant:
                sums[label] += probability / len(meant)
        total = sum(sums.values())
        if total <= 0:
            return None, 0.0
        shares = tuple(share / total for share in sums.values())
        return EmotionScores(shares, labels=other.labels, means=other.means), total

    @property
    def label(self) -> str:
        """The most probable label; the first in the order of `labels` on a tie."""
        return self.labels[max(range(len(self.labels)), key=self.probabilities.__getitem__)]

    @property
    def confidence(self) -> float:
        """The probability of `label`."""
        return max(self.probabilities)

    @property
    def entropy(self) -> float:
        """Shannon entropy divided by its maximum: 0 is certain, 1 knows nothing."""
        return -sum(p * math.log(p) for p in self.probabilities if p > 0) / math.log(len(self.labels))


@dataclass(frozen=True)
class Timings:
    """Seconds spent in each step; 0 for a step that was not run."""

    decode: float = 0.0
    vad: float = 0.0
    transcription: float = 0.0
    acoustic: float = 0.0
    text: float = 0.0
    language_model: float = 0.0
    speakers: float = 0.0
    total: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """{step: seconds}; the steps that are off unless asked for are left out where they were not run.

        >>> list(Timings(text=0.2).as_dict())
        ['decode', 'vad', 'transcription', 'acoustic', 'text', 'total']
        """
        off = ("language_model", "speakers")
        return {name: round(spent, 4) for name, spent in asdict(self).items() if spent or name not in off}


@dataclass(frozen=True, eq=False)
class Embedding:
    """A recording as the acoustic model's encoder represents it.

    Attributes:
        vector: float32 of shape (size,).
        encoder: names the encoder; vectors of different ones are not comparable.
    """

    vector: npt.NDArray[np.float32]
    encoder: str


@dataclass(frozen=True)
class AppliedProfile:
    """The statistics that an answer was adapted by.

    Attributes:
        kind: `source` (a place: a store, a session of the page, a corpus), `speaker` or `neutral` (of the speaker).
        clips: recordings that the statistics come from.
    """

    kind: str
    clips: int

    @property
    def note(self) -> str:
        """The adaptation as a sentence for people.

        >>> AppliedProfile("source", 23).note
        'Adapted to this microphone and room: 23 recordings.'
        """
        named = {"speaker": "this speaker", "neutral": "this speaker's neutral voice"}
        whom = named.get(self.kind, "this microphone and room")
        return f"Adapted to {whom}: {self.clips} recording{'' if self.clips == 1 else 's'}."


@dataclass(frozen=True)
class Recognition:
    """The answer for one recording.

    Attributes:
        duration: of the recording, seconds.
        speech: where speech was found.
        acoustic: the emotion in the voice.
        transcript: None while it is awaited, and where no transcriber is in use.
        text: the emotion in the words; None if the words abstain.
        fused: voice and words together; equals `acoustic` where the words abstain.
        text_weight: the share of the words in `fused`, 0..1.
        notes: sentences on quality, on abstaining, on anything a person should know.
        timings: seconds.
        models: names and versions under the keys `acoustic`, `text`, `transcriber`.
        complete: False for the early answers of `Recognizer.recognize_steps`.
        unsure: why the answer should not be relied on, as a sentence; None if nothing speaks against it.
        profile: statistics that the answer was adapted by; None for a plain answer.
        embedding: of the recording by the acoustic model's encoder; None if the model has none.
        opinion: a language model's on the words; None if none was asked or gave any.
        face: the answer to a picture of who speaks; None if there was none.
    """

    duration: float
    speech: tuple[SpeechRegion, ...]
    acoustic: EmotionScores
    transcript: Transcript | None
    text: EmotionScores | None
    fused: EmotionScores
    text_weight: float
    notes: tuple[str, ...]
    timings: Timings
    models: Mapping[str, str]
    complete: bool = True
    unsure: str | None = None
    profile: AppliedProfile | None = None
    embedding: Embedding | None = field(default=None, repr=False, compare=False)
    opinion: "Opinion | None" = None
    face: "FaceAnswer | None" = None

    @property
    def label(self) -> str:
        """The most probable emotion of voice and words together."""
        return self.fused.label

    @property
    def confidence(self) -> float:
        """The probability of `label`, 0..1."""
        return self.fused.confidence


@dataclass(frozen=True)
class Example:
    """A labelled recording for training or evaluation.

    Attributes:
        path: the audio file.
        label: one of `EMOTIONS`, or of the label set that its reader was asked for; or soft: {label: share}, sum 1.
        speaker: who speaks, unique across corpora; the unit that a split never divides.
        corpus: where it comes from, for figures per corpus.
        transcript: what is said, where known.
        language: ISO 639-1, where known.
        weight: its share in the loss relative to 1.
        intensity: of the emotion, 0 (normal) to 1 (strong); None if the corpus says nothing.
        gender: of the speaker, `female` or `male`; None if unknown.
        age: of the speaker, in years; None if unknown.
        split: the corpus owner's own split or fold (`train`, `dev`, `test`, `Session1`); None if there is none.
    """

    path: Path
    label: str | Mapping[str, float]
    speaker: str
    corpus: str = ""
    transcript: str | None = None
    language: str | None = None
    weight: float = 1.0
    intensity: float | None = None
    gender: str | None = None
    split: str | None = None
    age: float | None = None

    @property
    def soft_label(self) -> npt.NDArray[np.float32]:
        """Shape (7,), in `EMOTIONS` order, sum 1."""
        return self.shares(EMOTIONS)

    def shares(self, labels: Sequence[str]) -> npt.NDArray[np.float32]:
        """The share of each of `labels`, shape (labels,); sum 1 where the set holds all that the example is.

        >>> Example(Path("a.wav"), "calm", "s").shares(("anger", "calm"))
        array([0., 1.], dtype=float32)
        """
        shares = {self.label: 1.0} if isinstance(self.label, str) else self.label
        return np.array([shares.get(label, 0.0) for label in labels], dtype=np.float32)

    @property
    def hard_label(self) -> str:
        """The label, or the largest share of a soft one."""
        label = self.label
        return label if isinstance(label, str) else max(sorted(label), key=lambda name: label[name])
