"""`python -m ser say`: words in, a WAV file of them spoken out."""

import argparse
import sys
from pathlib import Path

from ser.config import Settings
from ser.synthesis import load_voice, speak, write_speech


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Speak a text into a file.

    Args:
        options: `text, out, tone, voice, chime`.
        settings: `device`, for a checkpoint.

    Returns:
        0.

    Raises:
        SerError: if there is no voice, nothing to say, or the file cannot be written.
    """
    voice = load_voice(options.voice, settings.device)
    target = Path(options.out)
    signals = speak(voice, " ".join(options.text), options.tone, chime=options.chime)
    seconds = write_speech(target, signals, voice)
    print(f"{target}: {seconds:.1f} s, {voice.name}, {options.tone}", file=sys.stderr)
    return 0
