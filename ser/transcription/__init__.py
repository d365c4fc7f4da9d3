"""Speech -> words: which transcriber is in use, and why.

Imports transformers only where a checkpoint is chosen.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from ser.config import NO_MODEL, Settings
from ser.errors import ModelUnavailableError
from ser.hub import cached_checkpoint, hub_reachable, pick_device, resolve_checkpoint
from ser.transcription.pocketsphinx import PocketsphinxTranscriber
from ser.types import Transcriber


@dataclass(frozen=True)
class TranscriberChoice:
    """The transcriber in use, and the reason in a sentence to show; None where there is deliberately none."""

    transcriber: Transcriber | None
    reason: str


def load_transcriber(settings: Settings) -> TranscriberChoice:
    """Load what the settings name.

    `auto` takes the speech recognition checkpoint where it is a folder, in the hub's cache or on a hub within reach,
    and otherwise the embedded transcriber; that is decided within 3 s (loading and downloading take longer).

    Raises:
        ModelUnavailableError: where a checkpoint is asked for by name and cannot be had; never for `auto`.
    """
    model = settings.whisper_model
    if settings.transcriber == NO_MODEL:
        return TranscriberChoice(None, "No transcripts: switched off in the settings.")
    if settings.transcriber == "pocketsphinx":
        return TranscriberChoice(PocketsphinxTranscriber(), "Transcripts by pocketsphinx, as set.")
    if settings.transcriber == "whisper":
        return TranscriberChoice(_load_checkpoint(settings), f"Transcripts by {model}, as set.")
    if not Path(model).expanduser().is_dir() and cached_checkpoint(model) is None and not hub_reachable():
        return TranscriberChoice(
            PocketsphinxTranscriber(),
            f"Transcripts by pocketsphinx: {model} is not on this machine and no model hub can be reached.",
        )
    try:
        return TranscriberChoice(_load_checkpoint(settings), f"Transcripts by {model}.")
    except ModelUnavailableError as error:
        return TranscriberChoice(PocketsphinxTranscriber(), f"Transcripts by pocketsphinx: {error}")


def _load_checkpoint(settings: Settings) -> Transcriber:
    folder = resolve_checkpoint(settings.whisper_model)
    checkpoint = importlib.import_module("ser.transcription.checkpoint")
    loaded: Transcriber = checkpoint.load_checkpoint(folder, pick_device(settings.device), settings.whisper_model)
    return loaded
