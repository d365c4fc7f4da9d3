"""Speech -> words: which transcriber is in use, and why.

Imports transformers only if a checkpoint of transformers is chosen.
"""

from dataclasses import dataclass
from pathlib import Path

from ser.checkpoints.hub import cached_checkpoint, hub_reachable, resolve_checkpoint
from ser.config import EMBEDDED, NO_MODEL, Settings
from ser.encoder.weights import NAME, find_weights
from ser.errors import ModelUnavailableError
from ser.protocols import Transcriber
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.faster_whisper import FasterWhisperTranscriber


@dataclass(frozen=True)
class TranscriberChoice:
    """The transcriber in use, and the reason in a sentence for people; None if there is deliberately none."""

    transcriber: Transcriber | None
    reason: str


def load_transcriber(settings: Settings) -> TranscriberChoice:
    """Load what the settings name.

    `auto` takes the checkpoint that `SER_WHISPER_MODEL` names if it is a folder, in the hub's cache or on a hub within
    reach, and otherwise the embedded transcriber; that is decided within 3 s (loading and downloading take longer).

    Raises:
        ModelUnavailableError: if a checkpoint is named and cannot be had (for `auto` the embedded one takes its
            place), or the embedded weights are absent.
    """
    model = settings.transcriber_model
    if model == NO_MODEL:
        return TranscriberChoice(None, "No transcripts: switched off in the settings.")
    if settings.transcriber == "pocketsphinx":
        return _embedded(settings, "pocketsphinx is no longer included; set SER_TRANSCRIBER to 'embedded'.")
    if model == EMBEDDED:
        return _embedded(settings)
    if settings.transcriber != "auto":
        return TranscriberChoice(_named(model, settings), f"Transcripts by {model}, as set.")
    if not Path(model).expanduser().is_dir() and cached_checkpoint(model) is None and not hub_reachable():
        return _embedded(settings, f"{model} is not on this machine and no model hub can be reached.")
    try:
        return TranscriberChoice(_named(model, settings), f"Transcripts by {model}.")
    except ModelUnavailableError as error:
        return _embedded(settings, str(error))


def _embedded(settings: Settings, why: str = "") -> TranscriberChoice:
    # On the CPU unless CUDA is asked for: it is small, and a shared GPU has better to do.
    device = "cuda" if settings.device == "cuda" else "cpu"
    threads = settings.transcriber_threads
    transcriber = FasterWhisperTranscriber(find_weights(), NAME, device, threads=threads, language="en")
    return TranscriberChoice(transcriber, f"Transcripts by the embedded {NAME}{': ' + why if why else '.'}")


def _named(model: str, settings: Settings) -> Transcriber:
    return load_checkpoint(resolve_checkpoint(model), settings.device, model, threads=settings.transcriber_threads)
