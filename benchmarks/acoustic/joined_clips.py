"""Joined clips of one speaker (neutral, emotional, neutral), as emotion diarisation takes them, and its scores.

Source: Wang et al. 2023, "Speech Emotion Diarization: Which Emotion Appears When?", https://arxiv.org/abs/2306.12991
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser.audio.decoding import decode_file
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.protocols import SpeechDetector
from ser.types import Audio, SpeechRegion

NEUTRAL = "neutral"

SILENCE = (0.1, 0.3)
"""Least and greatest seconds of a clip's own silence that are left at either side of its speech: what is between two
clips is the room that they were recorded in, as in any recording, and no digital silence."""

Span = tuple[float, float, str]
"""Start and end in seconds, and the label."""


@dataclass(frozen=True, eq=False)
class JoinedClips:
    """Three clips of one speaker in a row.

    Attributes:
        audio: of the whole.
        spans: of the speech in each, in order.
        corpus: that they are of.
    """

    audio: Audio
    spans: tuple[Span, Span, Span]
    corpus: str


def draw_joined_clips(
    folder: Path, speakers: Collection[str], detector: SpeechDetector, draws: int, seed: int
) -> list[JoinedClips]:
    """Draw joins of a corpus: as many for each speaker and emotion, each of them between two other neutral clips.

    Args:
        folder: of the corpus.
        speakers: of whom clips are joined; those without two neutral clips are left out.
        detector: finds the speech that clips are cut around.
        draws: for each emotion of each speaker.
        seed: of the draws.

    Raises:
        TrainingDataError: if the corpus has none of the speakers.
        AudioError: if a clip cannot be read.
    """
    paths: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for example in load_corpus(folder):
        if example.speaker in speakers:
            paths[example.speaker][example.hard_label].append(example.path)
    generator = np.random.default_rng(seed)
    joined = []
    for _, clips in sorted(paths.items()):
        for label in sorted(set(clips) - {NEUTRAL} if len(clips[NEUTRAL]) >= 2 else ()):
            for _ in range(draws):
                before, after = generator.choice(len(clips[NEUTRAL]), 2, replace=False)
                chosen = [clips[NEUTRAL][before], clips[label][generator.integers(len(clips[label]))]]
                chosen.append(clips[NEUTRAL][after])
                audios = [decode_file(path) for path in chosen]
                speech = [detector.detect(audio) or (SpeechRegion(0.0, audio.duration),) for audio in audios]
                bounds = [SpeechRegion(regions[0].start, regions[-1].end) for regions in speech]
                joined.append(_join(audios, bounds, label, folder.name, generator))
    if not joined:
        raise TrainingDataError(f"{folder} has no neutral and emotional clips of {', '.join(sorted(speakers)[:6])}.")
    return joined


def _join(
    clips: Sequence[Audio], speech: Sequence[SpeechRegion], label: str, corpus: str, generator: np.random.Generator
) -> JoinedClips:
    parts, spans, time = list[Audio](), list[Span](), 0.0
    for clip, spoken, name in zip(clips, speech, (NEUTRAL, label, NEUTRAL), strict=True):
        before, after = (float(seconds) for seconds in generator.uniform(*SILENCE, 2))
        start = max(0.0, spoken.start - before)
        parts.append(clip.crop(start, spoken.end + after))
        spans.append((time + spoken.start - start, time + spoken.end - start, name))
        time += parts[-1].duration
    return JoinedClips(Audio(np.concatenate([part.signal for part in parts])), (spans[0], spans[1], spans[2]), corpus)


def diarization_error(reference: Sequence[Span], found: Sequence[Span], duration: float) -> float:
    """Emotion diarisation error rate: false alarms, misses and confusions as a share of the recording.

    Time without an emotion is neutral in both, silence included, as in SpeechBrain's `EDER`.

    >>> diarization_error([(1.0, 3.0, "anger")], [(0.0, 1.0, "fear"), (1.0, 2.0, "anger")], 4.0)
    0.5
    """
    times = np.unique([0.0, duration, *(time for span in (*reference, *found) for time in span[:2])])
    times = times[(times >= 0.0) & (times <= duration)]
    middles, lengths = (times[:-1] + times[1:]) / 2, np.diff(times)
    wrong = sum(length for at, length in zip(middles, lengths, strict=True) if _at(reference, at) != _at(found, at))
    return float(wrong / duration)


def _at(spans: Sequence[Span], time: float) -> str:
    return next((label for start, end, label in spans if start <= time < end), NEUTRAL)


def count_close(times: Sequence[float], others: Sequence[float], tolerance: float) -> int:
    """Count the times that have one of the others within a tolerance.

    >>> count_close([1.0, 5.0], [1.4, 6.0], 0.5)
    1
    """
    return sum(any(abs(time - other) <= tolerance for other in others) for time in times)
