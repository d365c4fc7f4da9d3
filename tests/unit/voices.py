"""A few synthetic speakers whose emotions are distinct, for tests of training."""

from pathlib import Path

import soundfile

from ser.testing import synthetic_speech
from ser.types import Example

PITCHES = {"anger": 300.0, "sadness": 110.0, "neutral": 180.0}


def four_voices(folder: Path) -> list[Example]:
    """Four speakers, three emotions that differ in pitch, two takes of each."""
    examples = []
    for speaker in range(4):
        for label, pitch in PITCHES.items():
            for take in range(2):
                path = folder / f"{speaker}_{label}_{take}.flac"
                audio = synthetic_speech(0.7, pitch=pitch * (1 + 0.03 * speaker), seed=10 * speaker + take)
                soundfile.write(path, audio.signal, audio.sampling_rate)
                examples.append(Example(path, label, f"s{speaker}", "synthetic"))
    return examples
