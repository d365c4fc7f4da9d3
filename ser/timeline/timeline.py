"""Builds the timeline of a recording: passages, regions of one feeling, their words, changes and shares."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from ser.acoustic.model import require_seven
from ser.audio.long_recordings import LongRecording
from ser.audio.vad import no_speech
from ser.errors import SettingsError
from ser.fusion.remarks import UNFAMILIAR, abstention, find_doubt
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.language_model.opinion import SecondOpinion, Turn
from ser.protocols import AcousticModel, EmbeddingModel, SpeechDetector, TextModel, Transcriber
from ser.serialization import scores_to_dict
from ser.timeline.passages import Passage, cut_passages
from ser.timeline.segmentation import Answer, FeltSpan, Run, SegmentationConfig, cut_phrases, list_runs, segment
from ser.types import Audio, EmotionScores, Segment, Signal, SpeechRegion, Timings, Transcript

SPLIT, MIX, AUTO = CHANNEL_MODES = ("split", "mix", "auto")

DEFAULT_CONFIG = SegmentationConfig()

MARGIN = 0.1
"""Seconds of sound around a run that the acoustic model gets."""


@dataclass(frozen=True)
class FeelingRegion:
    """A stretch of speech with one feeling.

    Attributes:
        start: seconds from the beginning of the recording.
        end: the same.
        speaker: who speaks; None if speakers are not distinguished.
        channel: counted from 1; None if several are mixed.
        scores: of voice and words.
        unsure: why the label should not be relied on, as a sentence; None if nothing speaks against it.
        transcript: its words; None without a transcriber.
    """

    start: float
    end: float
    speaker: str | None
    channel: int | None
    scores: EmotionScores
    unsure: str | None
    transcript: str | None

    @property
    def label(self) -> str:
        """The most probable emotion."""
        return self.scores.label


@dataclass(frozen=True)
class Timeline:
    """Feeling over the time of a recording.

    Attributes:
        duration: of the recording, seconds.
        channels: of the file.
        regions: in order of their starts.
        timings: seconds.
        notes: what a person should know, as sentences.
    """

    duration: float
    channels: int
    regions: tuple[FeelingRegion, ...]
    timings: Timings
    notes: tuple[str, ...]

    @property
    def speakers(self) -> list[str]:
        """The distinguished speakers, in order of their first words."""
        return list(dict.fromkeys(region.speaker for region in self.regions if region.speaker is not None))

    @property
    def changes(self) -> list[tuple[FeelingRegion, FeelingRegion]]:
        """Regions of one speaker in a row whose labels differ, in order of time."""
        latest: dict[int | None, FeelingRegion] = {}
        found = []
        for region in self.regions:
            before = latest.get(region.channel)
            if before is not None and before.label != region.label:
                found.append((before, region))
            latest[region.channel] = region
        return found

    @property
    def summary(self) -> dict[str, float]:
        """Share of the speech by label, sum 1; in the order of `EMOTIONS`, without those that are not there."""
        seconds = {label: sum(r.end - r.start for r in self.regions if r.label == label) for label in EMOTIONS}
        total = sum(seconds.values())
        return {label: part / total for label, part in seconds.items() if part > 0}

    def as_regions(self) -> list[dict[str, object]]:
        """The regions as plain values."""
        return [
            {
                "start": round(region.start, 3),
                "end": round(region.end, 3),
                "speaker": region.speaker,
                "channel": region.channel,
                "label": region.label,
                "confidence": round(region.scores.confidence, 4),
                "scores": scores_to_dict(region.scores),
                "unsure": region.unsure,
                "transcript": region.transcript,
            }
            for region in self.regions
        ]

    def as_dict(self, file: str | None = None) -> dict[str, object]:
        """Plain values for JSON: `file, duration, channels, speakers, regions, changes, summary, timings, notes`."""
        return {
            "file": file,
            "duration": round(self.duration, 3),
            "channels": self.channels,
            "speakers": self.speakers,
            "regions": self.as_regions(),
            "changes": [
                {"time": round(after.start, 3), "from": before.label, "to": after.label, "speaker": after.speaker}
                for before, after in self.changes
            ],
            "summary": {label: round(share, 4) for label, share in self.summary.items()},
            "timings": {name: round(seconds, 4) for name, seconds in asdict(self.timings).items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Parts:
    """The models that a timeline is built with, see `ser.recognizer.Recognizer`, and the `center` of a profile.

    A language model reads each region's words with those of the regions before.
    """

    detector: SpeechDetector
    acoustic: AcousticModel
    text: TextModel | None
    transcriber: Transcriber | None
    fusion: FusionRule
    center: npt.NDArray[np.float32] | None = None
    opinion: SecondOpinion | None = None


def build_timeline(
    recording: LongRecording, parts: Parts, channels: str = AUTO, config: SegmentationConfig = DEFAULT_CONFIG
) -> Timeline:
    """Build the timeline of a recording.

    Args:
        recording: of any length; memory follows the regions alone.
        parts: the models.
        channels: `split` answers each channel by itself, `mix` all together, `auto` splits channels that differ.
        config: of the segmentation.

    Raises:
        AudioError: if it holds no speech, or cannot be read to its end.
        SettingsError: if there is no such way with channels.
        ModelUnavailableError: if the acoustic model has labels of its own.
    """
    require_seven(parts.acoustic)
    if channels not in CHANNEL_MODES:
        raise SettingsError(f"channels is '{channels}'; expected one of {', '.join(CHANNEL_MODES)}.")
    split = channels == SPLIT or (channels == AUTO and recording.differs)
    chosen: tuple[int | None, ...] = recording.used_channels if split and recording.channels > 1 else (None,)
    clock, regions = _Clock(), list[FeelingRegion]()
    for channel in chosen:
        found = list[FeelingRegion]()
        for passage in cut_passages(clock.timed(recording.blocks(channel)), parts.detector):
            for region in _answer(passage, parts, config, clock):
                _append(found, region, config.max_pause)
        number = 1 if recording.channels == 1 else None if channel is None else channel + 1
        speaker = None if channel is None else f"channel {channel + 1}"
        regions += [replace(region, channel=number, speaker=speaker) for region in found]
    if not regions:
        raise no_speech(recording.duration)
    regions.sort(key=lambda region: (region.start, region.channel or 0))
    with clock.lap("language_model"):
        regions, remarks = _add_opinions(regions, parts)
    notes = (*recording.notes, *_note_channels(recording, split), *remarks)
    return Timeline(recording.duration, recording.channels, tuple(regions), clock.timings(), notes)


def _answer(passage: Passage, parts: Parts, config: SegmentationConfig, clock: "_Clock") -> list[FeelingRegion]:
    """Regions of one feeling in a passage, with their words."""
    with clock.lap("acoustic"):
        phrases = cut_phrases(passage.audio, passage.speech, config)
        runs = list_runs(phrases, config)
        answers = _ask(parts, [_crop(passage.audio, phrases, run) for run in runs])
        felt = segment(phrases, dict(zip(runs, answers, strict=True)), config)
    words: Transcript | None = None
    if parts.transcriber is not None:
        with clock.lap("transcription"):
            words = parts.transcriber.transcribe(passage.audio, passage.speech)
    shares = _share_words(words.segments if words else (), felt)
    regions = []
    with clock.lap("text"):
        for span, own in zip(felt, shares, strict=True):
            text, scores = None, parts.fusion.temper_acoustic(span.scores)
            if words is not None:
                text = replace(words, text=" ".join(word.text for word in own), segments=tuple(own))
                scores = _fuse(span.scores, scores, text, parts)
            start, end = passage.start + span.start, passage.start + span.end
            doubt = find_doubt(scores, span.novelty)
            regions.append(FeelingRegion(start, end, None, None, scores, doubt, text.text if text else None))
    return regions


def _add_opinions(regions: list[FeelingRegion], parts: Parts) -> tuple[list[FeelingRegion], list[str]]:
    """Ask a language model about the words of each region; after a failure no more, as each costs a time limit."""
    if parts.opinion is None:
        return regions, []
    turns, tokens, asked, answered = list[Turn](), 0, 0, list[FeelingRegion]()
    trouble: str | None = None
    for region in regions:
        words = Transcript(region.transcript or "", None, (), "timeline")
        if abstention(words, None) is None and trouble is None:
            opinion, trouble = parts.opinion.ask(words.text, turns)
            if opinion is not None:
                tokens, asked = tokens + opinion.usage.prompt_tokens + opinion.usage.answer_tokens, asked + 1
                scores, _ = parts.fusion.add_opinion(region.scores, opinion.scores, words)
                doubt = UNFAMILIAR if region.unsure == UNFAMILIAR else find_doubt(scores)
                region = replace(region, scores=scores, unsure=doubt)
        answered.append(region)
        turns.append(Turn(words.text, region.speaker or ""))
    notes = [f"A language model read {asked} of {len(regions)} regions: {tokens} tokens."]
    return answered, [*notes, *([trouble] if trouble else [])]


def _crop(audio: Audio, phrases: Sequence[SpeechRegion], run: Run) -> Audio:
    """A run's sound with a little around it, as far as half of the way to its neighbours."""
    first, last = phrases[run[0]], phrases[run[1] - 1]
    before = (first.start - phrases[run[0] - 1].end) / 2 if run[0] else MARGIN
    after = (phrases[run[1]].start - last.end) / 2 if run[1] < len(phrases) else MARGIN
    cut = audio.crop(first.start - min(MARGIN, before), last.end + min(MARGIN, after))
    # Digital silence is not how a room sounds: the acoustic model takes it for a feeling.
    sounding = np.flatnonzero(cut.signal)
    return Audio(cut.signal[sounding[0] : sounding[-1] + 1]) if len(sounding) else cut


