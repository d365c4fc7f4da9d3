"""Finds checkpoints in folders, in the hub's cache or on the hub, and never hangs where no hub can be reached.

Checks that a folder can be a checkpoint at all; knows nothing of what is in it.
"""

import functools
import importlib
import json
import os
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HFValidationError

from ser.config import DEVICES
from ser.errors import ModelUnavailableError, SettingsError

PROBE_DURATION = 2.0
"""Seconds after which a hub that has not answered counts as out of reach."""

CTRANSLATE2_WEIGHTS = "model.bin"
"""Raw arrays in a format of CTranslate2's own; no pickle."""

CHECKPOINT_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", CTRANSLATE2_WEIGHTS]
"""Files that are downloaded of a checkpoint: settings, vocabularies and weights, no pickles and no code."""

_switched_off = threading.Event()
"""Set if offline mode comes from here, and not from somebody who asked for it."""

PICKLED_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@functools.cache
def hub_reachable() -> bool:
    """Find out if the model hub answers; asked once per process, within `PROBE_DURATION`.

    Honours `HF_HUB_OFFLINE`, `HF_ENDPOINT` and the proxy variables. Where the hub does not answer, offline mode is
    switched on for the whole process: otherwise each file that a library looks for costs 23 s of vain retries.
    """
    answers: list[bool] = []
    if not constants.HF_HUB_OFFLINE:
        # A name server that drops packets blocks beyond every timeout; a thread of its own can be left behind.
        probe = threading.Thread(target=lambda: answers.append(_answers(constants.ENDPOINT)), daemon=True)
        probe.start()
        probe.join(PROBE_DURATION)
    reachable = any(answers)
    if not reachable and not constants.HF_HUB_OFFLINE:
        _switched_off.set()
        os.environ["HF_HUB_OFFLINE"] = "1"
        constants.HF_HUB_OFFLINE = True
    return reachable


def look_again() -> bool:
    """Find out if a hub answers now that did not when it was looked for; switches offline mode off if so.

    Offline mode that somebody has asked for stays.
    """
    if _switched_off.is_set():
        _switched_off.clear()
        os.environ.pop("HF_HUB_OFFLINE", None)
        constants.HF_HUB_OFFLINE = False
        hub_reachable.cache_clear()
    return hub_reachable()


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PROBE_DURATION):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False


def cached_checkpoint(model_id: str) -> Path | None:
    """The folder of a complete checkpoint in the hub's cache, or None; never asks the network.

    Args:
        model_id: such as `openai/whisper-base`.
    """
    try:
        folder = Path(huggingface_hub.snapshot_download(model_id, local_files_only=True))
    except (OSError, HFValidationError):
        return None
    return folder if _defect(folder) is None else None


def resolve_checkpoint(id_or_dir: str | Path) -> Path:
    """The local folder of a checkpoint: a folder as given, else from the cache, else downloaded.

    Args:
        id_or_dir: a folder with `config.json` and `*.safetensors`, or a model's id on the hub.

    Raises:
        ModelUnavailableError: if there is none, or it lacks something; the message says what.
    """
    name = str(id_or_dir)
    if not name.strip():
        raise ModelUnavailableError("The name of the model is empty; a folder or a model's id is expected.")
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked(folder)
    if folder.exists():
        raise ModelUnavailableError(f"'{name}' is a file; the folder of a checkpoint is expected. Name its folder.")
    if name.startswith((".", "/", "~", "\\")) or name.count("/") > 1:
        raise ModelUnavailableError(f"There is no folder '{name}'. Check the path.")
    cached = cached_checkpoint(name)
    if cached is not None:
        return cached
    if not hub_reachable():
        raise ModelUnavailableError(
            f"Model '{name}' is neither a folder nor in the cache of this machine, and no model hub can be reached. "
            "Name a folder, or try again with a connection."
        )
    try:
        return _checked(Path(huggingface_hub.snapshot_download(name, allow_patterns=CHECKPOINT_FILES)))
    except (OSError, HFValidationError, httpx2.HTTPError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelUnavailableError(
            f"Model '{name}' could not be downloaded: {reason} Check the name, or name a folder."
        ) from error


def pick_device(setting: str) -> str:
    """Choose the device that networks run on.

    Args:
        setting: `auto` (CUDA if there is any), `cpu` or `cuda`.

    Returns:
        `cpu` or `cuda`.

    Raises:
        ModelUnavailableError: if CUDA is asked for and absent.
        SettingsError: if the setting is none of the three.

    >>> pick_device("cpu")
    'cpu'
    """
    if setting not in DEVICES:
        raise SettingsError(f"device is '{setting}'; expected one of {', '.join(DEVICES)}.")
    # Torch takes seconds to import, and says nothing else where no driver of a GPU is loaded.
    if setting == "cpu" or (setting == "auto" and sys.platform == "linux" and not _has_gpu_driver()):
        return "cpu"
    if importlib.import_module("torch").cuda.is_available():
        return "cuda"
    if setting == "cuda":
        raise ModelUnavailableError("The device 'cuda' is asked for, but none was found. Set it to 'auto' or 'cpu'.")
    return "cpu"


def _has_gpu_driver() -> bool:
    """Find out if a driver that torch's CUDA or ROCm builds need is loaded."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/dxg"))


def _checked(folder: Path) -> Path:
    defect = _defect(folder)
    if defect is not None:
        raise ModelUnavailableError(f"'{folder}' is no usable checkpoint: {defect}")
    return folder


def _defect(folder: Path) -> str | None:
    """Say what a folder lacks of a checkpoint, in a sentence; None if it is complete."""
    if not (folder / "config.json").is_file():
        return "config.json is missing. Save the model with save_pretrained."
    if any((folder / name).is_file() for name in ("model.onnx", "model.ts")) and (folder / "meta.json").is_file():
        return None
    if any(folder.glob("*.safetensors")):
        missing = _missing_shards(folder)
        return f"{', '.join(missing)} of its weights are missing. Copy or download it again." if missing else None
    if (folder / CTRANSLATE2_WEIGHTS).is_file():
        return None
    pickles = sorted(path.name for pattern in PICKLED_WEIGHTS for path in folder.glob(pattern))
    if pickles:
        return (
            f"its weights are in {pickles[0]}, a format that can run foreign code when it is opened; "
            "*.safetensors is expected. Convert it, or take a model that has them."
        )
    return "*.safetensors is missing. Save the model with save_pretrained."


def _missing_shards(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return []
    try:
        shards = set(json.loads(index.read_text())["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        return [index.name]
    return sorted(shard for shard in shards if not (folder / shard).is_file())
