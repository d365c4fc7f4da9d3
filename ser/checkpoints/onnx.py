"""Networks in ONNX form, as `ser.export` writes them, in onnxruntime. Imports no torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from ser.errors import ModelUnavailableError

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

    Raises:
        ModelUnavailableError: if the file is absent or no usable graph.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that sleep when idle: next to other work, spinning ones were slower.
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

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer one batch.

        Args:
            inputs: an array for each of the graph's inputs; others are refused.

        Returns:
            {name: array} of the outputs, `logits` of shape (batch, labels) among them.
        """
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))
