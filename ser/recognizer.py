"""The pipeline: audio -> speech -> voice and words -> one answer.

Knows the protocols of `ser.protocols`, not the models behind them; loads nothing (see `ser.loading`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ser.acoustic.sounds import Sound, classify_sound_embeddings, classify_sounds, find_center
from ser.audio.batching import BATCH_SIZE, map_batches
from ser.audio.decoding import decode_bytes, decode_file
from ser.audio.denoising import NOTE, denoise
from ser.audio.long_recordings import LongRecording, read_long
from ser.audio.vad import no_speech, trim_to_speech
from ser.clock import Clock
from ser.config import NO_MODEL
from ser.encoder.profiles import PLAIN, Profiles
from ser.errors import AudioError
from ser.evaluation.predictions import embedding_model
from ser.explanation.cues import VoiceCues
from ser.explanation.explanation import Answerers, Explanation, build_explanation
from ser.face import FaceReader, Picture
from ser.fusion.remarks import abstention, find_doubt, remark
from ser.fusion.rule import FusionRule, combine, with_face
from ser.language_model.opinion import SecondOpinion, Turn
from ser.protocols import AcousticModel, SpeechDetector, TextModel, Transcriber
from ser.timeline.live import LiveTimeline
from ser.timeline.regions import Timeline
from ser.timeline.speakers import OFF, parse_speakers
from ser.timeline.timeline import AUTO, Parts, build_timeline
from ser.timeline.voices import load_voice_encoder
from ser.types import SAMPLING_RATE, Audio, Recognition, SpeechRegion

Source = str | Path | bytes | Audio


class Recognizer:
    """Recognises the emotion in a recording; safe to call from several threads.

    Args:
        detector: finds speech; a recording without any is refused.
        acoustic: predicts emotion from the voice.
        text: predicts emotion from the words; None leaves the answer to the voice.
        transcriber: turns speech into words; None leaves out transcript and text.
        max_duration: longest accepted recording in seconds; None for no limit.
        transcriber_reason: why this transcriber is in use, as a sentence.
        fusion: puts voice and words together; by default the rule that ships with the program.
    """

    def __init__(
        self,
        detector: SpeechDetector,
        acoustic: AcousticModel,
        text: TextModel | None,
        transcriber: Transcriber | None,
        *,
        max_duration: float | None = 60.0,
        transcriber_reason: str = "",
        fusion: FusionRule | None = None,
    ) -> None:
        self.detector = detector
        self.acoustic = acoustic
        self.text = text
        self.transcriber = transcriber
        self.max_duration = max_duration
        self.transcriber_reason = transcriber_reason
        self.fusion = fusion or FusionRule()
        self.denoise = False  # Before every analysis; for one, give `ser.audio.denoising.denoise(audio)`.
        self.opinion: SecondOpinion | None = None
        self.face = FaceReader(NO_MODEL)

    @property
    def models(self) -> dict[str, str]:
        """Names and versions of the parts in use."""
        return self._models(self.acoustic)

    def replace_acoustic(self, model: AcousticModel) -> None:
        """Replace the acoustic model; answers under way finish on the one they began with."""
        self.acoustic = model

    def replace_text(self, model: TextModel | None) -> None:
        """Replace the text model."""
        self.text = model

    def replace_transcriber(self, transcriber: Transcriber | None) -> None:
        """Replace the transcriber."""
        self.transcriber = transcriber

    def replace_fusion(self, rule: FusionRule) -> None:
        """Replace the rule that puts voice and words together."""
        self.fusion = rule

    def warm_up(self) -> None:
        """Run every model once: libraries do much at their first use that nobody should have to wait for."""
        audio = Audio(np.random.default_rng(0).normal(0.0, 0.01, SAMPLING_RATE).astype(np.float32))
        self.detector.detect(audio)
        self.acoustic.classify(audio)
        if self.transcriber is not None:
            self.transcriber.transcribe(audio, (SpeechRegion(0.0, audio.duration),))
        if self.text is not None:
            self.text.classify("hello")

    def recognize(
        self, source: Source, profiles: Profiles = PLAIN, turns: Sequence[Turn] = (), face: Picture | None = None
    ) -> Recognition:
        """Recognise one recording; returns the complete answer.

        Args:
            source: a path, the bytes of an audio file, or decoded `Audio`.
            profiles: other recordings of the place and of the speaker, to adapt the answer by.
            turns: said before, which a language model reads as well.
            face: a picture of the speaker; what it shows comes with the answer, and counts once it was shown to help.

        Raises:
            AudioError: if the source is no usable recording, or holds no speech.
            SerError: if the picture is none, or the model of faces is missing.
        """
        *_, answer = self.recognize_steps(source, profiles, turns, face)
        return answer

    def recognize_steps(
        self, source: Source, profiles: Profiles = PLAIN, turns: Sequence[Turn] = (), face: Picture | None = None
    ) -> Iterator[Recognition]:
        """Recognise one recording and yield the answer as it grows: voice, then transcript, then fused, then opinion.

        Every early answer has `complete=False` and is usable as it stands; the last one is what `recognize` returns,
        with the same errors.
        """
        (analysis,) = self._analyse([source], profiles)
        if isinstance(analysis, AudioError):
            raise analysis
        seen = None if face is None else self.face.read(face)
        for answer in self._answers(analysis, turns):
            yield with_face(answer, self.fusion, seen)

    def timeline(
        self,
        source: Source | LongRecording,
        channels: str = AUTO,
        *,
        max_duration: float | None = None,
        profiles: Profiles = PLAIN,
        speakers: str | int = OFF,
    ) -> Timeline:
        """Find the regions of one feeling in a recording of any length.

        Args:
            source: a path, the bytes of an audio file, decoded `Audio`, or what `read_long` has read already.
            channels: see `build_timeline`.
            max_duration: longest accepted recording in seconds, in place of the recogniser's; None for no limit.
            profiles: that the answers are adapted by.
            speakers: of one channel to be told apart by their voices: `off`, `auto`, or their number.

        Raises:
            SerError: see `build_timeline`, or if there is no encoder of voices.
        """
        parts = self._parts(profiles, parse_speakers(speakers))
        recording = source if isinstance(source, LongRecording) else read_long(source, max_duration)
        return build_timeline(recording, parts, channels)

    def live(self, executor: Executor, profiles: Profiles = PLAIN) -> LiveTimeline:
        """Begin to answer a stream of sound.

        Args:
            executor: reads the words of what was said while the stream goes on.
            profiles: that the answers are adapted by.
        """
        return LiveTimeline(self._parts(profiles, OFF), executor)

    def _parts(self, profiles: Profiles, speakers: int | str) -> Parts:
        models = (self.detector, self.acoustic, self.text, self.transcriber, self.fusion)
        center, voices = find_center(self.acoustic, profiles), None if speakers == OFF else load_voice_encoder()
        count = speakers if isinstance(speakers, int) else None
        return Parts(*models, center, self.opinion, voices, count, profiles, denoise=self.denoise)

    def explain(
        self,
        source: Source,
        profiles: Profiles = PLAIN,
        *,
        label: str | None = None,
        answer: Recognition | None = None,
        usual: VoiceCues | None = None,
    ) -> Explanation:
        """Explain an answer: the moments, bands, words and voice cues that raised the probability of its label.

        Args:
            source: see `recognize`.
            profiles: that the answer is adapted by.
            label: to be explained; by default that of the answer.
            answer: complete, of this recogniser to this source; without it the source is recognised first.
            usual: voice cues of the speaker or the source, as `ser.explanation.cues.usual_cues` gives them.

        Raises:
            SerError: as `recognize`'s, or if there is no such label.
        """
        audio, acoustic = self.decode(source), self.acoustic
        answer = self.recognize(audio, profiles) if answer is None else answer
        models = Answerers(acoustic, self.text, self.fusion, find_center(acoustic, profiles))
        return build_explanation(denoise(audio) if NOTE in answer.notes else audio, answer, models, label, usual)

    def adapt(self, answers: Sequence[Recognition], profiles: Sequence[Profiles]) -> list[Recognition]:
        """Adapt complete answers by profiles, without embedding their recordings again.

        Args:
            answers: of this recogniser's acoustic model.
            profiles: for each answer.

        Raises:
            SettingsError: if the acoustic model has no embeddings.
        """
        adapted = []
        for answer, chosen in zip(answers, profiles, strict=True):
            model = embedding_model(self.acoustic)
            if answer.embedding is None or answer.embedding.encoder != model.encoder_sha256:
                raise ValueError("the answer has no embedding of the acoustic model in use")
            sound = classify_sound_embeddings(model, answer.embedding.vector[None], chosen)[0]
            made = {answer.opinion.note if answer.opinion else None}
            if answer.text is not None:
                made.add(remark(answer.acoustic, answer.text, answer.text_weight))
            notes = [*(note for note in answer.notes if note not in made), *sound.notes]
            joined = combine(answer, self.fusion, sound.scores, sound.novelty, notes)
            adapted.append(with_face(replace(joined, profile=sound.profile), self.fusion, answer.face))
        return adapted

    def recognize_many(
        self, sources: Iterable[Source], *, batch_size: int | None = None, workers: int | None = None
    ) -> Iterator[Recognition | AudioError]:
        """Recognise many recordings, several times as quickly as one by one if nothing is transcribed.

        Args:
            sources: paths, bytes or decoded `Audio`; read as they are needed.
            batch_size: recordings that are embedded together; by default `BATCH_SIZE`, or 1 with a transcriber, which
                takes most of the time and gains nothing from batches.
            workers: threads, each with a batch of its own; by default one for each core.

        Yields:
            For each source, in order, its complete answer, or the error that says why there is none. Times of steps
            that were made together are shared out evenly.
        """
        size = batch_size or (BATCH_SIZE if self.transcriber is None else 1)
        return map_batches(self._recognize_batch, sources, batch_size=size, workers=workers)

    def _recognize_batch(self, sources: Sequence[Source]) -> list[Recognition | AudioError]:
        analyses = self._analyse(sources)
        return [a if isinstance(a, AudioError) else list(self._answers(a))[-1] for a in analyses]

    def _analyse(self, sources: Sequence[Source], profiles: Profiles = PLAIN) -> list["_Analysis | AudioError"]:
        """Decode recordings, find their speech and classify the sound, all with one and the same acoustic model."""
        model, analyses = self.acoustic, dict[int, _Analysis | AudioError]()
        decoded: dict[int, tuple[Audio, Clock]] = {}
        for which, source in enumerate(sources):
            clock = Clock()
            try:
                decoded[which] = self.decode(source), clock
            except AudioError as error:
                analyses[which] = error
            clock.lap("decode")
        together = Clock()
        regions = {which: self.detector.detect(audio) for which, (audio, _) in decoded.items()}
        together.lap("vad")
        spoken = {which: trim_to_speech(decoded[which][0], speech) for which, speech in regions.items() if speech}
        sounds = dict(
            zip(spoken, classify_sounds(model, list(spoken.values()), profiles) if spoken else (), strict=True)
        )
        together.lap("acoustic")
        for which, (audio, clock) in decoded.items():
            if which not in sounds or not sounds[which].is_speech:
                analyses[which] = no_speech(audio.duration)
                continue
            clock.share(together, len(decoded))
            analyses[which] = _Analysis(audio, regions[which], sounds[which], self._models(model), clock)
        return [analyses[which] for which in range(len(sources))]

    def _answers(self, analysis: "_Analysis", turns: Sequence[Turn] = ()) -> Iterator[Recognition]:
        """Yield the answer of the voice alone, then with the transcript, then with the words, then with an opinion."""
        audio, sound, clock = analysis.audio, analysis.sound, analysis.clock
        notes, alone = [*audio.notes, *sound.notes], self.fusion.temper_acoustic(sound.scores)
        answer = Recognition(
            duration=audio.duration,
            speech=tuple(analysis.speech),
            acoustic=sound.scores,
            transcript=None,
            text=None,
            fused=alone,
            text_weight=0.0,
            notes=tuple(notes),
            timings=clock.timings(),
            models=analysis.models,
            complete=self.transcriber is None,
            unsure=find_doubt(alone, sound.novelty),
            profile=sound.profile,
            embedding=None if NOTE in audio.notes else sound.embedding,
        )
        yield answer
        if self.transcriber is None:
            return
        transcript = self.transcriber.transcribe(audio, analysis.speech)
        clock.lap("transcription")
        asked = self.opinion if abstention(transcript, None) is None else None
        complete = self.text is None and asked is None
        answer = replace(answer, transcript=transcript, timings=clock.timings(), complete=complete)
        yield answer
        if self.text is not None:
            reason = abstention(transcript, self.text.languages)
            if reason is None:
                answer = replace(answer, text=self.text.classify(transcript.text))
                clock.lap("text")
            else:
                notes.append(reason)
            answer = combine(answer, self.fusion, sound.scores, sound.novelty, notes)
            answer = replace(answer, timings=clock.timings(), complete=asked is None)
            yield answer
        if asked is None:
            return
        opinion, trouble = asked.ask(transcript.text, turns)
        clock.lap("language_model")
        answer = replace(answer, opinion=opinion, timings=clock.timings(), complete=True)
        yield combine(answer, self.fusion, sound.scores, sound.novelty, [*notes, trouble] if trouble else notes)

    def decode(self, source: Source) -> Audio:
        """Decode a source, as `recognize` does."""
        limit = self.max_duration
        if not isinstance(source, Audio):
            source = decode_bytes(source, "", limit) if isinstance(source, bytes) else decode_file(source, limit)
        return denoise(source) if self.denoise else source

    def _models(self, acoustic: AcousticModel) -> dict[str, str]:
        return {
            "acoustic": acoustic.name,
            "text": self.text.name if self.text else "none",
            "transcriber": self.transcriber.name if self.transcriber else "none",
            "speech_detector": self.detector.name,
            **({"language_model": self.opinion.name} if self.opinion else {}),
        }


@dataclass(frozen=True, eq=False)
class _Analysis:
    """A recording whose voice is classified, and whose words are not yet."""

    audio: Audio
    speech: tuple[SpeechRegion, ...]
    sound: Sound
    models: Mapping[str, str]
    clock: Clock
