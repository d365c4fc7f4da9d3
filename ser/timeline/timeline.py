"""Builds the timeline of a recording: passages, regions of one feeling, their words, changes and shares."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ser.acoustic.sounds import find_center
from ser.audio.denoising import NOTE, denoise_blocks
from ser.audio.long_recordings import LongRecording
from ser.audio.vad import no_speech
from ser.clock import Clock
from ser.encoder.profiles import PLAIN, SPEAKER, Profile, Profiles
from ser.errors import SettingsError
from ser.fusion.remarks import UNFAMILIAR, abstention, find_doubt
from ser.fusion.rule import FusionRule
from ser.language_model.opinion import Reading, SecondOpinion, Turn
from ser.protocols import AcousticModel, EmbeddingModel, SpeechDetector, TextModel, Transcriber
from ser.timeline.passages import Passage, cut_passages
from ser.timeline.regions import FeelingRegion, Timeline
from ser.timeline.segmentation import (
    Answer,
    FeltSpan,
    Run,
    SegmentationConfig,
    cut_phrases,
    list_runs,
    segment,
    with_shares,
)
from ser.timeline.speakers import Labels, find_speakers
from ser.timeline.voices import VoiceEncoder
from ser.types import Audio, EmotionScores, Segment, Signal, SpeechRegion, Transcript
from ser.wording import counted

SPLIT, MIX, AUTO = CHANNEL_MODES = ("split", "mix", "auto")

DEFAULT_CONFIG = SegmentationConfig()

MARGIN = 0.1
"""Seconds of sound around a run that the acoustic model gets."""

LEAST_OWN, MOST_OWN = 16, 64
"""Runs of a speaker that are enough for a profile of their own, and after which no more are embedded for it."""

Center = npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Parts:
    """The models that a timeline is built with, see `ser.recognizer.Recognizer`, and the profiles to adapt them by.

    A language model reads each region's words with those of the regions before. With an encoder of voices the speakers
    of a channel are told apart; their number is estimated unless it is given. Several speakers are adapted to
    themselves where `own_voices` says so; `center` is the mean for speakers who are not.
    """

    detector: SpeechDetector
    acoustic: AcousticModel
    text: TextModel | None
    transcriber: Transcriber | None
    fusion: FusionRule
    center: Center = None
    opinion: SecondOpinion | None = None
    voices: VoiceEncoder | None = None
    speakers: int | None = None
    profiles: Profiles = PLAIN
    own_voices: bool = True
    denoise: bool = False

    def sound(self, recording: LongRecording, channel: int | None) -> Iterator[Signal]:
        """The sound of a channel in blocks, without noise if that is wanted."""
        blocks = recording.blocks(channel)
        return denoise_blocks(blocks) if self.denoise else blocks


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
    """
    if channels not in CHANNEL_MODES:
        raise SettingsError(f"channels is '{channels}'; expected one of {', '.join(CHANNEL_MODES)}.")
    split = channels == SPLIT or (channels == AUTO and recording.differs)
    chosen: tuple[int | None, ...] = recording.used_channels if split and recording.channels > 1 else (None,)
    clock, regions, quiet = Clock(), list[FeelingRegion](), list[int | None]()
    for channel in chosen:
        who = list[Labels]()
        if parts.voices is not None:
            with clock.within("speakers"):
                passages = cut_passages(parts.sound(recording, channel), parts.detector)
                who = find_speakers(passages, parts.voices, parts.speakers, config)
        several = len({int(label) for labels in who for label in labels}) > 1
        found, centers = list[FeelingRegion](), dict[int, Center]()
        if parts.own_voices and (several or len(chosen) > 1):
            with clock.within("speakers"):
                passages = cut_passages(parts.sound(recording, channel), parts.detector)
                centers = find_own_centers(passages, who if several else None, parts, config)
        for at, passage in enumerate(cut_passages(clock.timed(parts.sound(recording, channel)), parts.detector)):
            for region in answer_passage(passage, parts, config, clock, who[at] if several else None, centers):
                _append(found, region, config.max_pause)
        number = 1 if recording.channels == 1 else None if channel is None else channel + 1
        named = None if channel is None else f"channel {channel + 1}"
        regions += [
            replace(region, channel=number, speaker=", ".join(filter(None, (named, region.speaker))) or None)
            for region in found
        ]
        if parts.voices is not None and not several:
            quiet.append(channel)
    if not regions:
        raise no_speech(recording.duration)
    regions.sort(key=lambda region: (region.start, region.channel or 0))
    with clock.within("language_model"):
        regions, remarks = _add_opinions(regions, parts)
    notes = (*recording.notes, *_note_channels(recording, split), *_note_speakers(quiet, parts), *remarks)
    notes = (*notes, NOTE) if parts.denoise else notes
    return Timeline(recording.duration, recording.channels, tuple(regions), clock.timings("vad"), notes)


