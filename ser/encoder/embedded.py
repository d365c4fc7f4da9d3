"""The embedded encoder for serving: signal -> frame and clip embeddings of all layers, on onnxruntime.

Knows Whisper's encoder; knows nothing of emotions. Imports no torch.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from faster_whisper.feature_extractor import FeatureExtractor

from ser.encoder.weights import DIMENSIONS, NAME, SHA256, WEIGHTS_FILE, Weights, find_weights, read_weights
from ser.errors import ModelUnavailableError
from ser.types import SAMPLING_RATE, Signal

GRAPHS = Path(__file__).parent / "graphs"

ROWS = DIMENSIONS.layers + 2
"""Layers of an embedding: the input to the first one, each layer's output, the final norm."""

POOLED_SIZE = ROWS * 2 * DIMENSIONS.width
"""Mean and standard deviation over time of each layer: 4608 numbers."""

MIN_SAMPLES = SAMPLING_RATE // 10
"""Shorter signals are filled up with zeros: 10 frames of log-mel."""

MAX_SAMPLES = 30 * SAMPLING_RATE
"""As far as Whisper's positions reach."""

INT8_LEVELS = 127.0

Array = npt.NDArray[np.float32]


class EmbeddedEncoder:
    """Whisper tiny.en's encoder; safe to call from several threads.

    Signals pass through as they are, without being filled up to 30 s: the embedding of a clip is of its own frames
    alone, and costs a fraction.

    Args:
        precision: of linear layers, `int8` or `float32`.

    Attributes:
        name: for people.
        sha256: names the embeddings: those of another encoder, or precision, are not comparable.
        rows: layers of an embedding.
        width: of each layer.

    Raises:
        ModelUnavailableError: where the weights are absent or damaged.
    """

    rows, width = ROWS, DIMENSIONS.width

    def __init__(self, precision: str = "int8") -> None:
        if precision not in ("int8", "float32"):
            raise ValueError(f"precision is '{precision}', expected int8 or float32")
        self.name, self.precision = NAME, precision
        self.sha256 = f"{SHA256}-{precision}"
        self._session = _open(precision)

    def frames(self, signal: Signal) -> Array:
        """Embed every 20 ms of a signal.

        Args:
            signal: float32 of shape (samples,) at 16 kHz, at most 30 s.

        Returns:
            Shape (rows, frames, width).
        """
        (frames,) = self._session.run(["frames"], {"mels": log_mel(_filled(signal))[None]})
        return np.asarray(frames[0])

    def pooled(self, signals: Sequence[Signal]) -> Array:
        """Embed signals as wholes: mean and standard deviation of each layer over time.

        Args:
            signals: float32 of shape (samples,) at 16 kHz, at most 30 s each.

        Returns:
            Shape (signals, rows * 2 * width): for each row its means, then its deviations.
        """
        # One by one: Whisper takes no mask, and 8-bit activations are scaled over all that pass through together.
        rows = [self._session.run(["pooled"], {"mels": log_mel(_filled(signal))[None]})[0] for signal in signals]
        return np.concatenate(rows) if rows else np.zeros((0, POOLED_SIZE), dtype=np.float32)


@lru_cache(maxsize=2)
def embedded_encoder(precision: str = "int8") -> EmbeddedEncoder:
    """The encoder of this process, opened once."""
    return EmbeddedEncoder(precision)


@lru_cache(maxsize=1)
def _extractor() -> FeatureExtractor:
    return FeatureExtractor(feature_size=DIMENSIONS.mels, sampling_rate=SAMPLING_RATE)


def log_mel(signal: Signal) -> Array:
    """Whisper's log-mel spectrogram of a signal as it is.

    Args:
        signal: float32 of shape (samples,) at 16 kHz, at least 0.02 s.

    Returns:
        Shape (80, samples // 160); values within 2 of the loudest.

    >>> log_mel(np.zeros(16_000, dtype=np.float32)).shape
    (80, 100)
    """
    return np.asarray(_extractor()(signal, padding=0), dtype=np.float32)


def _filled(signal: Signal) -> Signal:
    if len(signal) > MAX_SAMPLES:
        raise ValueError(f"a signal of {len(signal) / SAMPLING_RATE:.1f} s is too long, at most 30 s are expected")
    return np.pad(signal, (0, max(0, MIN_SAMPLES - len(signal))))


def _open(precision: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread that sleeps when idle: several callers then share the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    tensors = graph_tensors(read_weights(find_weights() / WEIGHTS_FILE), precision)
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(tensor) for tensor in tensors.values()]
    options.add_external_initializers(list(tensors), values)
    path = GRAPHS / f"{precision}.onnx"
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise ModelUnavailableError(f"{path} is missing. Install the project again.") from error


def graph_tensors(weights: Weights, precision: str) -> dict[str, npt.NDArray[np.generic]]:
    """Bring CTranslate2's weights into the form that the graph declares: transposed, float32 or int8.

    Args:
        weights: as `read_weights` gives them.
        precision: `float32` or `int8`.

    Returns:
        {name in the graph: contiguous array}.
    """
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name, values in _encoder_parts(weights).items():
        stem, _, part = name.rpartition("/")
        array = np.asarray(values, dtype=np.float32)
        if part != "weight" or "conv" in stem:
            tensors[name] = np.ascontiguousarray(array)
        elif precision == "float32":
            tensors[f"{stem}/kernel"] = np.ascontiguousarray(array.T)
        else:
            scales = np.abs(array).max(axis=1) / INT8_LEVELS
            tensors[f"{stem}/int8"] = np.ascontiguousarray(np.rint(array / scales[:, None]).T.astype(np.int8))
            tensors[f"{stem}/scales"] = scales.astype(np.float32)
    return tensors


def _encoder_parts(weights: Weights) -> Mapping[str, npt.NDArray[np.generic]]:
    """The encoder's variables by name, query, key and value apart."""
    parts: dict[str, npt.NDArray[np.generic]] = {}
    for name, values in weights.items():
        if not name.startswith("encoder/") or not values.ndim:
            continue
        if "self_attention/linear_0" in name:
            stem, _, part = name.rpartition("/")
            for letter, piece in zip("qkv", np.split(values, 3), strict=True):
                parts[f"{stem.removesuffix('linear_0')}{letter}/{part}"] = piece
        else:
            parts[name] = values
    return parts
