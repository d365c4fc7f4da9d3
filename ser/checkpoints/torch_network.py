"""Networks in torch and TorchScript with the interface of `ser.checkpoints.onnx.OnnxNetwork`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from ser.checkpoints.folder import MODEL_FILE
from ser.checkpoints.onnx import OnnxNetwork
from ser.errors import ModelUnavailableError

SCRIPT_FILE = "model.ts"
"""A network in TorchScript form, as `python -m ser export --format torchscript` writes it."""

NAMES_FILE = "names.json"
"""Its part with the names of its inputs and outputs in order."""


class TorchNetwork:
    """A network in torch; safe to call from several threads.

    Args:
        network: whose `forward` takes tensors by name and returns a mapping of tensors.
        device: where it runs.
    """

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        self.module, self._device = network.to(device).eval(), device

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Answer one batch.

        Args:
            inputs: an array for each argument of the network.

        Returns:
            {name: array} of its outputs.
        """
        with torch.inference_mode():
            outputs = self.module(**{name: torch.from_numpy(a).to(self._device) for name, a in inputs.items()})
            return {name: t.float().cpu().numpy() for name, t in outputs.items() if isinstance(t, torch.Tensor)}


class ScriptNetwork:
    """A network in TorchScript form, on the CPU; safe to call from several threads.

    Args:
        path: of the file.

    Attributes:
        inputs: names.
        outputs: names.

    Raises:
        ModelUnavailableError: if the file is absent or damaged.
    """

    def __init__(self, path: Path) -> None:
        extra = {NAMES_FILE: b""}
        try:
            self._module = torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
            names = json.loads(extra[NAMES_FILE])
            self.inputs, self.outputs = tuple(names["inputs"]), tuple(names["outputs"])
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelUnavailableError(
                f"{path} cannot be opened by torch: {reason}. Export the model again."
            ) from error

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Answer one batch; as `TorchNetwork.run`."""
        with torch.inference_mode():
            answers = self._module(*(torch.from_numpy(inputs[name]) for name in self.inputs))
            return {name: answer.numpy() for name, answer in zip(self.outputs, answers, strict=True)}


def is_exported(folder: Path) -> bool:
    """Tell a folder with a model in ONNX or TorchScript form, as `python -m ser export` writes it."""
    return any((folder / name).is_file() for name in (MODEL_FILE, SCRIPT_FILE)) and not any(
        path.name.startswith("model") for path in folder.glob("*.safetensors")
    )


def exported_file(folder: Path) -> Path:
    """Find the graph of a folder that `is_exported`."""
    path = folder / MODEL_FILE
    return path if path.is_file() else folder / SCRIPT_FILE


def open_exported(folder: Path) -> "OnnxNetwork | ScriptNetwork":
    """Open the graph of a folder that `is_exported`.

    Raises:
        ModelUnavailableError: if it is damaged.
    """
    path = exported_file(folder)
    return OnnxNetwork(path, threads=0) if path.name == MODEL_FILE else ScriptNetwork(path)