def find_own_centers(
    passages: Iterable[Passage], who: Sequence[Labels] | None, parts: Parts, config: SegmentationConfig
) -> dict[int, Center]:
    """The means that adapt answers to each speaker's own voice, of those who say enough.

    Args:
        passages: of a channel, read as far as all speakers have said `MOST_OWN` runs.
        who: the speaker of each phrase of each passage; None if one person speaks.
        parts: the models; a neutral voice that is known already is not replaced.
        config: of the segmentation.
    """
    model = parts.acoustic
    if not isinstance(model, EmbeddingModel) or parts.profiles.known_neutral is not None:
        return {}
    people = {0} if who is None else {int(label) for labels in who for label in labels}
    own: dict[int, Profile] = {}
    for at, passage in enumerate(passages):
        phrases, labels = cut_phrases(passage.audio, passage.speech, config), None if who is None else who[at]
        for first, last in _turns(labels, len(phrases)):
            person = 0 if labels is None else int(labels[first])
            if person in own and own[person].clips >= MOST_OWN:
                continue
            runs = [(first + start, first + end) for start, end in list_runs(phrases[first:last], config)]
            taken = list[Run]()
            # The longest run from a phrase on, then that from the phrase after it.
            for run in sorted(runs, key=lambda run: (run[0], -run[1])):
                if not taken or run[0] >= taken[-1][1]:
                    taken.append(run)
            rows = model.embed_batch([_crop(passage.audio, phrases, run) for run in taken])
            newest = Profile.of(SPEAKER, model.encoder_sha256, rows)
            own[person] = own[person].merge(newest) if person in own else newest
        if all(person in own and own[person].clips >= MOST_OWN for person in people):
            break
    return {
        person: find_center(model, replace(parts.profiles, speaker=profile))
        for person, profile in own.items()
        if profile.clips >= LEAST_OWN
    }


def answer_passage(
    passage: Passage,
    parts: Parts,
    config: SegmentationConfig,
    clock: Clock,
    who: Labels | None,
    centers: Mapping[int, Center] | None = None,
) -> list[FeelingRegion]:
    """Regions of one feeling, and of one speaker where there are several, in a passage, with their words.

    Args:
        passage: with its speech.
        parts: the models.
        config: of the segmentation.
        clock: counts the time of each step.
        who: the speaker of each phrase; None if they are not told apart.
        centers: of speakers who are adapted to their own voice.
    """
    with clock.within("acoustic"):
        phrases = cut_phrases(passage.audio, passage.speech, config)
        felt, speakers = list[FeltSpan](), list[str | None]()
        for first, last in _turns(who, len(phrases)):
            runs = [(first + start, first + end) for start, end in list_runs(phrases[first:last], config)]
            center = (centers or {}).get(0 if who is None else int(who[first]), parts.center)
            answers = ask_model(parts, [_crop(passage.audio, phrases, run) for run in runs], center)
            told = {(start - first, end - first): one for (start, end), one in zip(runs, answers, strict=True)}
            spans = segment(phrases[first:last], told, config)
            felt += spans
            speakers += [None if who is None else f"speaker {who[first] + 1}"] * len(spans)
    words: Transcript | None = None
    if parts.transcriber is not None:
        with clock.within("transcription"):
            words = parts.transcriber.transcribe(passage.audio, passage.speech)
    shares = _share_words(words.segments if words else (), felt)
    regions = []
    with clock.within("text"):
        for span, speaker, own in zip(felt, speakers, shares, strict=True):
            text, scores = None, parts.fusion.temper_acoustic(span.scores)
            if words is not None:
                text = replace(words, text=" ".join(word.text for word in own), segments=tuple(own))
                scores = _fuse(span.scores, scores, text, parts)
            start, end = passage.start + span.start, passage.start + span.end
            doubt = find_doubt(scores, span.novelty)
            regions.append(FeelingRegion(start, end, speaker, None, scores, doubt, text.text if text else None))
    return regions


