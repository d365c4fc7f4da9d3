"""Builds the ONNX graphs of the embedded models: speech encoder, encoder with a head, text model, dialogues.

The graphs that ship carry no weights: they are handed to onnxruntime from the installed packages when a model is
loaded; see `ser.encoder.embedded` and `ser.text.embedded`. Run `python -m ser.export.graphs` after a change here; what
it writes is part of the repository.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from ser.acoustic.head import LIMIT, ClassifierHead, emotion_of
from ser.acoustic.hidden import HiddenLayer
from ser.acoustic.places import BORDER, STEEPNESS, KnownPlaces
from ser.conversation.model.dialogue import ATTENTION_BIAS, TOKENS
from ser.conversation.model.dialogue import GRAPH_FILE as DIALOGUE_GRAPH_FILE
from ser.encoder.embedded import GRAPHS, graph_tensors
from ser.encoder.weights import DIMENSIONS, WEIGHTS_FILE, find_weights, read_weights
from ser.labels import EMOTIONS
from ser.text.embedded import EMBEDDINGS, GRAPH_FILE, HEADS, HIDDEN, INTERMEDIATE, LAYERS, LOGITS

OPSET, CONTRIB, IR_VERSION = 18, "com.microsoft", 9
"""`CONTRIB` are onnxruntime's own operators: attention, and a matrix product that quantises its input, each as one
kernel. Source: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md"""

ENCODER_EPSILON = 1e-5
"""Of the layer norms. Source: `torch.nn.LayerNorm`, which Whisper was trained with."""

TEXT_EPSILON = 1e-12
"""Of the layer norms. Source: config.json of all-MiniLM-L6-v2."""

Shapes = Mapping[str, list[str | int]]


class Graph:
    """Collects the nodes and tensors of one graph.

    Args:
        int8: whether linear layers compute in 8 bits, weights per output channel, activations as they come.
        width: of the network.
        epsilon: of its layer norms.
    """

    def __init__(self, int8: bool, width: int, epsilon: float) -> None:
        self.int8, self.width, self.epsilon = int8, width, epsilon
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, tuple[int, tuple[int, ...]]] = {}
        self.constants: dict[str, npt.NDArray[np.generic]] = {}

    def node(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))
        return output

    def weight(self, name: str, *shape: int, kind: int = TensorProto.FLOAT) -> str:
        """Declare a tensor that is handed over when the session is opened."""
        self.weights[name] = (kind, shape)
        return name

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Put a tensor into the graph."""
        self.constants[name] = values
        return name

    def linear(self, source: str, name: str, inputs: int, outputs: int, *, int8: bool | None = None) -> str:
        """Add a linear layer; its weight is transposed, of shape (inputs, outputs)."""
        bias = self.weight(f"{name}/bias", outputs)
        if self.int8 if int8 is None else int8:
            kernel = self.weight(f"{name}/int8", inputs, outputs, kind=TensorProto.INT8)
            scales = self.weight(f"{name}/scales", outputs)
            return self.node("DynamicQuantizeMatMul", [source, kernel, scales, "", bias], f"{name}/out", CONTRIB)
        product = self.node("MatMul", [source, self.weight(f"{name}/kernel", inputs, outputs)], f"{name}/product")
        return self.node("Add", [product, bias], f"{name}/out")

    def norm(self, source: str, name: str, residual: str | None = None) -> str:
        """Add a layer norm, of the sum if there is a residual."""
        parts = [self.weight(f"{name}/gamma", self.width), self.weight(f"{name}/beta", self.width)]
        if residual is None:
            return self.node("LayerNormalization", [source, *parts], f"{name}/out", axis=-1, epsilon=self.epsilon)
        inputs = [source, residual, *parts]
        return self.node("SkipLayerNormalization", inputs, f"{name}/out", CONTRIB, epsilon=self.epsilon)

    def serialise(
        self, name: str, inputs: Shapes, outputs: Shapes, tensors: Mapping[str, npt.NDArray[np.generic]] | None = None
    ) -> bytes:
        """Assemble the graph.

        Args:
            name: of the graph.
            inputs: {name: shape}, all float32.
            outputs: the same.
            tensors: weights to put into the graph; without them they are declared as external.
        """
        constants = {**({weight: tensors[weight] for weight in self.weights} if tensors else {}), **self.constants}
        initializers = [numpy_helper.from_array(value, constant) for constant, value in constants.items()]
        for weight, (kind, shape) in self.weights.items() if tensors is None else ():
            tensor = TensorProto(name=weight, data_type=kind, dims=shape, data_location=TensorProto.EXTERNAL)
            tensor.external_data.add(key="location", value="handed-over")
            initializers.append(tensor)
        given, answers = (
            [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape) for value, shape in shapes.items()]
            for shapes in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, name, given, answers, initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return bytes(model.SerializeToString(deterministic=True))


