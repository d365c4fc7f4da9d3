"""Speech emotion recognition: audio in, `Recognition` out. Knows no database and no page.

>>> from ser import load_recognizer
>>> from ser.testing import synthetic_speech
>>> answer = load_recognizer().recognize(synthetic_speech(2.0))  # or the name of a file, or its bytes
>>> answer.label in answer.fused.as_dict() and 0.0 <= answer.confidence <= 1.0
True

The names below are loaded when first used, so that `import ser` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ser.audio.decoding import decode_bytes, decode_file
    from ser.config import Settings
    from ser.errors import SerError
    from ser.labels import EMOTIONS
    from ser.loading import load_recognizer
    from ser.recognizer import Recognizer
    from ser.types import Audio, EmotionScores, Recognition, Transcript

__all__ = [
    "EMOTIONS",
    "Audio",
    "EmotionScores",
    "Recognition",
    "Recognizer",
    "SerError",
    "Settings",
    "Transcript",
    "decode_bytes",
    "decode_file",
    "load_recognizer",
]

_HOMES = {
    "EMOTIONS": "ser.labels",
    "Audio": "ser.types",
    "EmotionScores": "ser.types",
    "Recognition": "ser.types",
    "Recognizer": "ser.recognizer",
    "SerError": "ser.errors",
    "Settings": "ser.config",
    "Transcript": "ser.types",
    "decode_bytes": "ser.audio.decoding",
    "decode_file": "ser.audio.decoding",
    "load_recognizer": "ser.loading",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'ser' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
