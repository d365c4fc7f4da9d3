"""Exports the embedded pipeline, from log-mel to scores, as one ONNX file that needs nothing of this project."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ser.acoustic.exported import PIPELINE, ExportedPipeline
from ser.acoustic.head import LIMIT, ClassifierHead, emotion_of
from ser.acoustic.model import HeadModel
from ser.checkpoints.folder import Meta, save_checkpoint
from ser.checkpoints.onnx import MODEL_FILE
from ser.encoder.embedded import EmbeddedEncoder, graph_tensors
from ser.encoder.weights import DIMENSIONS, WEIGHTS_FILE, find_weights, read_weights
from ser.errors import ExportError
from ser.export.encoder_graph import CONTRIB, IR_VERSION, OPSET, EncoderGraph
from ser.export.parity import PARITY_CLIPS, Parity, compare
from ser.labels import EMOTIONS
from ser.types import Audio

TOLERANCE = 0.02
"""Greatest difference of any probability at equal precision: windows of one recording share the scale of their 8-bit
activations in the graph, and are embedded one by one in the program."""

INT8_TOLERANCE = 0.35
"""The same of int8 against float32, on a single clip; the change in recall tells whether it matters."""


def export_pipeline(
    model: HeadModel, out: Path, *, int8: bool, clips: Sequence[Audio] = (), tolerance: float | None = None
) -> Parity:
    """Write a head with the embedded encoder under it as one ONNX file, and compare its answers with the model's.

    Args:
        model: on the embedded encoder.
        out: the new folder.
        int8: whether linear layers compute in 8 bits.
        clips: speech to compare answers on, beside synthetic speech.
        tolerance: greatest difference of any probability that is accepted.

    Returns:
        How the two differ.

    Raises:
        ExportError: where the encoder is another one, or the two answer differently; nothing is left behind.
        ModelUnavailableError: where `out` exists.
    """
    if not isinstance(model.encoder, EmbeddedEncoder):
        raise ExportError(
            f"The encoder under {model.name} is {model.encoder.name}; only the embedded one can be exported with its "
            "head. Fine-tune the encoder and export that checkpoint."
        )
    precision = "int8" if int8 else "float32"
    graph = pipeline_graph(model.head, int8)
    same = precision == model.encoder.precision
    bound = tolerance if tolerance is not None else (TOLERANCE if same else INT8_TOLERANCE)
    config = {**model.meta.config, "exported": PIPELINE, "precision": precision}
    meta = Meta(model.name, EMOTIONS, config=config, data=model.meta.data)
    out.parent.mkdir(parents=True, exist_ok=True)

    def write(folder: Path) -> None:
        (folder / MODEL_FILE).write_bytes(graph)

    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        save_checkpoint(Path(scratch) / "model", write, meta, MODEL_FILE)
        parity = compare(model, ExportedPipeline(Path(scratch) / "model"), [*PARITY_CLIPS, *clips], bound)
    figures = {"export": {"parity": dataclasses.asdict(parity), "source_sha256": model.sha256}}
    save_checkpoint(out, write, dataclasses.replace(meta, metrics={**model.meta.metrics, **figures}), MODEL_FILE)
    return parity


def pipeline_graph(head: ClassifierHead, int8: bool) -> bytes:
    """Build the graph, weights inside: `mels` (windows, 80, frames) of one recording to `scores` (1, 7)."""
    graph = _PipelineGraph(head, int8)
    tensors = graph_tensors(read_weights(find_weights() / WEIGHTS_FILE), "int8" if int8 else "float32")
    constants = {**{name: tensors[name] for name in graph.weights}, **graph.constants}
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(EMOTIONS)])]
    if head.intensity_weights is not None:
        outputs.append(helper.make_tensor_value_info("intensity", TensorProto.FLOAT, [1]))
    whole = helper.make_graph(
        graph.nodes,
        "speech-emotion",
        [helper.make_tensor_value_info("mels", TensorProto.FLOAT, ["windows", DIMENSIONS.mels, "frames_in"])],
        outputs,
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


class _PipelineGraph(EncoderGraph):
    """The encoder's graph with the head behind it."""

    def __init__(self, head: ClassifierHead, int8: bool) -> None:
        self._head = head
        super().__init__(int8)

    def _constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        self.constants[name] = values
        return name

    def _more_outputs(self, states: list[str]) -> None:
        """Scores of the recording, and the intensity where the head tells it."""
        head = self._head
        clip = self.node("ReduceMean", ["pooled", "zero"], "clip", keepdims=1)
        clip = self.node("Sub", [clip, self._constant("head/mean", head.mean[None])], "head/apart")
        clip = self.node("Div", [clip, self._constant("head/scale", head.scale[None])], "head/standard")
        limits = [
            self._constant(f"head/{name}", np.array(value, dtype=np.float32))
            for name, value in (("low", -LIMIT), ("high", LIMIT))
        ]
        clip = self.node("Clip", [clip, *limits], "head/clipped")
        logits = self.node("MatMul", [clip, self._constant("head/weights", head.weights)], "head/product")
        logits = self.node("Add", [logits, self._constant("head/bias", head.bias[None])], "head/logits")
        temperature = self._constant("head/temperature", np.array(head.temperature, dtype=np.float32))
        logits = self.node("Div", [logits, temperature], "head/tempered")
        shares = self.node("Softmax", [logits], "head/shares", axis=1)
        table = np.zeros((len(head.labels), len(EMOTIONS)), dtype=np.float32)
        for row, label in enumerate(head.labels):
            table[row, EMOTIONS.index(emotion_of(label))] = 1.0
        self.node("MatMul", [shares, self._constant("head/emotions", table)], "scores")
        if head.intensity_weights is not None:
            weights = self._constant("head/intensity_weights", head.intensity_weights[:, None])
            strong = self.node("MatMul", [clip, weights], "head/strength")
            bias = self._constant("head/intensity_bias", np.array(head.intensity_bias, dtype=np.float32))
            strong = self.node("Add", [strong, bias], "head/strong")
            strong = self.node("Sigmoid", [strong], "head/strong_share")
            self.node("Squeeze", [strong, "one"], "intensity")