def text_graph(*, int8: bool = True) -> bytes:
    """Build the text model: token embeddings of one sentence in, one logit for each of `EMOTIONS` out."""
    graph = Graph(int8, HIDDEN, TEXT_EPSILON)
    state = _encode_text(graph)
    # The encoder was trained with mean pooling, so the mean over tokens is its sentence vector.
    axis = graph.constant("token_axis", np.array([1], np.int64))
    pooled = graph.node("ReduceMean", [state, axis], "pooled", keepdims=0)
    graph.node("Identity", [graph.linear(pooled, "head", HIDDEN, len(EMOTIONS), int8=False)], LOGITS)
    return graph.serialise("text", {EMBEDDINGS: [1, "tokens", HIDDEN]}, {LOGITS: [1, len(EMOTIONS)]})


def dialogue_graph() -> bytes:
    """Build the encoder of dialogues: token embeddings and a bias of the attention in, vectors of the tokens out.

    Weights stay float32: in 8 bits all tokens of a row share one scale, and a turn would follow from later ones.
    """
    graph = Graph(False, HIDDEN, TEXT_EPSILON)
    graph.node("Identity", [_encode_text(graph, ATTENTION_BIAS)], TOKENS)
    inputs: Shapes = {EMBEDDINGS: [1, "tokens", HIDDEN], ATTENTION_BIAS: [1, 1, "tokens", "tokens"]}
    return graph.serialise("dialogue", inputs, {TOKENS: [1, "tokens", HIDDEN]})


