"""Runs a network in onnxruntime instead of torch: NumPy arrays in and out, one session, any number of threads calling.

Opens what `ser.export` wrote; knows neither torch nor what the network computes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from ser.errors import ModelUnavailableError

MODEL_FILE = "model.onnx"
SOURCE_KEY = "source_sha256"
"""Under which a graph carries the hash of the weights it was made of."""

Array = npt.NDArray[Any]

_FAILURES = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
)


class OnnxNetwork:
    """A network in ONNX form; safe to call from several threads.

    Args:
        path: of the graph; weights that it refers to lie in the same folder.
        threads: that work on one call; 0 takes one for each core. Small networks are quickest with one, and several
            calls at once then fill the other cores.

    Attributes:
        inputs: names.
        outputs: names, logits first.
        output_size: of the logits, or None where the graph leaves it open.
        source_sha256: of the weights it was made of; empty where the graph does not tell.

    Raises:
        ModelUnavailableError: where the file is absent or no usable graph.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that sleep when idle: beside other work, spinning ones were slower.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _FAILURES as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelUnavailableError(
                f"{path} cannot be opened by onnxruntime {onnxruntime.__version__}: {reason}. Export the model again."
            ) from error
        self.inputs = tuple(given.name for given in self._session.get_inputs())
        self.outputs = tuple(given.name for given in self._session.get_outputs())
        size = self._session.get_outputs()[0].shape[-1]
        self.output_size: int | None = size if isinstance(size, int) else None
        self.source_sha256: str = self._session.get_modelmeta().custom_metadata_map.get(SOURCE_KEY, "")

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer one batch.

        Args:
            inputs: an array for each of the graph's inputs; others are refused.

        Returns:
            {name: array} of the outputs, `logits` of shape (batch, labels) among them.
        """
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))


def softmax(logits: Array, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of rows of logits, in double precision.

    >>> softmax(np.array([[0.0, 0.0]])).tolist()
    [[0.5, 0.5]]
    """
    values = logits.astype(np.float64) / temperature
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Array) -> npt.NDArray[np.float64]:
    """Probabilities of logits, in double precision.

    >>> sigmoid(np.array([0.0, -800.0])).round(3).tolist()
    [0.5, 0.0]
    """
    # By tanh, which does not overflow.
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64)))
