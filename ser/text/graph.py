"""The network of the embedded text model as an ONNX graph without weights: `python -m ser.text.graph`.

The graph ships with the program; the weights come from the encoder's package and the adapter when the model is loaded.
Needs the package `onnx`, which serving does not.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from ser.labels import EMOTIONS
from ser.text.embedded import EMBEDDINGS, GRAPH_FILE, HEADS, HIDDEN, INTERMEDIATE, LAYERS, LOGITS

EPSILON = 1e-12
"""Of layer normalisation. Source: config.json of all-MiniLM-L6-v2."""

CONTRIB = "com.microsoft"
"""onnxruntime's own operators: attention and a matrix product that quantises its input, each as one kernel.

Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""


def build_graph(*, quantized: bool = True) -> ModelProto:
    """Build the graph: token embeddings of one sentence in, one logit for each of `EMOTIONS` out.

    Args:
        quantized: weights of the blocks' linear layers in int8 with one scale a column, their inputs quantised
            sentence by sentence; otherwise everything in float32.

    Returns:
        A model whose weights are declared as external and are to be given to the session.
    """
    graph = _Graph(quantized)
    state = graph.norm(EMBEDDINGS, None, "norm")
    for layer in range(LAYERS):
        joint = graph.linear(state, f"{layer}.qkv", HIDDEN, 3 * HIDDEN)
        query, key, value = (f"{layer}.{part}" for part in ("query", "key", "value"))
        graph.add("Split", [joint], [query, key, value], axis=-1, num_outputs=3)
        graph.add("MultiHeadAttention", [query, key, value], [f"{layer}.context"], CONTRIB, num_heads=HEADS)
        attended = graph.linear(f"{layer}.context", f"{layer}.attention", HIDDEN, HIDDEN)
        middle = graph.norm(attended, state, f"{layer}.norm1")
        graph.add("Gelu", [graph.linear(middle, f"{layer}.up", HIDDEN, INTERMEDIATE)], [f"{layer}.gelu"], CONTRIB)
        state = graph.norm(
            graph.linear(f"{layer}.gelu", f"{layer}.down", INTERMEDIATE, HIDDEN), middle, f"{layer}.norm2"
        )
    # The encoder was trained with mean pooling, so the mean over tokens is its sentence vector.
    graph.add("ReduceMean", [state, "token_axis"], ["pooled"], keepdims=0)
    graph.weights.append(helper.make_tensor("token_axis", TensorProto.INT64, [1], [1]))
    head, bias = graph.weight("head.weight", [HIDDEN, len(EMOTIONS)]), graph.weight("head.bias", [len(EMOTIONS)])
    graph.add("MatMul", ["pooled", head], ["products"])
    graph.add("Add", ["products", bias], [LOGITS])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph.finish(), opset_imports=opsets, ir_version=9)


class _Graph:
    """Nodes and declared weights, collected in order."""

    def __init__(self, quantized: bool) -> None:
        self.quantized = quantized
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, kind: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))

    def weight(self, name: str, shape: list[int], kind: int = TensorProto.FLOAT) -> str:
        """Declare a weight that lies outside the file; the session gets it by its name."""
        tensor = TensorProto(name=name, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="given-to-the-session")
        self.weights.append(tensor)
        return name

    def linear(self, state: str, name: str, inputs: int, outputs: int) -> str:
        bias = self.weight(f"{name}.bias", [outputs])
        if self.quantized:
            weight = self.weight(f"{name}.weight", [inputs, outputs], TensorProto.INT8)
            scale = self.weight(f"{name}.scale", [outputs])
            self.add("DynamicQuantizeMatMul", [state, weight, scale, "", bias], [name], CONTRIB)
        else:
            self.add("MatMul", [state, self.weight(f"{name}.weight", [inputs, outputs])], [f"{name}.products"])
            self.add("Add", [f"{name}.products", bias], [name])
        return name

    def norm(self, state: str, residual: str | None, name: str) -> str:
        scale, bias = self.weight(f"{name}.weight", [HIDDEN]), self.weight(f"{name}.bias", [HIDDEN])
        if residual is None:
            self.add("LayerNormalization", [state, scale, bias], [name], axis=-1, epsilon=EPSILON)
        else:
            inputs = [state, residual, scale, bias]
            self.add("SkipLayerNormalization", inputs, [name], CONTRIB, epsilon=EPSILON)
        return name

    def finish(self) -> GraphProto:
        tokens = helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, [1, "tokens", HIDDEN])
        logits = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, [1, len(EMOTIONS)])
        return helper.make_graph(self.nodes, "text", [tokens], [logits], self.weights)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the graph that ships."""
    parser = argparse.ArgumentParser(prog="python -m ser.text.graph", description=__doc__)
    parser.add_argument("--out", type=Path, default=GRAPH_FILE, metavar="FILE.onnx", help=f"default {GRAPH_FILE}")
    options = parser.parse_args(argv)
    options.out.write_bytes(build_graph().SerializeToString(deterministic=True))
    print(f"Saved {options.out}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
