"""Runs a network in torch, with the same face as `ser.acoustic.onnx.OnnxNetwork`.

Knows nothing of what the network computes.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from ser.threads import one_core


class TorchNetwork:
    """A network in torch; safe to call from several threads.

    Args:
        network: whose `forward` takes tensors by name and returns a mapping of tensors.
        device: where it runs.
        small: answers a batch of one on one core, where it runs on a processor.
    """

    def __init__(self, network: nn.Module, device: str = "cpu", *, small: bool = False) -> None:
        self.module, self._device = network.to(device).eval(), device
        self._small = small and device == "cpu"

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Answer one batch.

        Args:
            inputs: an array for each argument of the network.

        Returns:
            {name: array} of its outputs.
        """
        alone = self._small and all(len(array) == 1 for array in inputs.values())
        with torch.inference_mode(), one_core() if alone else nullcontext():
            outputs = self.module(**{name: torch.from_numpy(a).to(self._device) for name, a in inputs.items()})
            return {name: t.float().cpu().numpy() for name, t in outputs.items() if isinstance(t, torch.Tensor)}
