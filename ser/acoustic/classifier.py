"""Loads an acoustic model by name: the embedded one, one trained here, or any finished checkpoint of transformers.

Imports no torch: a checkpoint's own module is imported when one is named.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Union

from ser.acoustic.exported import ExportedPipeline
from ser.acoustic.folders import is_head, is_pipeline, is_retired, model_folder
from ser.acoustic.model import HeadModel, load_head_model
from ser.checkpoints.hub import pick_device
from ser.errors import RetiredModelError

if TYPE_CHECKING:
    from ser.acoustic.checkpoint import CheckpointModel


LoadedAcousticModel = Union[HeadModel, ExportedPipeline, "CheckpointModel"]


def load_acoustic_model(name_or_dir: str | Path, device: str = "cpu") -> LoadedAcousticModel:
    """Load an acoustic model.

    Args:
        name_or_dir: `embedded`, a folder (also one that `python -m ser export` wrote), or a Hub id of an audio
            classification checkpoint.
        device: `cpu`, `cuda` or `auto`; the embedded encoder and models in ONNX form run on the CPU.

    Returns:
        An `AcousticModel` that also knows the `sha256` of its weights.

    Raises:
        RetiredModelError: if it is a network of an earlier version of the program.
        ModelUnavailableError: if it is absent, damaged, of another kind, or has fewer than two of the seven labels.
    """
    folder = model_folder(name_or_dir)
    device = pick_device(device)
    if is_head(folder):
        return load_head_model(folder, device)
    if is_pipeline(folder):
        return ExportedPipeline(folder)
    if is_retired(folder):
        raise RetiredModelError(
            f"{folder} holds a network of an earlier version of this program, which no longer runs. Train a new model "
            "from the same feedback, or choose 'embedded'."
        )
    # Only here are torch and transformers brought in.
    checkpoints = importlib.import_module("ser.acoustic.checkpoint")
    model: CheckpointModel = checkpoints.CheckpointModel(folder, str(name_or_dir), device)
    return model
