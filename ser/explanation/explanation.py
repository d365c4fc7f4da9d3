"""Builds the explanation of an answer by taking parts of the recording away and answering again.

Every effect is the probability of the label with a part, less its probability without (of moments: on average over
what else is there): nothing is set by hand.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ser.audio.vad import trim_to_speech
from ser.errors import SettingsError
from ser.explanation.cues import CHANGES, CUES, VoiceCues, measure_cues
from ser.explanation.occlusion import Center, Voice, band_edges, cut_moments, leave_each_out
from ser.fusion.remarks import abstention
from ser.fusion.rule import FusionRule
from ser.protocols import AcousticModel, TextModel
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Recognition, Segment, SpeechRegion, Transcript

PADDING = 0.2
"""Seconds around the speech that the acoustic model gets; the default of `trim_to_speech`."""

DIGITS = 4


@dataclass(frozen=True)
class Part:
    """A moment (seconds) or a band (Hz), and how much it raised the probability of the label."""

    start: float
    end: float
    effect: float


@dataclass(frozen=True)
class Word:
    """A word of the transcript, and how much it raised the probability of the label."""

    text: str
    start: float
    end: float
    effect: float


@dataclass(frozen=True)
class Cue:
    """A voice cue against the usual one.

    Attributes:
        name: one of `CUES`.
        value: in this recording; None if there is too little to measure.
        usual: of the speaker or the source; None if nothing is known.
        unit: of both.
        effect: how much the difference raised the probability of the label: that of the recording, less that of the
            recording with the usual cue. None if there is no usual one.
    """

    name: str
    value: float | None
    usual: float | None
    unit: str
    effect: float | None


@dataclass(frozen=True)
class Explanation:
    """The reasons for one label of an answer.

    Attributes:
        label: that is explained.
        confidence: its probability in the answer.
        moments: in order of time; together they are all of the speech.
        bands: from low to high.
        words: in order; empty if the words did not count.
        words_effect: how much the words together raised the probability, against the voice alone.
        cues: in the order of `CUES`.
        seconds: that it took.
    """

    label: str
    confidence: float
    moments: tuple[Part, ...]
    bands: tuple[Part, ...]
    words: tuple[Word, ...]
    words_effect: float
    cues: tuple[Cue, ...]
    seconds: float

    def as_dict(self, file: str | None = None) -> dict[str, object]:
        """Plain values for JSON: `file, label, confidence, moments, bands, words, words_effect, cues, seconds`."""
        return {
            "file": file,
            "label": self.label,
            "confidence": round(self.confidence, DIGITS),
            "moments": [
                {"start": round(part.start, 3), "end": round(part.end, 3), "effect": round(part.effect, DIGITS)}
                for part in self.moments
            ],
            "bands": [
                {"low": round(part.start), "high": round(part.end), "effect": round(part.effect, DIGITS)}
                for part in self.bands
            ],
            "words": [
                {
                    "text": word.text,
                    "start": round(word.start, 3),
                    "end": round(word.end, 3),
                    "effect": round(word.effect, DIGITS),
                }
                for word in self.words
            ],
            "words_effect": round(self.words_effect, DIGITS),
            "cues": [
                {
                    "name": cue.name,
                    "value": _rounded(cue.value),
                    "usual": _rounded(cue.usual),
                    "unit": cue.unit,
                    "effect": _rounded(cue.effect),
                }
                for cue in self.cues
            ],
            "seconds": round(self.seconds, DIGITS),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


@dataclass(frozen=True)
class Answerers:
    """Models that gave the answer."""

    acoustic: AcousticModel
    text: TextModel | None
    fusion: FusionRule
    center: Center = None


def build_explanation(
    audio: Audio,
    answer: Recognition,
    models: Answerers,
    label: str | None = None,
    usual: VoiceCues | None = None,
) -> Explanation:
    """Explain an answer.

    Args:
        audio: the recording.
        answer: complete, of these models.
        models: that gave it.
        label: to be explained; by default that of the answer.
        usual: cues of the speaker or the source; None if nothing is known.

    Raises:
        SettingsError: if the answer has no such label.
    """
    started = time.perf_counter()
    label = answer.label if label is None else label
    if label not in answer.fused.labels:
        raise SettingsError(f"The label is '{label}'; expected one of {', '.join(answer.fused.labels)}.")
    spoken = trim_to_speech(audio, answer.speech, PADDING)
    begin = max(0.0, answer.speech[0].start - PADDING)
    voice, words = Voice(models.acoustic, spoken.signal, models.center), _Words(answer, models, label)
    whole = words.probability(voice.scores)
    spans = cut_moments(len(spoken.signal))
    moments = [
        Part(begin + start / SAMPLING_RATE, begin + end / SAMPLING_RATE, effect)
        for (start, end), effect in zip(spans, voice.moment_effects(spans, words.probability).tolist(), strict=True)
    ]
    edges = band_edges()
    limits = list(zip(edges[:-1], edges[1:], strict=True))
    bands = [
        Part(low, high, whole - words.probability(scores))
        for (low, high), scores in zip(limits, voice.without_bands(limits), strict=True)
    ]
    speech = [SpeechRegion(r.start - begin, r.end - begin) for r in answer.speech]
    cues = _explain_cues(spoken, speech, voice, usual, words)
    return Explanation(
        label=label,
        confidence=answer.fused.as_dict()[label],
        moments=tuple(moments),
        bands=tuple(bands),
        words=tuple(words.effects(voice.scores)),
        words_effect=whole - words.probability(voice.scores, spoken=False),
        cues=tuple(cues),
        seconds=time.perf_counter() - started,
    )


def _explain_cues(
    audio: Audio, speech: Sequence[SpeechRegion], voice: Voice, usual: VoiceCues | None, words: "_Words"
) -> list[Cue]:
    values = measure_cues(audio, speech).as_dict()
    expected = dict.fromkeys(CUES) if usual is None else usual.as_dict()
    changed = {
        name: CHANGES[name](audio.signal, speech, value, common)
        for name, value in values.items()
        if value is not None and (common := expected[name]) is not None
    }
    scores = dict(zip(changed, voice.changed(list(changed.values())), strict=True))
    whole = words.probability(voice.scores)
    effects = {name: whole - words.probability(answer) for name, answer in scores.items()}
    return [Cue(name, values[name], expected[name], unit, effects.get(name)) for name, unit in CUES.items()]


class _Words:
    """The words of an answer, and what they make of any answer of the voice."""

    def __init__(self, answer: Recognition, models: Answerers, label: str) -> None:
        self._models, self._label, self._transcript = models, label, answer.transcript
        # Words that abstained in the answer have no part in it.
        self._scores = answer.text
        # A language model is not asked again for each part that is left out.
        self._opinion = answer.opinion.scores if answer.opinion else None
        self._face = answer.face.scores if answer.face else None

    def probability(self, voice: EmotionScores, *, spoken: bool = True) -> float:
        """Probability of the label, with these scores of the voice."""
        return self._join(voice, self._scores if spoken else None, self._transcript)

    def _join(self, voice: EmotionScores, text: EmotionScores | None, transcript: Transcript | None) -> float:
        fusion = self._models.fusion
        fused = fusion.temper_acoustic(voice)
        if text is not None and transcript is not None:
            fused, _ = fusion.join(voice, text, transcript)
        if self._opinion is not None and self._transcript is not None:
            fused, _ = fusion.add_opinion(fused, self._opinion, self._transcript)
        if self._face is not None:
            fused, _ = fusion.add_face(fused, self._face)
        return fused.as_dict()[self._label]

    def effects(self, voice: EmotionScores) -> list[Word]:
        """The effect of each word: it is left out of the transcript, and what is left is read anew."""
        transcript, text = self._transcript, self._models.text
        if transcript is None or text is None or self._scores is None:
            return []

        def probability(rest: Sequence[Segment]) -> float:
            left = replace(transcript, text=" ".join(one.text for one in rest), segments=tuple(rest))
            scores = None if abstention(left, text.languages) else text.classify(left.text)
            return self._join(voice, scores, left)

        effects = leave_each_out(transcript.segments, probability)
        return [_word(segment, effect) for segment, effect in zip(transcript.segments, effects, strict=True)]


def _word(segment: Segment, effect: float) -> Word:
    return Word(segment.text.strip(), segment.start, segment.end, effect)
