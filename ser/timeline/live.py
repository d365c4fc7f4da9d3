"""A stream of sound, answered while it comes: a rolling answer, and regions with their words after each pause."""

from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import soxr

from ser.clock import Clock
from ser.errors import AudioError
from ser.fusion.remarks import find_doubt
from ser.timeline.passages import Passage
from ser.timeline.regions import FeelingRegion
from ser.timeline.timeline import DEFAULT_CONFIG, Parts, answer_passage, ask_model
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal

WINDOW = 3.0
"""Seconds of speech, the latest, that the rolling answer is about."""

LOOK_BACK = 4.0
"""Seconds in which speech is looked for at each step: the detector's work must not grow while somebody speaks."""

PAUSE, LONGEST = 0.6, 12.0
"""Seconds of silence that end an utterance, and after which it is ended without."""

FRESH = 1.0
"""Seconds of silence after which the rolling answer is about nothing any more."""

LEAD = 1.0
"""Seconds before the first word that are kept of a silence."""


@dataclass(frozen=True)
class LiveAnswer:
    """The state of a stream.

    Attributes:
        seconds: of sound so far.
        scores: of the voice in the last seconds of speech; None while nobody speaks.
        unsure: why these should not be relied on; None if nothing speaks against them.
        regions: of the utterances that have ended and were read, in order.
        waiting: utterances that have ended and are being read.
    """

    seconds: float
    scores: EmotionScores | None
    unsure: str | None
    regions: tuple[FeelingRegion, ...]
    waiting: int


class LiveTimeline:
    """Answers one stream: one thread may bring sound while another asks for the answer.

    Args:
        parts: the models.
        executor: reads utterances that have ended, so that the rolling answer does not wait for their words.
    """

    def __init__(self, parts: Parts, executor: Executor) -> None:
        self._parts, self._executor = parts, executor
        self._resampler: soxr.ResampleStream | None = None
        self._rate = 0
        self._blocks: list[Signal] = []
        self._taken = 0
        self._open = np.zeros(0, np.float32)
        self._begin = 0
        self._spoken = False
        self._reading: list[Future[list[FeelingRegion]]] = []

    @property
    def seconds(self) -> float:
        """Length of the sound so far."""
        return sum(map(len, self._blocks)) / SAMPLING_RATE

    @property
    def signal(self) -> Signal:
        """All of the sound so far, at 16 kHz."""
        return np.concatenate(self._blocks) if self._blocks else np.zeros(0, np.float32)

    def take(self, rate: int, samples: Signal) -> None:
        """Take the next block of sound, at once.

        Args:
            rate: Hz.
            samples: float32, full scale ±1, shape (samples,) or (samples, channels); channels are mixed.

        Raises:
            AudioError: if the rate changes, or is none.
        """
        if rate <= 0 or (self._rate and rate != self._rate):
            expected = f"{self._rate} Hz" if self._rate else "a rate above 0"
            raise AudioError(f"A block of sound came at {rate} Hz; {expected} was expected. Start again.")
        if not self._rate:
            self._rate = rate
            if rate != SAMPLING_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ")
        mono = np.ascontiguousarray(samples if samples.ndim == 1 else samples.mean(axis=1), dtype=np.float32)
        self._blocks.append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def end(self) -> None:
        """Take what the resampler still holds: no sound comes any more."""
        if self._resampler is not None:
            self._blocks.append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self._resampler = None

    def answer(self) -> LiveAnswer:
        """Answer what has come so far."""
        count = len(self._blocks)
        fresh = np.concatenate([self._open[:0], *self._blocks[self._taken : count]])
        self._taken = count
        # Where much comes at once, an utterance in the middle of it must not be missed.
        step = round(LOOK_BACK / 2 * SAMPLING_RATE)
        for at in range(0, max(1, len(fresh)), step):
            self._open = np.concatenate([self._open, fresh[at : at + step]])
            recent = Audio(self._open[max(0, len(self._open) - round(LOOK_BACK * SAMPLING_RATE)) :])
            speech = self._parts.detector.detect(recent) if len(recent.signal) else ()
            quiet = recent.duration - speech[-1].end if speech else recent.duration
            self._spoken |= bool(speech)
            if self._spoken and (quiet >= PAUSE or len(self._open) >= LONGEST * SAMPLING_RATE):
                self._end_utterance()
            elif not self._spoken:
                self._drop(max(0, len(self._open) - round(LEAD * SAMPLING_RATE)))
        scores, unsure = None, None
        if speech and quiet < FRESH:
            start = max(speech[0].start, speech[-1].end - WINDOW)
            found = ask_model(self._parts, [recent.crop(start, speech[-1].end)], self._parts.center)[0]
            if found.is_speech:
                scores = self._parts.fusion.temper_acoustic(found.scores)
                unsure = find_doubt(scores, found.novelty)
        return self._state(scores, unsure)

    def finish(self) -> LiveAnswer:
        """End the last utterance, and wait for the words of all."""
        self.end()
        self.answer()
        if self._spoken:
            self._end_utterance()
        for future in self._reading:
            future.result()
        return self._state(None, None)

    def _drop(self, samples: int) -> None:
        self._begin += samples
        self._open = self._open[samples:]

    def _end_utterance(self) -> None:
        whole, start = Audio(self._open), self._begin / SAMPLING_RATE
        self._reading.append(self._executor.submit(_read, self._parts, whole, start))
        self._drop(len(self._open))
        self._spoken = False

    def _state(self, scores: EmotionScores | None, unsure: str | None) -> LiveAnswer:
        done = [future for future in self._reading if future.done()]
        regions = [region for future in done for region in future.result()]
        return LiveAnswer(self.seconds, scores, unsure, tuple(regions), len(self._reading) - len(done))


def _read(parts: Parts, audio: Audio, start: float) -> list[FeelingRegion]:
    """Regions of one feeling in an utterance, with their words."""
    speech = parts.detector.detect(audio)
    return answer_passage(Passage(start, audio, speech), parts, DEFAULT_CONFIG, Clock(), None) if speech else []