def _ask(parts: Parts, audios: Sequence[Audio]) -> list[Answer]:
    model, center = parts.acoustic, parts.center
    if not isinstance(model, EmbeddingModel):
        return [Answer(scores) for scores in model.classify_batch(audios)]
    rows = model.embed_batch(audios)
    return list(map(Answer, model.classify_embeddings(rows, center), model.novelty(rows, center), model.speech(rows)))


def _fuse(acoustic: EmotionScores, alone: EmotionScores, words: Transcript, parts: Parts) -> EmotionScores:
    if parts.text is None or abstention(words, parts.text.languages) is not None:
        return alone
    return parts.fusion.join(acoustic, parts.text.classify(words.text), words)[0]


def _share_words(words: Sequence[Segment], spans: Sequence[FeltSpan]) -> list[list[Segment]]:
    """Give each word to the span that its middle is in or nearest to."""
    shares: list[list[Segment]] = [[] for _ in spans]
    for word in words:
        middle = (word.start + word.end) / 2
        distances = [max(span.start - middle, middle - span.end, 0.0) for span in spans]
        shares[int(np.argmin(distances))].append(word)
    return shares


def _append(regions: list[FeelingRegion], region: FeelingRegion, max_pause: float) -> None:
    """Add a region, or lengthen the last one that it goes on with; scores are weighted by seconds."""
    last = regions[-1] if regions else None
    if last is None or last.label != region.label or region.start - last.end > max_pause:
        regions.append(region)
        return
    seconds = np.array([last.end - last.start, region.end - region.start])
    mean = np.average([last.scores.probabilities, region.scores.probabilities], axis=0, weights=seconds)
    texts = [text for text in (last.transcript, region.transcript) if text is not None]
    scores = EmotionScores(tuple((mean / mean.sum()).tolist()))
    joined = " ".join(filter(None, texts)) if texts else None
    regions[-1] = replace(last, end=region.end, scores=scores, unsure=last.unsure and region.unsure, transcript=joined)


def _note_channels(recording: LongRecording, split: bool) -> Iterator[str]:
    if recording.channels > 1 and recording.differs and not split:
        yield "The channels hold different speech and were mixed; 'split' answers each by itself."
    elif split and recording.channels > 1:
        named = ", ".join(str(channel + 1) for channel in recording.used_channels)
        reason = "hold different speech and" if recording.differs else ""
        yield f"Channels {named} {reason} were answered each by itself.".replace("  ", " ")


class _Clock:
    """Seconds spent in each step."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._laps: dict[str, float] = {}

    @contextmanager
    def lap(self, name: str) -> Iterator[None]:
        """Count the time within."""
        started = time.perf_counter()
        yield
        self._laps[name] = self._laps.get(name, 0.0) + time.perf_counter() - started

    def timed(self, blocks: Iterator[Signal]) -> Iterator[Signal]:
        """Count the time that blocks take to be decoded."""
        while True:
            with self.lap("decode"):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def timings(self) -> Timings:
        """Seconds of each step and of all; what is in none of the other steps is the search for speech."""
        total = time.perf_counter() - self._started
        return Timings(**self._laps, vad=total - sum(self._laps.values()), total=total)
