"""A torch network -> an ONNX graph whose batch and length stay free.

Knows nothing of folders of models, labels or emotions.
"""

import json
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from ser.acoustic.onnx import SOURCE_KEY
from ser.errors import ExportError

OPSET = 17
"""Of the graphs; runtimes since 2022 know it."""


_STORED: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8")}
"""Types that a safetensors file may hold and a graph can take from it."""


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
        # Whoever opens the graph finds the logits first, whatever else the network tells.
        self.outputs = tuple(sorted(named, key=lambda name: name != "logits"))
        return tuple(named[name] for name in self.outputs)


def convert(
    network: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    free: Mapping[str, Sequence[int]],
    path: Path,
    *,
    source_sha256: str,
    keep_parameters: bool = False,
) -> None:
    """Write a network as an ONNX graph.

    Args:
        network: in evaluation mode; `forward` takes tensors by name and returns a mapping.
        inputs: an example of each argument, with at least two rows.
        free: {argument: axes} that may have any length; axis 0, the batch, always may.
        path: of the graph.
        source_sha256: of the weights, to be found again in the graph.
        keep_parameters: leave every parameter as it is, rather than folding normalisation into convolutions; the
            graph can then refer to the original weights. onnxruntime folds them when it opens the graph.

    Raises:
        ExportError: where torch cannot express the network as a graph.
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
                do_constant_folding=not keep_parameters,
                training=torch.onnx.TrainingMode.PRESERVE if keep_parameters else torch.onnx.TrainingMode.EVAL,
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(f"This network cannot be written as an ONNX graph: {reason}") from error
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, {SOURCE_KEY: source_sha256})
    onnx.save(graph, path)


def refer_to_weights(path: Path, weights: Path) -> int:
    """Let a graph take its parameters out of the safetensors file beside it, instead of holding them twice.

    A safetensors file holds each tensor as plain bytes, which is what ONNX's external data are.
    Half precision there is widened by the graph.
    Source: https://github.com/huggingface/safetensors, "Format"; https://onnx.ai/onnx/repo-docs/ExternalData.html

    Args:
        path: of the graph, written with `keep_parameters`.
        weights: in the same folder.

    Returns:
        Bytes that the graph no longer holds. Parameters that differ from the file's stay in the graph.
    """
    graph = onnx.load(path)
    with weights.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        entries: dict[str, Any] = json.loads(file.read(size))
        saved = 0
        widened = []
        for tensor in graph.graph.initializer:
            entry = entries.get(tensor.name.removeprefix("network."))
            if entry is None or entry["dtype"] not in _STORED:
                continue
            start, end = entry["data_offsets"]
            file.seek(8 + size + start)
            stored = np.frombuffer(file.read(end - start), dtype=_STORED[entry["dtype"]])
            values = onnx.numpy_helper.to_array(tensor)
            if not np.array_equal(stored.astype(values.dtype), values.ravel()):
                continue
            if stored.dtype != values.dtype:
                # The runtime widens it once, when it opens the graph.
                half = f"{tensor.name}.half"
                widened.append(onnx.helper.make_node("Cast", [half], [tensor.name], to=tensor.data_type))
                tensor.name, tensor.data_type = half, onnx.TensorProto.FLOAT16
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": weights.name, "offset": 8 + size + start, "length": end - start}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=str(value))
            saved += values.nbytes
    for node in reversed(widened):
        graph.graph.node.insert(0, node)
    # Not onnx.save: it would read the tensors back in.
    path.write_bytes(graph.SerializeToString())
    return saved