def _encode_text(graph: Graph, bias: str = "") -> str:
    """Add the sentence encoder; return the name of its tokens' vectors."""
    state = graph.norm(EMBEDDINGS, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        block = f"encoder.layer.{layer}"
        attention = f"{block}.attention"
        parts = [graph.linear(state, f"{attention}.self.{part}", HIDDEN, HIDDEN) for part in ("query", "key", "value")]
        parts += ["", "", bias] if bias else []
        mixed = graph.node("MultiHeadAttention", parts, f"{attention}/mixed", CONTRIB, num_heads=HEADS)
        attended = graph.linear(mixed, f"{attention}.output.dense", HIDDEN, HIDDEN)
        middle = graph.norm(attended, f"{attention}.output.LayerNorm", state)
        hidden = graph.linear(middle, f"{block}.intermediate.dense", HIDDEN, INTERMEDIATE)
        hidden = graph.node("Gelu", [hidden], f"{block}/gelu", CONTRIB)
        hidden = graph.linear(hidden, f"{block}.output.dense", INTERMEDIATE, HIDDEN)
        state = graph.norm(hidden, f"{block}.output.LayerNorm", middle)
    return state


MELS: Shapes = {"mels": ["batch", DIMENSIONS.mels, "frames_in"]}


def encoder_graph(*, int8: bool) -> bytes:
    """Build the speech encoder: log-mel in, frame and clip embeddings of all layers out."""
    graph = Graph(int8, DIMENSIONS.width, ENCODER_EPSILON)
    states = _encode(graph)
    rows = [graph.node("Unsqueeze", [state, "one"], f"row_{number}") for number, state in enumerate(states)]
    graph.node("Concat", rows, "frames", axis=1)
    count, width = len(states), DIMENSIONS.width
    outputs: Shapes = {"pooled": ["batch", count * 2 * width], "frames": ["batch", count, "time", width]}
    return graph.serialise("whisper-encoder", MELS, outputs)


def pipeline_graph(head: ClassifierHead, *, int8: bool) -> bytes:
    """Build the encoder with a head, weights inside: `mels` (windows, 80, frames) of one recording to `scores` (1, 7).

    If the head has it, `intensity` is an output, too.
    """
    graph = Graph(int8, DIMENSIONS.width, ENCODER_EPSILON)
    _encode(graph)
    clip = graph.node("ReduceMean", ["pooled", "zero"], "clip", keepdims=1)
    clip = graph.node("Sub", [clip, graph.constant("head/mean", head.mean[None])], "head/apart")
    clip = graph.node("Div", [clip, graph.constant("head/scale", head.scale[None])], "head/standard")
    limits = [
        graph.constant(f"head/{name}", np.array(value, dtype=np.float32))
        for name, value in (("low", -LIMIT), ("high", LIMIT))
    ]
    clip = graph.node("Clip", [clip, *limits], "head/clipped")
    features = clip if head.hidden is None else _with_hidden_layer(graph, clip, head.hidden)
    logits = graph.node("MatMul", [features, graph.constant("head/weights", head.weights)], "head/product")
    logits = graph.node("Add", [logits, graph.constant("head/bias", head.bias[None])], "head/logits")
    temperature = graph.constant("head/temperature", np.array(head.temperature, dtype=np.float32))
    logits = graph.node("Div", [logits, temperature], "head/tempered")
    if head.places is not None:
        logits = graph.node("Mul", [logits, _sharpening(graph, clip, head.places)], "head/placed")
    shares = graph.node("Softmax", [logits], "head/shares", axis=1)
    table = np.zeros((len(head.labels), len(EMOTIONS)), dtype=np.float32)
    for row, label in enumerate(head.labels):
        table[row, EMOTIONS.index(emotion_of(label))] = 1.0
    graph.node("MatMul", [shares, graph.constant("head/emotions", table)], "scores")
    outputs: dict[str, list[str | int]] = {"scores": [1, len(EMOTIONS)]}
    if head.intensity_weights is not None:
        strong = graph.node(
            "MatMul", [clip, graph.constant("head/intensity_weights", head.intensity_weights[:, None])], "head/strength"
        )
        bias = graph.constant("head/intensity_bias", np.array(head.intensity_bias, dtype=np.float32))
        strong = graph.node("Sigmoid", [graph.node("Add", [strong, bias], "head/strong")], "head/strong_share")
        graph.node("Squeeze", [strong, "one"], "intensity")
        outputs["intensity"] = [1]
    tensors = graph_tensors(read_weights(find_weights() / WEIGHTS_FILE), "int8" if int8 else "float32")
    model = graph.serialise("speech-emotion", {"mels": ["windows", DIMENSIONS.mels, "frames_in"]}, outputs, tensors)
    onnx.checker.check_model(model)
    return model


def _with_hidden_layer(graph: Graph, clip: str, layer: HiddenLayer) -> str:
    """Add the hidden layer's features next to a standardised embedding."""
    parts = dict(zip(("components", "weights", "bias"), (*layer.maps, layer.bias[None]), strict=True))
    names = [graph.constant(f"hidden/{name}", values) for name, values in parts.items()]
    inner = graph.node("MatMul", [clip, names[0]], "hidden/projected")
    inner = graph.node("Add", [graph.node("MatMul", [inner, names[1]], "hidden/product"), names[2]], "hidden/sum")
    return graph.node("Concat", [clip, graph.node("Relu", [inner], "hidden/features")], "head/features", axis=1)


def _sharpening(graph: Graph, clip: str, places: KnownPlaces) -> str:
    """Add the inverse of `KnownPlaces.divisors`."""

    def constant(name: str, value: npt.ArrayLike) -> str:
        return graph.constant(f"places/{name}", np.array(value, dtype=np.float32))

    there = graph.node("MatMul", [clip, constant("basis", places.basis)], "places/there")
    apart = graph.node("Sub", [there, constant("centers", places.centers)], "places/apart")
    sums = graph.node("ReduceSum", [graph.node("Mul", [apart, apart], "places/squares"), "one"], "places/sums")
    relative = graph.node("Div", [sums, constant("spreads", places.spreads[:, None])], "places/relative")
    nearest = graph.node("ReduceMin", [relative], "places/nearest")
    ratio = graph.node("Div", [nearest, constant("border", BORDER)], "places/ratio")
    power = graph.node("Pow", [ratio, constant("steepness", STEEPNESS)], "places/power")
    known = graph.node("Reciprocal", [graph.node("Add", [power, constant("unit", 1.0)], "places/more")], "places/known")
    return graph.node("Pow", [constant("sharpening", places.sharpening), known], "places/factor")


def _encode(graph: Graph) -> list[str]:
    """Add the encoder up to `pooled`, mean and deviation over time of each layer; return the layers' outputs."""
    sizes = DIMENSIONS
    graph.constants = {"zero": np.array([0], np.int64), "one": np.array([1], np.int64)}
    front = _convolution(graph, "mels", "encoder/conv1", sizes.mels, 1)
    front = _convolution(graph, front, "encoder/conv2", sizes.width, 2)
    front = graph.node("Transpose", [front], "front", perm=[0, 2, 1])
    length = graph.node("Shape", [front], "length", start=1, end=2)
    positions = graph.weight("encoder/position_encodings/encodings", sizes.positions, sizes.width)
    positions = graph.node("Slice", [positions, "zero", length, "zero"], "positions")
    state = graph.node("Add", [front, positions], "layer_0")
    states = [state]
    for number in range(sizes.layers):
        state = _encoder_layer(graph, state, f"encoder/layer_{number}", f"layer_{number + 1}")
        states.append(state)
    states.append(graph.norm(state, "encoder/layer_norm"))
    statistics = []
    for number, state in enumerate(states):
        mean = graph.node("ReduceMean", [state, "one"], f"mean_{number}", keepdims=1)
        apart = graph.node("Sub", [state, mean], f"apart_{number}")
        square = graph.node("Mul", [apart, apart], f"square_{number}")
        variance = graph.node("ReduceMean", [square, "one"], f"variance_{number}", keepdims=1)
        statistics += [mean, graph.node("Sqrt", [variance], f"deviation_{number}")]
    together = graph.node("Concat", statistics, "statistics", axis=2)
    graph.node("Squeeze", [together, "one"], "pooled")
    return states


def _encoder_layer(graph: Graph, state: str, name: str, output: str) -> str:
    sizes = DIMENSIONS
    block = f"{name}/self_attention"
    source = graph.norm(state, f"{block}/layer_norm")
    parts = [graph.linear(source, f"{block}/{part}", sizes.width, sizes.width) for part in ("q", "k", "v")]
    mixed = graph.node("MultiHeadAttention", parts, f"{block}/mixed", CONTRIB, num_heads=sizes.heads)
    mixed = graph.linear(mixed, f"{block}/linear_1", sizes.width, sizes.width)
    state = graph.node("Add", [state, mixed], f"{block}/sum")
    source = graph.norm(state, f"{name}/ffn/layer_norm")
    hidden = graph.linear(source, f"{name}/ffn/linear_0", sizes.width, sizes.hidden)
    hidden = graph.node("Gelu", [hidden], f"{name}/ffn/active", CONTRIB)
    hidden = graph.linear(hidden, f"{name}/ffn/linear_1", sizes.hidden, sizes.width)
    return graph.node("Add", [state, hidden], output)


def _convolution(graph: Graph, source: str, name: str, inputs: int, stride: int) -> str:
    """Add a convolution over three frames with its activation."""
    width = DIMENSIONS.width
    parts = [source, graph.weight(f"{name}/weight", width, inputs, 3), graph.weight(f"{name}/bias", width)]
    graph.node("Conv", parts, f"{name}/out", kernel_shape=[3], pads=[1, 1], strides=[stride])
    return graph.node("Gelu", [f"{name}/out"], f"{name}/active", CONTRIB)


def shipped_graphs() -> dict[Path, bytes]:
    """Build the graphs that are part of the repository, by their files."""
    encoders = {GRAPHS / f"{name}.onnx": encoder_graph(int8=name == "int8") for name in ("float32", "int8")}
    return {**encoders, GRAPH_FILE: text_graph(), DIALOGUE_GRAPH_FILE: dialogue_graph()}


if __name__ == "__main__":
    for file, content in shipped_graphs().items():
        file.write_bytes(content)
