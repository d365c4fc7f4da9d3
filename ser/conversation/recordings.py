"""Turns from sound: a call of two channels, any recording as a timeline, or several clips in a row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser.acoustic.sounds import classify_sounds
from ser.audio.long_recordings import LongRecording
from ser.conversation.turns import Turn
from ser.encoder.profiles import PLAIN, Profiles
from ser.errors import AudioError, SettingsError
from ser.recognizer import Recognizer
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO, FeelingRegion
from ser.types import Audio

MAX_PAUSE = 2.0
"""Seconds within a turn; after a longer silence the same person begins a new turn."""

MAX_TURN = 30.0
"""Seconds of a turn: one who speaks on and on has more than one feeling."""

MAX_DURATION = 3600.0
"""Seconds of a recording whose turns are read: the sound of every channel is in memory."""

ALONE = "speaker"


def turns_of_recording(
    recognizer: Recognizer,
    recording: LongRecording,
    channels: str = AUTO,
    profiles: Profiles = PLAIN,
    speakers: str | int = OFF,
) -> tuple[list[Turn], tuple[str, ...]]:
    """Divide a recording into turns, as its timeline finds them.

    Args:
        recognizer: answers it.
        recording: at most `MAX_DURATION`.
        channels: see `ser.timeline.timeline.build_timeline`; with speakers in channels of their own each is one.
        profiles: that the answers are adapted by.
        speakers: of one channel to be told apart by their voices: `off`, `auto`, or their number.

    Returns:
        The turns, and notes on the recording.

    Raises:
        AudioError: if it is too long or holds no speech.
        SerError: if there is no such way with channels or speakers, or no encoder of voices.
    """
    if recording.duration > MAX_DURATION:
        raise AudioError(
            f"The recording has {recording.duration / 60:.0f} minutes; at most {MAX_DURATION / 60:.0f} are read as a "
            "conversation. Cut it, or give its transcript."
        )
    timeline = recognizer.timeline(recording, channels, profiles=profiles, speakers=speakers)
    sounds: dict[int | None, Audio] = {}
    turns = []
    for regions in _group(timeline.regions):
        first, last = regions[0], regions[-1]
        channel = first.channel if recording.channels > 1 else None
        if channel not in sounds:
            sounds[channel] = Audio(np.concatenate(list(recording.blocks(None if channel is None else channel - 1))))
        sound = sounds[channel].crop(first.start, last.end)
        (answer,) = classify_sounds(recognizer.acoustic, [sound], profiles)
        words = " ".join(filter(None, (region.transcript for region in regions)))
        turns.append(Turn(first.speaker or ALONE, words, first.start, last.end, answer.scores))
    return turns, timeline.notes


def turns_of_clips(
    recognizer: Recognizer, paths: Sequence[Path], speakers: Sequence[str]
) -> tuple[list[Turn], dict[Path, str]]:
    """Take each of several clips as a turn, one after the other.

    Args:
        recognizer: answers them.
        paths: in order.
        speakers: who speaks in turn, over and over: two names for a dialogue.

    Returns:
        The turns, and {clip: why it was left out}.

    Raises:
        SettingsError: if nobody is named.
    """
    if not speakers:
        raise SettingsError("No speaker is named. Name those who speak in turn, such as A B.")
    turns, failed, start = list[Turn](), dict[Path, str](), 0.0
    for number, (path, answer) in enumerate(zip(paths, recognizer.recognize_many(paths), strict=True)):
        if isinstance(answer, AudioError):
            failed[path] = str(answer)
            continue
        said = answer.transcript
        turns.append(
            Turn(
                speakers[number % len(speakers)],
                said.text if said else "",
                start,
                start + answer.duration,
                answer.acoustic,
                said.confidence if said else None,
            )
        )
        start += answer.duration
    return turns, failed


def _group(regions: Sequence[FeelingRegion]) -> list[list[FeelingRegion]]:
    """Put regions of one speaker together that nobody speaks between.

    Two people may speak at once: a region that begins while another is spoken is a turn of its own.
    """
    groups: list[list[FeelingRegion]] = []
    for region in sorted(regions, key=lambda one: one.start):
        last = groups[-1] if groups else None
        if (
            last is not None
            and (last[-1].speaker, last[-1].channel) == (region.speaker, region.channel)
            and region.start - last[-1].end <= MAX_PAUSE
            and region.end - last[0].start <= MAX_TURN
        ):
            last.append(region)
        else:
            groups.append([region])
    return groups
