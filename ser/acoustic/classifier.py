"""Loads an acoustic model by name: the embedded one, one trained here, or any finished checkpoint of transformers.

Imports no torch: a checkpoint's own module is imported when one is named.
"""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from ser.acoustic.exported import ExportedPipeline, is_pipeline
from ser.acoustic.head import is_head
from ser.acoustic.model import HeadModel, load_head_model
from ser.checkpoints.hub import pick_device, resolve_checkpoint
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError, RetiredModelError

if TYPE_CHECKING:
    from ser.acoustic.checkpoint import CheckpointModel

EMBEDDED_FOLDER = Path(__file__).parent.parent / "weights" / "acoustic"

RETIRED_TYPE = "ser_acoustic"
"""`model_type` of the convolutional networks that earlier versions of the program trained from nothing."""

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
        RetiredModelError: where it is a network of an earlier version of the program.
        ModelUnavailableError: where it is absent, damaged, of another kind, or has fewer than two of our labels.
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
    model: CheckpointModel = _checkpoint().CheckpointModel(folder, str(name_or_dir), device)
    return model


def model_folder(name_or_dir: str | Path) -> Path:
    """Find where a model lies on this machine.

    Raises:
        ModelUnavailableError: where it cannot be had.
    """
    if str(name_or_dir) == EMBEDDED:
        return EMBEDDED_FOLDER
    folder = Path(name_or_dir).expanduser()
    return folder if is_head(folder) or is_pipeline(folder) else resolve_checkpoint(name_or_dir)


def is_retired(folder: Path) -> bool:
    """Whether a folder holds a network of an earlier version of this program.

    Raises:
        ModelUnavailableError: where config.json is absent or damaged.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return bool(config.get("model_type") == RETIRED_TYPE)
    except (OSError, ValueError, AttributeError) as error:
        raise ModelUnavailableError(
            f"{path} cannot be read ({error}); the settings of a model are expected. Take the model from its source."
        ) from error


def _checkpoint() -> Any:
    """The module of finished checkpoints, which brings torch and transformers in."""
    return importlib.import_module("ser.acoustic.checkpoint")
