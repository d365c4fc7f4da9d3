"""A trained model as a folder: config.json, model.safetensors, meta.json. Knows nothing of what the weights compute.

meta.json holds name, labels, temperature, config, git_commit, sha256 (of model.safetensors), data, metrics, created_at.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ser.errors import ModelUnavailableError

META_FILE = "meta.json"
MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""First bytes of what Git leaves in the place of a large file.

Source: https://github.com/git-lfs/git-lfs, docs/spec.md"""

MAX_POINTER_SIZE = 1024
"""Bytes. Source: the same; pointer files are shorter."""


@dataclass(frozen=True)
class Meta:
    """Facts that travel with the weights.

    Attributes:
        name: for people.
        labels: in the order of the outputs.
        temperature: the logits are divided by it.
        config: of the training.
        git_commit: of the code that trained it, or None if unknown.
        sha256: of model.safetensors.
        data: what it was trained on.
        metrics: what it was measured at.
        created_at: ISO 8601, UTC.
    """

    name: str
    labels: tuple[str, ...]
    temperature: float = 1.0
    config: Mapping[str, object] = field(default_factory=dict)
    git_commit: str | None = None
    sha256: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    created_at: str = ""


def save_checkpoint(
    folder: Path, save_weights: Callable[[Path], object], meta: Meta, weights_file: str | None = WEIGHTS_FILE
) -> Meta:
    """Write a model's folder so that it is there whole or not at all.

    Args:
        folder: where it goes; must not exist yet, or be empty.
        save_weights: writes config.json and model.safetensors into the folder it is given (`save_pretrained`).
        meta: `sha256`, `git_commit` and `created_at` are filled in here.
        weights_file: whose hash is noted; None for that of all weights (`weights_sha256`).

    Returns:
        The meta as written.

    Raises:
        ModelUnavailableError: if the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelUnavailableError(f"{folder} exists already. Name a new folder, or remove it first.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_weights(building)
        values = asdict(meta) | {
            "labels": list(meta.labels),
            "sha256": file_sha256(building / weights_file) if weights_file else weights_sha256(building),
            "git_commit": meta.git_commit or current_commit(),
            "created_at": meta.created_at or datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (building / META_FILE).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        # mkdtemp keeps others out; the finished model is as readable as any other folder.
        building.chmod(0o755)
        for path in building.iterdir():
            path.chmod(0o644)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return load_meta(folder)


def load_meta(folder: Path) -> Meta:
    """Read meta.json.

    Raises:
        ModelUnavailableError: if it is absent or damaged.
    """
    path = folder / META_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        temperature = float(values["temperature"])
        if not temperature > 0.0:
            raise ValueError(f"temperature is {temperature}, expected above 0")
        return Meta(
            name=str(values["name"]),
            labels=tuple(values["labels"]),
            temperature=temperature,
            config=values.get("config", {}),
            git_commit=values.get("git_commit"),
            sha256=str(values["sha256"]),
            data=values.get("data", {}),
            metrics=values.get("metrics", {}),
            created_at=str(values.get("created_at", "")),
        )
    except OSError as error:
        raise ModelUnavailableError(f"{path} could not be read; expected the meta file of a trained model.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(f"{path} is damaged: {error}. Take the model from its source again.") from error


def verify(folder: Path, weights_file: str | None = None) -> Meta:
    """Check that the weights are the ones that meta.json speaks of.

    Args:
        folder: of the model.
        weights_file: by default model.safetensors, or CTranslate2's model.bin if there is only that.

    Returns:
        The meta.

    Raises:
        ModelUnavailableError: if the weights are absent or differ.
    """
    meta = load_meta(folder)
    present = next((name for name in (WEIGHTS_FILE, "model.bin") if (folder / name).is_file()), WEIGHTS_FILE)
    weights = folder / (weights_file or present)
    if not weights.is_file():
        raise ModelUnavailableError(f"{weights} is missing. Take the model from its source again.")
    found = file_sha256(weights)
    if found != meta.sha256:
        raise ModelUnavailableError(
            f"{weights} is damaged or was replaced: its SHA-256 is {found[:12]}..., {META_FILE} says "
            f"{meta.sha256[:12]}.... Take the model from its source again."
        )
    return meta


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_weights(folder: Path) -> None:
    """Refuse a checkpoint with pointer files of Git LFS, with truncated weights, or with weights that are no numbers.

    Reads every weight once; `find_damage` alone reads only the headers.

    Args:
        folder: of any model: its `*.safetensors` are read, other files are looked at for pointers.

    Raises:
        ModelUnavailableError: naming the file and what is wrong with it.
    """
    damage = find_damage(folder)
    if damage is None:
        for path in sorted(folder.glob("*.safetensors")):
            tensor = _first_nan(path)
            if tensor is not None:
                damage = f"{path.name} holds numbers that are none (NaN) in {tensor}: its training failed."
                break
    if damage is not None:
        raise ModelUnavailableError(f"'{folder}' is no usable checkpoint: {damage} Take the model from its source.")


def find_damage(folder: Path) -> str | None:
    """Describe a folder's first pointer file or truncated weights in a sentence; None if there is no such file."""
    for path in sorted(path for path in folder.iterdir() if not path.is_dir()):
        try:
            if path.stat().st_size <= MAX_POINTER_SIZE and path.read_bytes().startswith(LFS_POINTER):
                return f"{path.name} is only the pointer that Git LFS left. Run 'git lfs pull', or download it again."
            if path.suffix == ".safetensors":
                # Opening reads the header alone, and compares the size of the file with it.
                with safe_open(path, framework="np"):
                    pass
        except (OSError, SafetensorError) as error:
            return f"{path.name} is truncated or damaged ({error}). Download it again."
    return None


def _first_nan(path: Path) -> str | None:
    """Name the first tensor of a safetensors file that holds NaN."""
    with safe_open(path, framework="np") as file:
        for name in file.keys():
            kind = file.get_slice(name).get_dtype()
            if kind == "BF16":
                # numpy has no such type; whatever runs a checkpoint of it needs torch anyway.
                with safe_open(path, framework="pt") as tensors:
                    found = bool(tensors.get_tensor(name).isnan().any())
            else:
                found = kind in ("F16", "F32", "F64") and bool(np.isnan(file.get_tensor(name)).any())
            if found:
                return str(name)
    return None


def weights_sha256(folder: Path, without: str = "") -> str:
    """Hash a checkpoint's one file of weights; of several the hash of their hashes, in order of their names.

    Args:
        folder: of the checkpoint.
        without: name of a file that does not count.
    """
    forms = ("*.safetensors", "*.onnx", "*.ts", "model.bin")
    found = ([path for path in sorted(folder.glob(form)) if path.name != without] for form in forms)
    weights = next((files for files in found if files), [])
    hashes = [file_sha256(path) for path in weights]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def current_commit() -> str | None:
    """The git commit of the project's own working tree; None outside of one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            check=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
