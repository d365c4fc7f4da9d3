"""Folders of acoustic models on this machine and their kinds; loads no model."""

import json
from pathlib import Path

from ser.checkpoints.folder import META_FILE, MODEL_FILE, load_meta
from ser.checkpoints.hub import resolve_checkpoint
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError

EMBEDDED_FOLDER = Path(__file__).parent.parent / "weights" / "acoustic"

HEAD_FILE = "head.safetensors"

PIPELINE = "log-mel to scores"
"""`meta.config["exported"]` of the folder of an exported pipeline."""

RETIRED_TYPE = "ser_acoustic"
"""`model_type` of the convolutional networks that earlier versions of the program trained from nothing."""


def model_folder(name_or_dir: str | Path) -> Path:
    """Find where a model lies on this machine.

    Raises:
        ModelUnavailableError: where it cannot be had.
    """
    if str(name_or_dir) == EMBEDDED:
        return EMBEDDED_FOLDER
    folder = Path(name_or_dir).expanduser()
    return folder if is_head(folder) or is_pipeline(folder) else resolve_checkpoint(name_or_dir)


def is_head(folder: Path) -> bool:
    """Find out if a folder holds a classifier head."""
    return (folder / HEAD_FILE).is_file()


def is_retired(folder: Path) -> bool:
    """Find out if a folder holds a network of an earlier version of this program.

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


def is_pipeline(folder: Path) -> bool:
    """Find out if a folder holds the embedded pipeline as one ONNX file."""
    if not (folder / MODEL_FILE).is_file() or not (folder / META_FILE).is_file():
        return False
    try:
        return load_meta(folder).config.get("exported") == PIPELINE
    except ModelUnavailableError:
        return False
