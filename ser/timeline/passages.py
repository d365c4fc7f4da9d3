"""A stream of sound as passages of up to a minute with their speech, cut in pauses. Knows no emotion and no words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ser.protocols import SpeechDetector
from ser.types import SAMPLING_RATE, Audio, Signal, SpeechRegion

LONGEST, EARLIEST_CUT = 60.0, 30.0
"""Seconds of the longest passage, and after which one may end: in the longest pause from there on."""


@dataclass(frozen=True, eq=False)
class Passage:
    """A part of a recording.

    Attributes:
        start: in the recording, seconds.
        audio: of the part.
        speech: regions in it, in seconds from `start`.
    """

    start: float
    audio: Audio
    speech: tuple[SpeechRegion, ...]


def cut_passages(blocks: Iterable[Signal], detector: SpeechDetector) -> Iterator[Passage]:
    """Cut a stream into passages; those without speech are left out.

    Args:
        blocks: of sound at 16 kHz, in order, of any length.
        detector: finds the speech.
    """
    size, start, waiting = round(LONGEST * SAMPLING_RATE), 0, list[Signal]()
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) < size:
            continue
        signal = np.concatenate(waiting)
        while len(signal) >= size:
            speech = detector.detect(Audio(signal[:size]))
            cut = _find_cut(speech)
            if inside := tuple(region for region in speech if region.start < cut / SAMPLING_RATE):
                yield Passage(start / SAMPLING_RATE, Audio(signal[:cut]), inside)
            start, signal = start + cut, signal[cut:]
        waiting = [signal]
    rest = Audio(np.concatenate([np.zeros(0, np.float32), *waiting]))
    if len(rest.signal) and (speech := detector.detect(rest)):
        yield Passage(start / SAMPLING_RATE, rest, speech)


def _find_cut(speech: tuple[SpeechRegion, ...]) -> int:
    """The sample in the middle of the longest pause that a passage of full length may end in.

    >>> _find_cut((SpeechRegion(0.0, 31.0), SpeechRegion(33.0, 59.5))) / SAMPLING_RATE
    32.0
    """
    edges = [0.0, *(time for region in speech for time in (region.start, region.end)), LONGEST]
    pauses = [(max(edges[at], EARLIEST_CUT), edges[at + 1]) for at in range(0, len(edges), 2)]
    start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
    # Without a pause, in the middle of a word: nobody speaks for half a minute without one.
    return round((start + end) / 2 * SAMPLING_RATE) if end > start else round(LONGEST * SAMPLING_RATE)
