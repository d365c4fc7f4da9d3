"""Models in ONNX form, as `ser.export` writes them: any network, and the embedded pipeline as one file. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from ser.checkpoints import META_FILE, load_meta, verify
from ser.encoder.embedded import log_mel
from ser.encoder.windows import cut_windows
from ser.errors import ModelUnavailableError
from ser.types import Audio, EmotionScores

MODEL_FILE = "model.onnx"

PIPELINE = "log-mel to scores"
"""`meta.config["exported"]` of a folder with the embedded pipeline."""

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

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Answer one batch.

        Args:
            inputs: an array for each of the graph's inputs; others are refused.

        Returns:
            {name: array} of the outputs, `logits` of shape (batch, labels) among them.
        """
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))


class ExportedPipeline:
    """The embedded encoder and a head in one graph, an `AcousticModel`; safe to call from several threads.

    Args:
        folder: that `ser.export.models` wrote.

    Raises:
        ModelUnavailableError: if a file is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        meta = verify(folder, MODEL_FILE)
        self.meta, self.name, self.labels, self.sha256 = meta, meta.name, meta.labels, meta.sha256
        self._network = OnnxNetwork(folder / MODEL_FILE)

    def classify(self, audio: Audio) -> EmotionScores:
        """Return calibrated scores for a recording that has been cut to its speech."""
        # The graph takes the windows of one recording as a batch, and embeds the recording as their mean.
        answer = self._network.run({"mels": np.stack([log_mel(window) for window in cut_windows(audio.signal)])})
        strong = answer.get("intensity")
        return EmotionScores(
            tuple(answer["scores"][0].tolist()), intensity=None if strong is None else float(strong[0])
        )

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Return the same for many."""
        return [self.classify(audio) for audio in audios]


def is_pipeline(folder: Path) -> bool:
    """Tell a folder with the embedded pipeline as one ONNX file."""
    if not (folder / MODEL_FILE).is_file() or not (folder / META_FILE).is_file():
        return False
    try:
        return load_meta(folder).config.get("exported") == PIPELINE
    except ModelUnavailableError:
        return False
