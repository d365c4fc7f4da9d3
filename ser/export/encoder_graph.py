"""Builds the ONNX graph of the embedded encoder: log-mel in, frame and clip embeddings of all layers out.

The graph carries no weights: they are handed to onnxruntime from the installed package; see `ser.encoder.embedded`.
Run `python -m ser.export.encoder_graph` after a change here; what it writes is part of the repository.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ser.encoder.weights import DIMENSIONS

GRAPHS = Path(__file__).parent.parent / "encoder" / "graphs"
OPSET, CONTRIB, IR_VERSION = 18, "com.microsoft", 9
EPSILON = 1e-5
"""Of the layer norms. Source: `torch.nn.LayerNorm`, which Whisper was trained with."""


class EncoderGraph:
    """Collects the nodes of one graph.

    Args:
        int8: whether linear layers compute in 8 bits, weights per output channel, activations as they come.
    """

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.constants: dict[str, np.ndarray] = {}
        self._encode()

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def weight(self, name: str, *shape: int, kind: int = TensorProto.FLOAT) -> str:
        """Declare a tensor that is handed over when the session is opened."""
        self.weights[name] = (kind, shape)
        return name

    def linear(self, source: str, name: str, inputs: int, outputs: int) -> str:
        """Add a linear layer; its weight is transposed, of shape (inputs, outputs)."""
        bias = self.weight(f"{name}/bias", outputs)
        if self.int8:
            kernel = self.weight(f"{name}/int8", inputs, outputs, kind=TensorProto.INT8)
            scales = self.weight(f"{name}/scales", outputs)
            return self.node("DynamicQuantizeMatMul", [source, kernel, scales, "", bias], f"{name}/out", CONTRIB)
        product = self.node("MatMul", [source, self.weight(f"{name}/kernel", inputs, outputs)], f"{name}/product")
        return self.node("Add", [product, bias], f"{name}/out")

    def norm(self, source: str, name: str) -> str:
        """Add a layer norm."""
        width = DIMENSIONS.width
        parts = [source, self.weight(f"{name}/gamma", width), self.weight(f"{name}/beta", width)]
        return self.node("LayerNormalization", parts, f"{name}/out", axis=-1, epsilon=EPSILON)

    def convolution(self, source: str, name: str, inputs: int, stride: int) -> str:
        """Add a convolution over three frames with its activation."""
        width = DIMENSIONS.width
        parts = [source, self.weight(f"{name}/weight", width, inputs, 3), self.weight(f"{name}/bias", width)]
        self.node("Conv", parts, f"{name}/out", kernel_shape=[3], pads=[1, 1], strides=[stride])
        return self.node("Gelu", [f"{name}/out"], f"{name}/active", CONTRIB)

    def _encode(self) -> None:
        sizes = DIMENSIONS
        self.constants = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
        front = self.convolution("mels", "encoder/conv1", sizes.mels, 1)
        front = self.convolution(front, "encoder/conv2", sizes.width, 2)
        front = self.node("Transpose", [front], "front", perm=[0, 2, 1])
        length = self.node("Shape", [front], "length", start=1, end=2)
        positions = self.weight("encoder/position_encodings/encodings", sizes.positions, sizes.width)
        positions = self.node("Slice", [positions, "zero", length, "zero"], "positions")
        state = self.node("Add", [front, positions], "layer_0")
        states = [state]
        for number in range(sizes.layers):
            state = self._layer(state, f"encoder/layer_{number}", f"layer_{number + 1}")
            states.append(state)
        states.append(self.norm(state, "encoder/layer_norm"))
        self._outputs(states)

    def _layer(self, state: str, name: str, output: str) -> str:
        sizes = DIMENSIONS
        block = f"{name}/self_attention"
        source = self.norm(state, f"{block}/layer_norm")
        parts = [self.linear(source, f"{block}/{part}", sizes.width, sizes.width) for part in ("q", "k", "v")]
        mixed = self.node("MultiHeadAttention", parts, f"{block}/mixed", CONTRIB, num_heads=sizes.heads)
        mixed = self.linear(mixed, f"{block}/linear_1", sizes.width, sizes.width)
        state = self.node("Add", [state, mixed], f"{block}/sum")
        source = self.norm(state, f"{name}/ffn/layer_norm")
        hidden = self.linear(source, f"{name}/ffn/linear_0", sizes.width, sizes.hidden)
        hidden = self.node("Gelu", [hidden], f"{name}/ffn/active", CONTRIB)
        hidden = self.linear(hidden, f"{name}/ffn/linear_1", sizes.hidden, sizes.width)
        return self.node("Add", [state, hidden], output)

    def _outputs(self, states: list[str]) -> None:
        """Mean and standard deviation over time of each layer, side by side; then what else the graph gives."""
        statistics = []
        for number, state in enumerate(states):
            mean = self.node("ReduceMean", [state, "one"], f"mean_{number}", keepdims=1)
            apart = self.node("Sub", [state, mean], f"apart_{number}")
            square = self.node("Mul", [apart, apart], f"square_{number}")
            variance = self.node("ReduceMean", [square, "one"], f"variance_{number}", keepdims=1)
            statistics += [mean, self.node("Sqrt", [variance], f"deviation_{number}")]
        together = self.node("Concat", statistics, "statistics", axis=2)
        self.node("Squeeze", [together, "one"], "pooled")
        self._more_outputs(states)

    def _more_outputs(self, states: list[str]) -> None:
        """All frames of all layers."""
        rows = [self.node("Unsqueeze", [state, "one"], f"row_{number}") for number, state in enumerate(states)]
        self.node("Concat", rows, "frames", axis=1)

    def model(self) -> onnx.ModelProto:
        """Assemble the graph; its weights are declared as external."""
        rows = DIMENSIONS.layers + 2
        shapes: dict[str, list[str | int | None]] = {
            "pooled": ["batch", rows * 2 * DIMENSIONS.width],
            "frames": ["batch", rows, "time", DIMENSIONS.width],
        }
        initializers = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        for name, (kind, shape) in self.weights.items():
            tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
            tensor.external_data.add(key="location", value="handed-over")
            initializers.append(tensor)
        graph = helper.make_graph(
            self.nodes,
            "whisper-encoder",
            [helper.make_tensor_value_info("mels", TensorProto.FLOAT, ["batch", DIMENSIONS.mels, "frames_in"])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
            initializers,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def graph_bytes(int8: bool) -> bytes:
    """The serialised graph, as it lies in `GRAPHS`."""
    return EncoderGraph(int8).model().SerializeToString(deterministic=True)


def write_graphs() -> None:
    """Write both forms where `ser.encoder.embedded` reads them."""
    for int8 in (False, True):
        (GRAPHS / f"{'int8' if int8 else 'float32'}.onnx").write_bytes(graph_bytes(int8))


if __name__ == "__main__":
    write_graphs()
