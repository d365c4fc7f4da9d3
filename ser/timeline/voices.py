"""Embeds voices by the LSTM of the package resemblyzer, in numpy: the package's code and torch are not imported.

Source: Wan et al. 2018, "Generalized End-to-End Loss for Speaker Verification", https://arxiv.org/abs/1710.10467; the
weights are Resemblyzer's (Apache-2.0), trained on LibriSpeech-other, VoxCeleb 1 and VoxCeleb 2.
"""

import importlib
import importlib.util
import os
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from ser.checkpoints.folder import file_sha256
from ser.errors import ModelUnavailableError
from ser.types import SAMPLING_RATE, Signal

Array = npt.NDArray[np.float32]

PACKAGE = "resemblyzer"
WEIGHTS_FILE = "pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
FOLDER_VARIABLE = "SER_VOICE_ENCODER_DIR"
"""Environment variable that names a folder with `pretrained.pt`, in place of the package."""

INSTALL = "pip install --no-deps resemblyzer==0.1.4"
"""Without the packages that its code needs: only its weights are read."""

MELS, FRAME, STEP = 40, 400, 160
LAYERS, WIDTH = 3, 256
LOUDNESS = 10 ** (-30 / 20)
"""Root mean square that quieter speech is brought to, as in the network's training."""


class VoiceEncoder(Protocol):
    """Turns stretches of speech into vectors that are near to each other for one voice."""

    def embed(self, sounds: Sequence[Signal]) -> Array:
        """Embed stretches of speech at 16 kHz, shape (sounds, size); rows have length 1."""
        ...


class LstmVoiceEncoder:
    """A `VoiceEncoder` of three LSTM layers and a projection.

    Args:
        weights: {name: array} as `read_voice_weights` gives them.
    """

    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights

    def embed(self, sounds: Sequence[Signal]) -> Array:
        """Embed stretches of speech, each by the last layer's state at its end."""
        if not sounds:
            return np.zeros((0, WIDTH), np.float32)
        mels = [mel_spectrogram(_levelled(sound)) for sound in sounds]
        ends = np.array([len(mel) - 1 for mel in mels])
        states = np.zeros((ends.max() + 1, len(mels), MELS), np.float32)
        for row, mel in enumerate(mels):
            states[: len(mel), row] = mel
        for layer in range(LAYERS):
            states = self._layer(states, layer)
        last = states[ends, np.arange(len(mels))]
        raw = np.maximum(last @ self._weights["linear.weight"].T + self._weights["linear.bias"], 0.0)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    def _layer(self, inputs: Array, layer: int) -> Array:
        """States of a layer at every step, shape (steps, sounds, width); the gates are in torch's order."""
        into, within = (self._weights[f"lstm.weight_{side}h_l{layer}"].T for side in "ih")
        gates = inputs @ into + self._weights[f"lstm.bias_ih_l{layer}"] + self._weights[f"lstm.bias_hh_l{layer}"]
        state = cell = np.zeros((inputs.shape[1], WIDTH), np.float32)
        states = np.empty((*inputs.shape[:2], WIDTH), np.float32)
        for step, given in enumerate(gates):
            entry, forget, new, out = np.split(given + state @ within, 4, axis=1)
            cell = _sigmoid(forget) * cell + _sigmoid(entry) * np.tanh(new)
            state = _sigmoid(out) * np.tanh(cell)
            states[step] = state
        return states


def _sigmoid(values: Array) -> Array:
    return 0.5 * np.tanh(0.5 * values) + 0.5


def _levelled(sound: Signal) -> Signal:
    level = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if len(sound) else 0.0
    return sound * np.float32(LOUDNESS / level) if 0.0 < level < LOUDNESS else sound


def mel_spectrogram(signal: Signal) -> Array:
    """Energies in 40 bands every 10 ms, shape (frames, 40); not their logarithms.

    >>> mel_spectrogram(np.zeros(16_000, dtype=np.float32)).shape
    (101, 40)
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, FRAME // 2), FRAME)[::STEP]
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames * window, axis=1)))
    return np.asarray(power @ _bands().T, dtype=np.float32)


@lru_cache(maxsize=1)
def _bands() -> Array:
    # librosa takes a second to import, and nothing else here needs it.
    filters: Any = importlib.import_module("librosa.filters")
    return np.asarray(filters.mel(sr=SAMPLING_RATE, n_fft=FRAME, n_mels=MELS), dtype=np.float32)


def load_voice_encoder() -> LstmVoiceEncoder:
    """Find the network and load it; one that was loaded before is given again.

    Raises:
        ModelUnavailableError: if the package is not installed, or the weights are not the expected ones.
    """
    named, spec = os.environ.get(FOLDER_VARIABLE), importlib.util.find_spec(PACKAGE)
    folders = [named] if named else list((spec.submodule_search_locations or ()) if spec else ())
    for path in (Path(folder) / WEIGHTS_FILE for folder in folders):
        if path.is_file():
            return _load(path)
    raise ModelUnavailableError(
        f"Speakers cannot be told apart: the package {PACKAGE} is not installed. Run: {INSTALL}"
    )


@lru_cache(maxsize=1)
def _load(path: Path) -> LstmVoiceEncoder:
    """Check the hash of the weights, then read them."""
    found = file_sha256(path)
    if found != SHA256:
        raise ModelUnavailableError(
            f"{path} is damaged or another model: its SHA-256 is {found[:12]}..., expected {SHA256[:12]}.... "
            f"Run: {INSTALL}"
        )
    return LstmVoiceEncoder(read_voice_weights(path))


def read_voice_weights(path: Path) -> dict[str, Array]:
    """Read the tensors of a file that torch wrote before version 1.6, without torch.

    Raises:
        ModelUnavailableError: if it is of another form, or names anything that is no tensor.
    """
    try:
        with path.open("rb") as file:
            for _ in range(3):  # a magic number, the format's version, and facts of the machine
                _Tensors(file).load()
            reader = _Tensors(file)
            found = reader.load()
            for key in _Tensors(file).load():
                count = int(np.frombuffer(file.read(8), "<i8")[0])
                reader.storages[key][:] = np.frombuffer(file.read(4 * count), "<f4")
        return dict(found["model_state"])
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, LookupError, TypeError) as error:
        raise ModelUnavailableError(f"{path} could not be read as weights: {error}. Run: {INSTALL}") from error


class _Tensors(pickle.Unpickler):
    """Unpickles tensors into arrays; knows three names and refuses all others."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, Array] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name."""
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "FloatStorage"): np.float32,
            ("torch._utils", "_rebuild_tensor_v2"): _view,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no tensor")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Array:
        """The numbers of a tensor, which follow at the end of the file."""
        _, _, key, _, count, *_ = pid
        return self.storages.setdefault(key, np.empty(count, np.float32))


def _view(storage: Array, offset: int, size: Sequence[int], stride: Sequence[int], *rest: Any) -> Array:
    """A part of a storage that is filled later; sizes beyond it are refused."""
    reach = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if offset < 0 or min(stride, default=0) < 0 or reach > len(storage):
        raise pickle.UnpicklingError("a tensor is larger than its numbers")
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), [step * 4 for step in stride])
