"""Any audio encoder of transformers as an `Encoder`: pooled hidden states of all layers. Brings torch in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import ThreadpoolController

from ser.checkpoints.folder import weights_sha256
from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import load_extractor
from ser.checkpoints.torch_network import is_exported, open_exported
from ser.encoder.states import extract, hidden_states, load_pretrained, pool
from ser.encoder.windows import Array
from ser.errors import ModelUnavailableError
from ser.types import SAMPLING_RATE, Signal

HEAD_FILE = "head.safetensors"
"""File of a classifier head that lies with an encoder fine-tuned for it; another head would change no embedding."""


class LoadedEncoder:
    """An encoder in memory, pooled over the frames of the clip alone.

    Attributes:
        model: as `ser.encoder.states.load_pretrained` gives it, on the device.
        extractor: of its inputs.
        name: for people.
        sha256: of its weights.
        device: `cpu` or `cuda`.
    """

    def __init__(self, model: Any, extractor: Any, name: str, sha256: str, device: str = "cpu") -> None:
        self.model, self.extractor = model.to(device), extractor
        self.name, self.sha256, self.device = name, sha256, device
        self.rows, _, self.width = self.frames(np.zeros(SAMPLING_RATE, dtype=np.float32)).shape

    def frames(self, signal: Signal) -> Array:
        """Embed every step of time of a signal, shape (rows, frames, width)."""
        states, mask = self._states(signal)
        return torch.cat(list(states))[:, mask[0] > 0].float().cpu().numpy()

    def pooled(self, signals: Sequence[Signal]) -> Array:
        """Embed signals as wholes, shape (signals, rows * 2 * width): of each row the means, then the deviations.

        One by one: some encoders take no mask, and padding would change their answer.
        """
        return np.stack([pool(*self._states(signal))[0].cpu().numpy() for signal in signals])

    def _states(self, signal: Signal) -> tuple[Sequence[torch.Tensor], torch.Tensor]:
        with torch.inference_mode(), one_core() if self.device == "cpu" else nullcontext():
            inputs = {name: value.to(self.device) for name, value in extract(self.extractor, [signal]).items()}
            return hidden_states(self.model, inputs)


class PretrainedEncoder(LoadedEncoder):
    """An encoder of a checkpoint, finished for some task or not; its head is left aside.

    Args:
        name: folder or hub id.
        device: `cpu` or `cuda`.

    Raises:
        ModelUnavailableError: if it is absent, damaged, or no audio encoder.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        folder = resolve_checkpoint(name)
        model, extractor = load_pretrained(folder, name)
        super().__init__(model, extractor, name, weights_sha256(folder, without=HEAD_FILE), device)


class ExportedEncoder:
    """An encoder in ONNX or TorchScript form, up to the pooled embedding; an `Encoder` without frames.

    Args:
        folder: that `python -m ser export` wrote, with preprocessor_config.json.

    Raises:
        ModelUnavailableError: if a file is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._network, self._extractor = open_exported(folder), load_extractor(folder)
        self.sha256 = weights_sha256(folder, without=HEAD_FILE)
        # Of each layer a mean and a deviation; how many layers there are matters to nobody who has no frames.
        self.rows, self.width = 1, self.pooled([np.zeros(SAMPLING_RATE, dtype=np.float32)]).shape[1] // 2

    def frames(self, signal: Signal) -> Array:
        """Raise an error: the exported form ends at the pooled embedding.

        Raises:
            ModelUnavailableError: always.
        """
        raise ModelUnavailableError(f"The exported encoder {self.name} gives no frames. Take the original model.")

    def pooled(self, signals: Sequence[Signal]) -> Array:
        """Embed signals as wholes, shape (signals, rows * 2 * width)."""
        rows = []
        for signal in signals:
            inputs = extract(self._extractor, [signal])
            rows.append(self._network.run({name: inputs[name].numpy() for name in self._network.inputs})["pooled"][0])
        return np.stack(rows)


def open_encoder(name: str, device: str = "cpu") -> PretrainedEncoder | ExportedEncoder:
    """Open an encoder by folder or hub id, exported or not; errors as `PretrainedEncoder`'s."""
    folder = Path(name).expanduser()
    return ExportedEncoder(folder) if is_exported(folder) else PretrainedEncoder(name, device)


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch compute on the calling thread alone; other threads, and this one afterwards, are as before.

    Between two operations torch's threads wait for each other without sleeping. Where another program holds one of
    the cores, features that take 1 ms on one core took 60 ms on two; a limit costs 0.1 ms.
    After `torch.set_num_threads`, which nothing that answers calls, matrix products keep the count given there.

    >>> with one_core():
    ...     torch.get_num_threads()
    1
    """
    # Torch sets a thread's count at its first use there, and would undo the limit.
    if torch.get_num_threads() == 1:
        yield
        return
    with _controller().limit(limits=1, user_api="openmp"):
        yield


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    """Finding the libraries takes 2 ms; torch's are loaded by now."""
    return ThreadpoolController()
