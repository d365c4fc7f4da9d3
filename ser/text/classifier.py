"""Text models behind one protocol: the embedded one, or any text classification checkpoint of transformers.

Turns sentences into `EmotionScores`. Imports torch and transformers only if a foreign checkpoint is named.
"""

import importlib
from pathlib import Path

from ser.config import EMBEDDED, NO_MODEL
from ser.protocols import TextModel
from ser.text.checkpoint import is_trained
from ser.text.embedded import EMBEDDED_FOLDER, load_embedded


def load_text_model(
    name_or_dir: str | Path, device: str = "cpu", *, languages: tuple[str, ...] | None = None
) -> TextModel | None:
    """Load a text model.

    Args:
        name_or_dir: `embedded`; `none`; a folder that `ser.text.training` made; or the folder or Hub id of a
            text classification checkpoint with weights in safetensors.
        device: `cpu` or `cuda`, for foreign checkpoints; the embedded model answers on the CPU.
        languages: ISO 639-1 codes the checkpoint was trained on, if known; the embedded model knows its own.

    Returns:
        The model, or None for `none`.

    Raises:
        ModelUnavailableError: if the model is absent, damaged, untrained, or knows fewer than two of `EMOTIONS`.
    """
    if str(name_or_dir) == NO_MODEL:
        return None
    if str(name_or_dir) == EMBEDDED:
        return load_embedded(EMBEDDED_FOLDER)
    folder = Path(name_or_dir).expanduser()
    if is_trained(folder):
        return load_embedded(folder)
    # Serving with the embedded model must not pay for torch and transformers: some 5 s and 400 MB.
    model: TextModel = importlib.import_module("ser.text.foreign").load_checkpoint(str(name_or_dir), device, languages)
    return model
