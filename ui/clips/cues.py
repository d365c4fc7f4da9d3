"""Voice cues of a clip in plain words, against the usual of its source: pitch, its range, loudness, pace, pauses."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from annotations.store import AnnotationStore
from annotations.store.records import Clip
from annotations.store.rows import CLIPS, to_clip
from ser.audio.decoding import decode_file
from ser.errors import SerError
from ser.explanation.cues import CUES, VoiceCues, measure_cues, usual_cues
from ser.types import Audio, SpeechRegion

SAMPLE = 16
"""Clips of the source that its usual is the median of."""

FEWEST = 4
"""Clips of a source below which nothing is said to be usual."""

KEPT = 64
"""Sources whose usual is kept in memory."""

Detect = Callable[[Audio], Sequence[SpeechRegion]]


@dataclass(frozen=True)
class Wording:
    """Words for a difference below and above the usual, from a least size on."""

    least: float
    below: str
    above: str


WORDINGS = {
    "pitch": Wording(2.0, "lower voice", "higher voice"),
    "range": Wording(2.0, "flatter melody", "livelier melody"),
    "loudness": Wording(4.0, "quieter", "louder"),
    "rate": Wording(0.15, "slower", "faster"),
    "pauses": Wording(0.1, "fewer pauses", "more pauses"),
}
"""{cue: wording}; sizes are semitones, semitones, dB, a share of the usual rate, and a share of time."""


class SourceCues:
    """The usual cues of each source, measured once while the clips stay as many.

    Args:
        store: to read.
        detect: finds speech.
    """

    def __init__(self, store: AnnotationStore, detect: Detect) -> None:
        self._store, self._detect = store, detect
        self._lock = threading.Lock()
        self._usual: dict[str, tuple[int, VoiceCues | None]] = {}

    def describe(self, clip: Clip) -> str:
        """Say how a clip differs from what is usual for its source.

        Raises:
            SerError: if its recording cannot be read.
        """
        own = self._measure(clip)
        if own is None:
            return "No speech was found in it."
        with self._lock:
            usual = self._usual_of(clip.source)
        if usual is None:
            return f"Too few clips of {clip.source} to say what is usual there."
        said = differences(own, usual)
        return f"Compared with other clips of {clip.source}: {', '.join(said) if said else 'nothing stands out'}."

    def _usual_of(self, source: str) -> VoiceCues | None:
        (row,) = self._store.fetch("SELECT count(*) AS clips FROM clips WHERE source = ?", (source,))
        known = self._usual.get(source)
        # A few clips more hardly move a median.
        if known is not None and known[1] is not None and known[0] <= row["clips"] < 1.5 * known[0]:
            return known[1]
        rows = self._store.fetch(
            f"{CLIPS} JOIN queue_clips ON queue_clips.clip_id = clips.id WHERE clips.source = ? "
            "ORDER BY queue_clips.chance LIMIT ?",
            (source, SAMPLE),
        )
        measured = [cues for row in rows if (cues := self._tried(to_clip(row))) is not None]
        usual = usual_cues(measured) if len(measured) >= FEWEST else None
        self._usual[source] = row["clips"], usual
        while len(self._usual) > KEPT:
            self._usual.pop(next(iter(self._usual)))
        return usual

    def _tried(self, clip: Clip) -> VoiceCues | None:
        try:
            return self._measure(clip)
        except SerError:  # One that cannot be read says nothing of what is usual.
            return None

    def _measure(self, clip: Clip) -> VoiceCues | None:
        audio = decode_file(self._store.clip_path(clip))
        speech = self._detect(audio)
        return measure_cues(audio, speech) if speech else None


def differences(own: VoiceCues, usual: VoiceCues) -> list[str]:
    """Say what stands out, in the order of `CUES`, each with both numbers.

    >>> differences(VoiceCues(200.0, 6.0, -20.0, 5.0, 0.1), VoiceCues(100.0, 5.5, -21.0, 4.0, 0.1))
    ['higher voice (200 Hz, usually 100)', 'faster (5.0 syllables/s, usually 4.0)']
    """
    said = []
    for name in CUES:
        value, normal, wording = getattr(own, name), getattr(usual, name), WORDINGS[name]
        if value is None or normal is None:
            continue
        change = {
            "pitch": lambda v, n: 12 * float(np.log2(v / n)),
            "rate": lambda v, n: (v - n) / n,
        }.get(name, lambda v, n: v - n)(value, normal)
        if abs(change) >= wording.least:
            said.append(f"{wording.above if change > 0 else wording.below} ({_both(name, value, normal)})")
    return said


def _both(name: str, value: float, usual: float) -> str:
    if name == "pauses":
        return f"{100 * value:.0f} % of the time, usually {100 * usual:.0f}"
    digits = {"pitch": 0, "loudness": 0}.get(name, 1)
    text = f"{value:.{digits}f} {CUES[name]}, usually {usual:.{digits}f}"
    return text.replace("-", "−")
