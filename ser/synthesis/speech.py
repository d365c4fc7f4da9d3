"""Speech from a voice and a tone, sentence by sentence, and the file it is kept in, marked as synthetic."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from ser.errors import SettingsError
from ser.types import Signal

LONGEST_TEXT = 1000
"""Characters spoken at a time: about a minute."""

SENTENCE = re.compile(r"(?<=[.!?…。!?])\s+|(?<=[。!?])")

SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)]*$")

CLAUSE = re.compile(r"[,;:–—，；：](?=\s|[一-龥])")
LEAST_FIRST, LONG_FIRST = 15, 45
"""Letters of the first part, and of a first sentence, beyond which it is cut after a comma or the like: a Piper voice
takes some 10 ms a letter on two busy cores."""

CLAUSE_PAUSE = 0.4
"""Pause after such a part, relative to that after a sentence."""

CHIME = ((880.0, 0.12), (587.3, 0.18))
"""Hz and seconds of the two notes that tell a listener that a machine speaks."""

SYNTHETIC = "Synthetic speech: no person said this."
"""Stands in the metadata of every file."""


@dataclass(frozen=True)
class Tone:
    """Changes a voice's way of speaking; all at rest, the voice speaks as it was trained to.

    What goes with which feeling of a speaker follows Juslin & Laukka 2003, "Communication of emotions in vocal
    expression and music performance", https://doi.org/10.1037/0033-2909.129.5.770: slow, low and soft where sad or
    tender, quick, high and lively where happy.

    Attributes:
        rate: factor of the speed of speaking.
        pitch: semitones up or down.
        pause: seconds of silence between sentences.
        volume: factor of the amplitude, at most 1.
    """

    rate: float = 1.0
    pitch: float = 0.0
    pause: float = 0.35
    volume: float = 0.9

    @property
    def speed(self) -> float:
        """The factor by which `pitch` alone would make the signal shorter, played faster.

        >>> Tone(pitch=12).speed
        2.0
        """
        return float(2.0 ** (self.pitch / 12))


TONES: Mapping[str, Tone] = {
    "neutral": Tone(),
    "calm": Tone(rate=0.92, pitch=-1.0, pause=0.5, volume=0.8),
    "gentle": Tone(rate=0.84, pitch=-1.5, pause=0.7, volume=0.6),
    "bright": Tone(rate=1.1, pitch=2.0, pause=0.25, volume=1.0),
}

_ANSWERS = {"sadness": "gentle", "fear": "gentle", "anger": "calm", "disgust": "calm", "happiness": "bright"}


def tone_for(feeling: str) -> str:
    """The tone to answer a feeling in; `neutral` where none is known to go with it.

    >>> tone_for("sadness"), tone_for("boredom")
    ('gentle', 'neutral')
    """
    return _ANSWERS.get(feeling, "neutral")


class Voice(Protocol):
    """Speaks sentences.

    Attributes:
        name: for people, and for the file's metadata.
        sampling_rate: Hz.
        language: ISO 639-1 code of the language spoken; empty if the voice does not say.
    """

    name: str
    sampling_rate: int
    language: str

    def say(self, sentence: str, tone: Tone) -> Signal:
        """Speak one sentence: float32 of shape (samples,), full scale ±1, in the tone's rate and pitch."""


def split_sentences(text: str) -> list[str]:
    """Cut a text after the marks that end sentences, and a long first one within, so that its sound comes soon.

    >>> split_sentences("That was hard. Was it? 我明白。你好")
    ['That was hard.', 'Was it?', '我明白。', '你好']
    >>> split_sentences("They gave your job to somebody else – it sounds as if that makes you sad.")
    ['They gave your job to somebody else –', 'it sounds as if that makes you sad.']
    """
    parts = [part.strip() for part in SENTENCE.split(text) if part.strip()]
    if parts and len(parts[0]) > LONG_FIRST:
        marks = [found.end() for found in CLAUSE.finditer(parts[0]) if found.end() >= LEAST_FIRST]
        near = [end for end in marks if end <= LONG_FIRST] or marks[:1]
        if near:
            parts[:1] = [parts[0][: near[-1]].strip(), parts[0][near[-1] :].strip()]
    return parts


def speak(voice: Voice, text: str, tone: str = "neutral", *, chime: bool = False) -> Iterator[Signal]:
    """Speak a text, sentence by sentence, so that the first is played while the next are synthesised.

    Args:
        voice: that speaks.
        text: up to `LONGEST_TEXT` characters.
        tone: one of `TONES`.
        chime: begin with two notes that tell a listener that a machine speaks.

    Yields:
        Signals at the voice's rate, silence between sentences included.

    Raises:
        SettingsError: if there is nothing to say, too much, or no such tone.
    """
    sentences = split_sentences(text)
    if not any(character.isalnum() for character in text):
        raise SettingsError("There is nothing to say. Give a text of at least one word.")
    if len(text) > LONGEST_TEXT:
        raise SettingsError(f"The text has {len(text)} characters; at most {LONGEST_TEXT} are spoken. Make it shorter.")
    if tone not in TONES:
        raise SettingsError(f"There is no tone '{tone}'; expected one of {', '.join(TONES)}.")
    return _sentences(voice, sentences, TONES[tone], chime)


def _sentences(voice: Voice, sentences: list[str], tone: Tone, chime: bool) -> Iterator[Signal]:
    if chime:
        yield _chime(voice.sampling_rate)
    previous = ""
    for number, sentence in enumerate(sentences):
        said = voice.say(sentence, tone)
        peak = float(np.abs(said).max(initial=0.0))
        said = said * np.float32(tone.volume / max(peak, 1e-6)) if peak else said
        pause = tone.pause if SENTENCE_END.search(previous) else CLAUSE_PAUSE * tone.pause
        silence = np.zeros(round(pause * voice.sampling_rate), np.float32)
        previous = sentence
        yield np.concatenate([silence, said]) if number else said


def _chime(rate: int) -> Signal:
    notes = []
    for frequency, seconds in CHIME:
        time = np.arange(round(seconds * rate)) / rate
        notes.append(0.2 * np.sin(2 * np.pi * frequency * time) * np.sin(np.pi * time / seconds))
    return np.concatenate([*notes, np.zeros(round(0.15 * rate))]).astype(np.float32)


def write_speech(target: Path | io.BytesIO, signals: Iterable[Signal], voice: Voice) -> float:
    """Write speech as a 16-bit WAV file whose metadata say that it is synthetic, and by which voice.

    Args:
        target: a file, or a buffer.
        signals: as `speak` gives them.
        voice: that spoke.

    Returns:
        Its length in seconds.

    Raises:
        SettingsError: if the file cannot be written.
    """
    try:
        file = soundfile.SoundFile(target, "w", voice.sampling_rate, 1, "PCM_16", format="WAV")
    except soundfile.LibsndfileError as error:
        raise SettingsError(f"{target} cannot be written ({error.error_string}). Name another file.") from error
    with file:
        file.comment = SYNTHETIC
        file.software = "Speech Emotion Studio"
        file.artist = voice.name
        for signal in signals:
            file.write(signal)
        return float(file.frames) / voice.sampling_rate
