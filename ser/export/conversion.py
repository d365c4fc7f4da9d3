"""Converts a torch network into an ONNX graph or TorchScript whose batch and length stay free, and a graph into int8.

Knows nothing of folders of models, labels or emotions.
"""

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from ser.checkpoints.torch_network import NAMES_FILE
from ser.errors import ExportError

OPSET = 17
"""Of the graphs; runtimes since 2022 know it."""

MATRIX_OPERATORS = ("MatMul", "Gemm")


class _Tensors(nn.Module):
    """Takes tensors in order, hands out the tensors of a network's answer in order, and remembers their names."""

    def __init__(self, network: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.inputs = tuple(inputs)
        self.outputs: tuple[str, ...] = ()

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answer = self.network(**dict(zip(self.inputs, tensors, strict=True)))
        named = {name: value for name, value in answer.items() if isinstance(value, torch.Tensor)}
        # The logits come first, whatever else the network gives.
        self.outputs = tuple(sorted(named, key=lambda name: name != "logits"))
        return tuple(named[name] for name in self.outputs)


def convert(
    network: nn.Module, inputs: Mapping[str, torch.Tensor], free: Mapping[str, Sequence[int]], path: Path
) -> None:
    """Write a network as an ONNX graph.

    Args:
        network: in evaluation mode; `forward` takes tensors by name and returns a mapping.
        inputs: an example of each argument, with at least two rows.
        free: {argument: axes} that may have any length; axis 0, the batch, always may.
        path: of the graph.

    Raises:
        ExportError: if torch cannot express the network as a graph.
    """
    wrapper = _Tensors(network, list(inputs)).eval()
    with torch.inference_mode():
        wrapper(*inputs.values())
    axes = {name: {0: "batch"} | {axis: f"{name}_{axis}" for axis in free.get(name, ())} for name in inputs}
    axes |= {name: {0: "batch"} for name in wrapper.outputs}
    try:
        with warnings.catch_warnings():
            # The tracer warns of every Python number that depends on a shape; the comparison of answers, which
            # follows on several lengths, finds those that matter.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                wrapper,
                tuple(inputs.values()),
                str(path),
                # The newer exporter needs one more package and six times the time, for an equal graph.
                dynamo=False,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(wrapper.outputs),
                dynamic_axes=axes,
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"This network cannot be written as an ONNX graph: {reason}") from error


def script(network: nn.Module, inputs: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a network as TorchScript: its operations as they were traced, without any Python.

    Args:
        network: as for `convert`.
        inputs: as for `convert`.
        path: of the file.

    Raises:
        ExportError: if torch cannot trace the network.
    """
    wrapper = _Tensors(network, list(inputs)).eval()
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrapper(*inputs.values())
            # Whether a number froze that depends on the length shows in the comparison of answers, not here.
            traced = torch.jit.trace(wrapper, tuple(inputs.values()), check_trace=False, strict=False)
            names = {"inputs": list(inputs), "outputs": list(wrapper.outputs)}
            torch.jit.save(traced, str(path), _extra_files={NAMES_FILE: json.dumps(names)})
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"This network cannot be written as TorchScript: {reason}") from error


def quantize(source: Path, target: Path) -> None:
    """Write a graph with int8 weights of matrix products, whose activations are scaled anew for every call.

    Args:
        source: of the float32 graph.
        target: of the int8 graph.
    """
    graph = onnx.load(source)
    # Shapes that an exporter noted beforehand contradict those that quantisation infers.
    del graph.graph.value_info[:]
    # onnxruntime advises a preparation step through the root logger; here the graph is folded already.
    logging.getLogger().addFilter(_without_advice)
    try:
        quantize_dynamic(graph, target, op_types_to_quantize=list(MATRIX_OPERATORS), weight_type=QuantType.QInt8)
    finally:
        logging.getLogger().removeFilter(_without_advice)


def _without_advice(record: logging.LogRecord) -> bool:
    return "pre-processing" not in record.getMessage()
