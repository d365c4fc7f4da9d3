"""The pipeline in one screenful: audio -> speech -> sound and words -> one answer.

Knows the protocols of `ser.types`, not the models behind them; loads nothing (see `ser.loading`).
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ser.audio import decode_bytes, decode_file
from ser.errors import AudioError
from ser.fusion import abstention, fuse, text_weight
from ser.types import (
    SAMPLING_RATE,
    AcousticModel,
    Audio,
    Recognition,
    SpeechDetector,
    SpeechRegion,
    TextModel,
    Timings,
    Transcriber,
)
from ser.vad import trim_to_speech

Source = str | Path | bytes | Audio


class Recognizer:
    """Recognises the emotion in a recording; safe to call from several threads.

    Args:
        detector: finds speech; a recording without any is refused.
        acoustic: hears emotion in the sound.
        text: reads emotion in the words; None leaves the answer to the sound.
        transcriber: turns speech into words; None leaves out transcript and text.
        max_duration: longest accepted recording in seconds; None for no limit.
        remarks: what to tell with every answer.
        transcriber_reason: why this transcriber is in use, as a sentence.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        acoustic: AcousticModel,
        text: TextModel | None,
        transcriber: Transcriber | None,
        *,
        max_duration: float | None = 60.0,
        remarks: tuple[str, ...] = (),
        transcriber_reason: str = "",
    ) -> None:
        self.detector = detector
        self.acoustic = acoustic
        self.text = text
        self.transcriber = transcriber
        self.max_duration = max_duration
        self.remarks = remarks
        self.transcriber_reason = transcriber_reason

    @property
    def models(self) -> dict[str, str]:
        """Names and versions of the parts in use."""
        return self._models(self.acoustic)

    def replace_acoustic(self, model: AcousticModel) -> None:
        """Put another acoustic model to use; answers under way finish on the one they began with."""
        self.acoustic = model

    def warm_up(self) -> None:
        """Let every model answer once: libraries do much at their first use that nobody should have to wait for."""
        noise = np.random.default_rng(0).normal(0.0, 0.01, SAMPLING_RATE).astype(np.float32)
        audio = Audio(noise)
        self.detector.detect(audio)
        self.acoustic.classify(audio)
        if self.transcriber is not None:
            self.transcriber.transcribe(audio, (SpeechRegion(0.0, audio.duration),))
        if self.text is not None:
            self.text.classify("hello")

    def recognize(self, source: Source) -> Recognition:
        """Recognise one recording.

        Args:
            source: a path, the bytes of an audio file, or decoded `Audio`.

        Returns:
            The complete answer.

        Raises:
            AudioError: where the source is no usable recording, or holds no speech.
        """
        *_, answer = self.recognize_steps(source)
        return answer

    def recognize_steps(self, source: Source) -> Iterator[Recognition]:
        """Recognise one recording and yield the answer as it grows: sound, then transcript, then fused.

        Every early answer has `complete=False` and is usable as it stands; the last one is what `recognize` returns.

        Raises:
            AudioError: where the source is no usable recording, or holds no speech.
        """
        acoustic_model, clock = self.acoustic, _Clock()
        audio = self._decode(source)
        clock.lap("decode")
        speech = self.detector.detect(audio)
        clock.lap("vad")
        if not speech:
            raise AudioError(
                f"No speech was found in this recording of {audio.duration:.1f} s. "
                "Speak closer to the microphone, or choose another file."
            )
        acoustic = acoustic_model.classify(trim_to_speech(audio, speech))
        clock.lap("acoustic")

        notes = [*audio.notes, *self.remarks]
        models = self._models(acoustic_model)
        answer = Recognition(
            duration=audio.duration,
            speech=tuple(speech),
            acoustic=acoustic,
            transcript=None,
            text=None,
            fused=acoustic,
            text_weight=0.0,
            notes=tuple(notes),
            timings=clock.timings(),
            models=models,
            complete=self.transcriber is None,
        )
        yield answer
        if self.transcriber is None:
            return

        transcript = self.transcriber.transcribe(audio, speech)
        clock.lap("transcription")
        if self.text is None:
            yield replace(answer, transcript=transcript, timings=clock.timings(), complete=True)
            return
        yield replace(answer, transcript=transcript, timings=clock.timings())

        reason = abstention(transcript, self.text.languages)
        if reason is not None:
            yield replace(answer, transcript=transcript, notes=(*notes, reason), timings=clock.timings(), complete=True)
            return
        words = self.text.classify(transcript.text)
        weight = text_weight(transcript, words)
        clock.lap("text")
        yield replace(
            answer,
            transcript=transcript,
            text=words,
            fused=fuse(acoustic, words, weight),
            text_weight=weight,
            timings=clock.timings(),
            complete=True,
        )

    def _decode(self, source: Source) -> Audio:
        if isinstance(source, bytes):
            return decode_bytes(source, max_duration=self.max_duration)
        if isinstance(source, str | Path):
            return decode_file(source, max_duration=self.max_duration)
        return source

    def _models(self, acoustic: AcousticModel) -> dict[str, str]:
        return {
            "acoustic": acoustic.name,
            "text": self.text.name if self.text else "none",
            "transcriber": self.transcriber.name if self.transcriber else "none",
            "speech_detector": self.detector.name,
        }


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    def timings(self) -> Timings:
        return Timings(**self._laps, total=self._last - self._start)
