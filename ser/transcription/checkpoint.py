"""Loads a transcriber from any folder: Whisper in CTranslate2's form, or a checkpoint of transformers.

Imports transformers only for the latter.
"""

import importlib
from pathlib import Path

import numpy as np

from ser.checkpoints.folder import find_damage
from ser.encoder.weights import WEIGHTS_FILE, read_weights
from ser.errors import ModelUnavailableError
from ser.protocols import Transcriber
from ser.transcription.faster_whisper import FasterWhisperTranscriber

TOKENIZER_FILE = "tokenizer.json"


def load_checkpoint(folder: Path, device: str = "cpu", name: str | None = None, *, threads: int = 1) -> Transcriber:
    """Load a checkpoint that writes words (Whisper and the like) or spells letters (wav2vec2 with CTC and the like).

    Args:
        folder: of a checkpoint.
        device: `cpu`, `cuda`, or `auto` for CUDA if there is any.
        name: for people; by default the folder's.
        threads: of the CPU; models of transformers take what torch is set to.

    Raises:
        ModelUnavailableError: if it is another kind of model, damaged, or incomplete.
    """
    if is_ctranslate2(folder):
        check_ctranslate2(folder)
        return FasterWhisperTranscriber(folder, name, device, threads=threads).load()
    form = importlib.import_module("ser.transcription.transformers_form")
    loaded: Transcriber = form.load_transformers(folder, device, name)
    return loaded


def is_ctranslate2(folder: Path) -> bool:
    """Tell a folder in CTranslate2's form from one of transformers."""
    return (folder / WEIGHTS_FILE).is_file() and not any(folder.glob("*.safetensors"))


def check_ctranslate2(folder: Path) -> None:
    """Refuse a folder that is incomplete, or whose weights are pointers of Git LFS, truncated or no numbers.

    Raises:
        ModelUnavailableError: naming the file and what is wrong with it.
    """
    damage = find_damage(folder)
    if damage is None and not (folder / TOKENIZER_FILE).is_file():
        damage = f"{TOKENIZER_FILE} is missing. Convert it with --copy_files {TOKENIZER_FILE}."
    if damage is None:
        for variable, values in read_weights(folder / WEIGHTS_FILE).items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                damage = f"{WEIGHTS_FILE} holds numbers that are none (NaN) in {variable}: its training failed."
                break
    if damage is not None:
        raise ModelUnavailableError(f"'{folder}' is no usable checkpoint: {damage} Take the model from its source.")
