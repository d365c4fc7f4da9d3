"""The folder of an embedded text model: `adapter.safetensors` and `meta.json`, written whole and checked when read.

Files, hashes and NumPy arrays only: no texts, no training, no torch.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from ser.checkpoints.folder import check_weights
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.base import BASE_DISTRIBUTION, BASE_NAME, BASE_SHA256, sha256_of

WEIGHTS_FILE = "adapter.safetensors"
META_FILE = "meta.json"

ADAPTER_PREFIX = "adapter."
HEAD_PREFIX = "head."


@dataclass(frozen=True)
class TrainedText:
    """A trained adapter as it lies on disk.

    Attributes:
        tensors: low-rank updates, `adapter.LAYER.lora_A.weight` and `lora_B`, and `head.weight` and `head.bias`.
        meta: labels, temperature, hashes, recipe, data and figures.
    """

    tensors: Mapping[str, np.ndarray]
    meta: Mapping[str, Any]

    @property
    def temperature(self) -> float:
        """Divides the logits before the softmax."""
        return float(self.meta["temperature"])


def save_trained(
    folder: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    config: Mapping[str, object],
    temperature: float,
    seed: int,
    data: Mapping[str, object],
    metrics: Mapping[str, float],
    created: float,
) -> None:
    """Write weights and meta.json into `folder`; the meta file comes last, so a folder that has one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (WEIGHTS_FILE + ".partial")
    save_file(dict(tensors), partial)
    os.replace(partial, folder / WEIGHTS_FILE)
    meta = {
        "name": f"{BASE_NAME} + LoRA",
        "kind": "text-adapter",
        "labels": list(EMOTIONS),
        "languages": ["en"],
        "temperature": round(temperature, 4),
        "sha256": sha256_of(folder / WEIGHTS_FILE),
        "base": {"name": BASE_NAME, "package": BASE_DISTRIBUTION, "sha256": BASE_SHA256},
        "config": dict(config),
        "seed": seed,
        "data": dict(data),
        "metrics": dict(metrics),
        "created_at": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
    }
    partial = folder / (META_FILE + ".partial")
    partial.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / META_FILE)


def is_trained(folder: Path) -> bool:
    """Tell an adapter's folder from a checkpoint of transformers."""
    return (folder / WEIGHTS_FILE).is_file() or (
        (folder / META_FILE).is_file() and not (folder / "config.json").is_file()
    )


def load_trained(folder: Path) -> TrainedText:
    """Read and check what `save_trained` wrote.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or made for other labels or another encoder.
    """
    weights, meta_file = folder / WEIGHTS_FILE, folder / META_FILE
    for path in (weights, meta_file):
        if not path.is_file():
            raise ModelUnavailableError(f"{path} is missing; the text model's folder is incomplete. Train it again.")
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        claimed, labels, base = meta["sha256"], tuple(meta["labels"]), meta["base"]["sha256"]
        float(meta["temperature"]), meta["config"]["rank"], meta["config"]["alpha"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(f"{meta_file} is damaged ({error!r}). Train the text model again.") from error
    check_weights(folder)
    found = sha256_of(weights)
    if found != claimed:
        raise ModelUnavailableError(f"{weights} has SHA-256 {found}, its meta.json says {claimed}: it was changed.")
    if labels != EMOTIONS:
        raise ModelUnavailableError(
            f"{meta_file} lists the labels {', '.join(labels)}; expected {', '.join(EMOTIONS)}."
        )
    if base != BASE_SHA256:
        raise ModelUnavailableError(f"{meta_file} was trained on an encoder with SHA-256 {base}, not {BASE_SHA256}.")
    return TrainedText(load_file(weights), meta)