def _add_opinions(regions: list[FeelingRegion], parts: Parts) -> tuple[list[FeelingRegion], list[str]]:
    """Ask a language model about the words of each region, given those of the regions before."""
    if parts.opinion is None:
        return regions, []
    reading, turns, answered = Reading(parts.opinion), list[Turn](), list[FeelingRegion]()
    for region in regions:
        words = Transcript(region.transcript or "", None, (), "timeline")
        if abstention(words, None) is None:
            opinion = reading.ask(words.text, turns)
            if opinion is not None:
                scores, _ = parts.fusion.add_opinion(region.scores, opinion.scores, words)
                doubt = UNFAMILIAR if region.unsure == UNFAMILIAR else find_doubt(scores)
                region = replace(region, scores=scores, unsure=doubt)
        answered.append(region)
        turns.append(Turn(words.text, region.speaker or ""))
    said = (
        f"A language model read {reading.answered} of {counted(len(regions), 'region')}: "
        f"{counted(reading.tokens, 'token')}."
    )
    return answered, [said, *reading.trouble]


def _turns(who: Labels | None, phrases: int) -> list[Run]:
    """Runs of phrases of one speaker, as long as they are.

    >>> _turns(np.array([0, 0, 1]), 3)
    [(0, 2), (2, 3)]
    """
    edges = [0, *(np.flatnonzero(np.diff(who)) + 1).tolist(), phrases] if who is not None else [0, phrases]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _crop(audio: Audio, phrases: Sequence[SpeechRegion], run: Run) -> Audio:
    """A run's sound with a little around it, as far as half of the way to its neighbours."""
    first, last = phrases[run[0]], phrases[run[1] - 1]
    before = (first.start - phrases[run[0] - 1].end) / 2 if run[0] else MARGIN
    after = (phrases[run[1]].start - last.end) / 2 if run[1] < len(phrases) else MARGIN
    cut = audio.crop(first.start - min(MARGIN, before), last.end + min(MARGIN, after))
    # Digital silence is not how a room sounds: the acoustic model takes it for a feeling.
    sounding = np.flatnonzero(cut.signal)
    return Audio(cut.signal[sounding[0] : sounding[-1] + 1]) if len(sounding) else cut


def ask_model(parts: Parts, audios: Sequence[Audio], center: Center) -> list[Answer]:
    """The acoustic model's answers to stretches of speech."""
    model = parts.acoustic
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
    same = last is not None and (last.label, last.speaker) == (region.label, region.speaker)
    if last is None or not same or region.start - last.end > max_pause:
        regions.append(region)
        return
    seconds = np.array([last.end - last.start, region.end - region.start])
    mean = np.average([last.scores.probabilities, region.scores.probabilities], axis=0, weights=seconds)
    texts = [text for text in (last.transcript, region.transcript) if text is not None]
    scores = with_shares(last.scores, mean)
    joined = " ".join(filter(None, texts)) if texts else None
    regions[-1] = replace(last, end=region.end, scores=scores, unsure=last.unsure and region.unsure, transcript=joined)


def _note_channels(recording: LongRecording, split: bool) -> Iterator[str]:
    if recording.channels > 1 and recording.differs and not split:
        yield "The channels hold different speech and were mixed; 'split' answers each by itself."
    elif split and recording.channels > 1:
        named = ", ".join(str(channel + 1) for channel in recording.used_channels)
        reason = "hold different speech and" if recording.differs else ""
        yield f"Channels {named} {reason} were answered each by itself.".replace("  ", " ")


def _note_speakers(alone: Sequence[int | None], parts: Parts) -> Iterator[str]:
    if alone and parts.speakers is None:
        named = "" if alone == [None] else f" in channel {', '.join(str((channel or 0) + 1) for channel in alone)}"
        yield f"No second voice was told apart{named}; '--speakers N' names a number of speakers."
