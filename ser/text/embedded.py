"""The embedded text model as it serves: onnxruntime on a shipped graph, weights merged and quantised when loaded.

Imports neither torch nor transformers. The graph is made by `ser.text.graph`, the adapter by `ser.text.training`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.base import find_base, load_encoder_tensors, load_tokenizer, map_word_embeddings
from ser.text.checkpoint import ADAPTER_PREFIX, HEAD_PREFIX, TrainedText, load_trained
from ser.types import EmotionScores

EMBEDDED_FOLDER = Path(__file__).resolve().parent.parent / "weights" / "text"
GRAPH_FILE = EMBEDDED_FOLDER / "graph.onnx"
EMBEDDINGS, LOGITS = "embeddings", "logits"

LAYERS, HIDDEN, INTERMEDIATE, HEADS = 6, 384, 1536, 12
"""Of the encoder. Source: config.json of all-MiniLM-L6-v2."""

MAX_TOKENS = 128
"""Longer texts are cut: about 90 words, more than is said in half a minute."""

QUANTIZED_RANGE = 63
"""Largest int8 weight: 7 bits. Processors without VNNI add two products in 16 bits, which saturate beyond.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "reduce_range".
"""

Array = npt.NDArray[np.float32]


class EmbeddedTextModel:
    """A `TextModel` on onnxruntime; safe to call from several threads.

    Args:
        trained: adapter, head and meta data.
        graph: the network as `ser.text.graph.build_graph` makes it, in a file or serialised.
        quantized: whether that graph takes its weights in int8.

    Raises:
        ModelUnavailableError: if the adapter does not fit its encoder, or the encoder is absent or damaged.
    """

    def __init__(self, trained: TrainedText, graph: Path | bytes = GRAPH_FILE, *, quantized: bool = True) -> None:
        folder = find_base()
        self.name = f"{trained.meta['name']} {trained.meta['sha256'][:8]}"
        self.labels = EMOTIONS
        self.languages: tuple[str, ...] | None = tuple(trained.meta["languages"])
        self._temperature = trained.temperature
        self._tokenizer = load_tokenizer(folder, MAX_TOKENS)
        tensors = load_encoder_tensors(folder)
        self._words = map_word_embeddings(folder)
        self._positions = tensors["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        self._positions = self._positions + tensors["embeddings.token_type_embeddings.weight"][0]
        # The session reads these arrays in place; they must live as long as it does.
        self._weights = graph_weights(tensors, trained, quantized=quantized)
        self._session = _open_session(graph, self._weights)

    def classify(self, text: str) -> EmotionScores:
        """Scores for one sentence."""
        logits = self.logits(text) / self._temperature
        powers = np.exp(logits - logits.max())
        return EmotionScores(tuple((powers / powers.sum()).tolist()))

    def classify_batch(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Scores for each sentence, the same as one by one.

        Sentences never share a run: the inputs of a quantised product share one scale, and a sentence's answer must
        not depend on its company.
        """
        return [self.classify(text) for text in texts]

    def logits(self, text: str) -> npt.NDArray[np.float64]:
        """Logits of a sentence before the temperature, float64 of shape (7,)."""
        ids = self._tokenizer.encode(text).ids
        embeddings = self._words[ids] + self._positions[: len(ids)]
        (logits,) = self._session.run([LOGITS], {EMBEDDINGS: embeddings[None]})
        return np.asarray(logits[0], dtype=np.float64)


def load_embedded(folder: Path) -> EmbeddedTextModel:
    """Load the shipped model, or one that was trained further, from its folder.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or does not fit the encoder.
    """
    trained = load_trained(folder)
    try:
        return EmbeddedTextModel(trained)
    except ValueError as error:
        raise ModelUnavailableError(
            f"The adapter in {folder} does not fit its encoder ({error}). Train the text model again."
        ) from error


def graph_weights(tensors: Mapping[str, Array], trained: TrainedText, *, quantized: bool) -> dict[str, np.ndarray]:
    """Merge the adapter into the encoder's weights and name them as the graph does.

    Args:
        tensors: the encoder's, as its checkpoint names them.
        trained: adapter and head.
        quantized: whether linear layers become int8 with one scale a column.

    Raises:
        ValueError: if the adapter has other layers or shapes than the encoder.
    """
    merged = merge_adapter(tensors, trained)
    weights: dict[str, np.ndarray] = {}

    def put_linear(name: str, parts: Sequence[str]) -> None:
        weight = np.concatenate([merged[f"{part}.weight"] for part in parts]).T
        weights[f"{name}.bias"] = np.concatenate([merged[f"{part}.bias"] for part in parts])
        if quantized:
            scale = np.maximum(np.abs(weight).max(0), 1e-12) / QUANTIZED_RANGE
            weights[f"{name}.scale"] = scale.astype(np.float32)
            weight = np.rint(weight / scale).astype(np.int8)
        weights[f"{name}.weight"] = np.ascontiguousarray(weight)

    def put_norm(name: str, part: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = merged[f"{part}.weight"], merged[f"{part}.bias"]

    put_norm("norm", "embeddings.LayerNorm")
    for layer in range(LAYERS):
        block = f"encoder.layer.{layer}"
        put_linear(f"{layer}.qkv", [f"{block}.attention.self.{part}" for part in ("query", "key", "value")])
        put_linear(f"{layer}.attention", [f"{block}.attention.output.dense"])
        put_linear(f"{layer}.up", [f"{block}.intermediate.dense"])
        put_linear(f"{layer}.down", [f"{block}.output.dense"])
        put_norm(f"{layer}.norm1", f"{block}.attention.output.LayerNorm")
        put_norm(f"{layer}.norm2", f"{block}.output.LayerNorm")
    head = {part: trained.tensors.get(f"{HEAD_PREFIX}{part}", np.zeros(0)) for part in ("weight", "bias")}
    if head["weight"].shape != (len(EMOTIONS), HIDDEN) or head["bias"].shape != (len(EMOTIONS),):
        raise ValueError(f"the head has the shape {head['weight'].shape}, expected {(len(EMOTIONS), HIDDEN)}")
    weights["head.weight"] = np.ascontiguousarray(head["weight"].T, dtype=np.float32)
    weights["head.bias"] = np.ascontiguousarray(head["bias"], dtype=np.float32)
    return weights


def merge_adapter(tensors: Mapping[str, Array], trained: TrainedText) -> dict[str, Array]:
    """Add each low-rank update to the weight that it belongs to: W + alpha / rank * B A.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", https://arxiv.org/abs/2106.09685

    Raises:
        ValueError: if an update has no weight to be added to, or another shape or rank.
    """
    rank, alpha = int(trained.meta["config"]["rank"]), float(trained.meta["config"]["alpha"])
    merged = dict(tensors)
    adapter = {name: tensor for name, tensor in trained.tensors.items() if name.startswith(ADAPTER_PREFIX)}
    suffixes = (".lora_A.weight", ".lora_B.weight")
    layers = {
        name.removeprefix(ADAPTER_PREFIX).removesuffix(s) for name in adapter for s in suffixes if name.endswith(s)
    }
    if len(adapter) != 2 * len(layers):
        raise ValueError(f"it has {len(adapter)} tensors; a pair is expected for each of {len(layers)} linear layers")
    for layer in sorted(layers):
        down, up = (adapter[f"{ADAPTER_PREFIX}{layer}{suffix}"].astype(np.float32) for suffix in suffixes)
        target = merged.get(f"{layer}.weight")
        shapes = (up.shape, down.shape)
        if target is None or shapes != ((target.shape[0], rank), (rank, target.shape[1])):
            expected = "none" if target is None else f"{target.shape} in rank {rank}"
            raise ValueError(f"the update of {layer} has the shapes {shapes}, expected {expected}")
        merged[f"{layer}.weight"] = target + np.float32(alpha / rank) * (up @ down)
    return merged


def _open_session(graph: Path | bytes, weights: Mapping[str, np.ndarray]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # A sentence takes some 3 ms: waiting for a second thread costs more than it gives, and spinning takes the core
    # from whoever else needs it.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in weights.values()]
    options.add_external_initializers(list(weights), values)
    place = graph if isinstance(graph, Path) else "memory"
    try:
        source = graph.read_bytes() if isinstance(graph, Path) else graph
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise ModelUnavailableError(f"{place} cannot be read ({error.strerror}). Reinstall the program.") from error
    except (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf) as error:
        raise ModelUnavailableError(
            f"The graph of the text model in {place} is damaged ({error}). Reinstall the program."
        ) from error
