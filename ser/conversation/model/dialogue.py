"""The dialogue model as it serves: onnxruntime on a shipped graph, heads in numpy. Imports no torch.

The graph is made by `ser.export.graphs`, the weights by `ser.conversation.model.recipe`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from scipy.special import erf, expit, softmax

from ser.checkpoints.folder import META_FILE, Meta, check_weights, file_sha256, load_meta
from ser.conversation.model.tokens import SPEAKERS, DialogueTokenizer, Row, Window, cut_windows, number_speakers
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.embedded import (
    BASE_SHA256,
    EMBEDDED_FOLDER,
    EMBEDDINGS,
    HEAD_PREFIX,
    HIDDEN,
    WEIGHTS_FILE,
    TrainedText,
    encoder_weights,
    find_base,
    load_encoder_tensors,
    map_word_embeddings,
    merge_adapter,
    open_session,
)

DIALOGUE_FOLDER = EMBEDDED_FOLDER.parent / "dialogue"
GRAPH_FILE = DIALOGUE_FOLDER / "graph.onnx"
ATTENTION_BIAS, TOKENS = "attention_bias", "tokens"

CAUSES_PREFIX, SPEAKERS_NAME = "causes.", "speakers.weight"

DISTANCES = 16
"""Distances in turns that the cause head tells apart; all larger ones count as the last."""

HIDDEN_FROM = np.float32(-1e4)
"""Bias of the attention to a token that is not to be seen; as a weight it is exactly 0."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Reading:
    """A dialogue as the model reads it.

    Attributes:
        feelings: probabilities of each turn given those before it, shape (turns, 7).
        speakers: of the turns, numbered.
        windows: that it was read in.
        vectors: of the turns of each window.
    """

    feelings: npt.NDArray[np.float64]
    speakers: tuple[int, ...]
    windows: tuple[Window, ...]
    vectors: tuple[Array, ...]


class TurnEncoder:
    """The sentence encoder over a row of turns, in which a token sees its own turn and those before it.

    Args:
        trained: adapter and head that are merged into its weights; None for the encoder as it was published.
        speakers: vector of each speaker, added to tokens; None for none.

    Raises:
        ModelUnavailableError: if the encoder is absent or damaged.
        ValueError: if the adapter does not fit it.
    """

    def __init__(self, trained: TrainedText | None = None, speakers: Array | None = None) -> None:
        folder = find_base()
        self.tokenizer = DialogueTokenizer()
        encoder = load_encoder_tensors(folder)
        self._words = map_word_embeddings(folder)
        self._positions = encoder["embeddings.position_embeddings.weight"]
        self._positions = self._positions + encoder["embeddings.token_type_embeddings.weight"][0]
        self._speakers = np.zeros((SPEAKERS, HIDDEN), np.float32) if speakers is None else speakers
        # The session reads these arrays in place; they must live as long as it does.
        self._weights = encoder_weights(merge_adapter(encoder, trained) if trained else encoder, quantized=False)
        self._session = open_session(GRAPH_FILE, self._weights)

    def encode(self, row: Row) -> Array:
        """Vectors of the turns of a row, the mean over their own words, shape (turns, width)."""
        embeddings = self._words[row.ids] + self._positions[: len(row.ids)] + self._speakers[row.speakers]
        bias = np.where(row.owners[:, None] >= row.owners[None], np.float32(0), HIDDEN_FROM)
        inputs = {EMBEDDINGS: embeddings[None].astype(np.float32), ATTENTION_BIAS: bias[None, None]}
        (tokens,) = self._session.run([TOKENS], inputs)
        pooling = (row.owners[None] == np.arange(row.owners[-1] + 1)[:, None]) * row.words[None]
        return np.asarray(pooling @ tokens[0] / pooling.sum(1, keepdims=True), dtype=np.float32)


class DialogueModel:
    """Reads dialogues in order; safe to call from several threads.

    Args:
        tensors: adapter, heads and vectors of speakers, as `ser.conversation.model.network` names them.
        meta: `config` holds `rank`, `alpha`, and `cause_scale`, `cause_bias`, `cause_threshold` of the cause head.

    Raises:
        ModelUnavailableError: if the encoder is absent or damaged.
        ValueError: if the tensors do not fit the encoder.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], meta: Meta) -> None:
        self.name, self.meta, self.tensors = f"{meta.name} {meta.sha256[:8]}", meta, tensors
        self.threshold = float(str(meta.config["cause_threshold"]))
        self._scale, self._bias = (float(str(meta.config[f"cause_{name}"])) for name in ("scale", "bias"))
        self._encoder = TurnEncoder(TrainedText(tensors, meta), np.asarray(tensors[SPEAKERS_NAME], np.float32))
        self._head = {part: np.asarray(tensors[f"{HEAD_PREFIX}{part}"], np.float64) for part in ("weight", "bias")}
        prefix = CAUSES_PREFIX
        self._causes = {
            n.removeprefix(prefix): t.astype(np.float32) for n, t in tensors.items() if n.startswith(prefix)
        }

    def read(self, texts: Sequence[str], speakers: Sequence[str]) -> Reading:
        """Read the turns of a dialogue; a turn's answer follows from itself and those before it only.

        Args:
            texts: the words of each turn; empty ones say nothing.
            speakers: names of who speaks.
        """
        tokens, numbers = self._encoder.tokenizer.tokenize(texts), number_speakers(speakers)
        windows = cut_windows([len(turn) for turn in tokens])
        vectors = [
            self._encoder.encode(self._encoder.tokenizer.row(tokens[w.first : w.end], numbers[w.first : w.end]))
            for w in windows
        ]
        answered = [rows[window.answered - window.first :] for rows, window in zip(vectors, windows, strict=True)]
        turns = np.concatenate(answered) if answered else np.zeros((0, HIDDEN), dtype=np.float32)
        logits = turns @ self._head["weight"].T + self._head["bias"]
        feelings = softmax(logits / self.meta.temperature, axis=1)
        return Reading(feelings, tuple(numbers), tuple(windows), tuple(vectors))

    def causes(self, reading: Reading, feelings: npt.NDArray[np.float64] | None = None) -> Array:
        """Compute the probability of each earlier turn, and of the turn itself, to have caused a turn's feeling.

        Args:
            reading: of the dialogue.
            feelings: probabilities of each turn's feeling, if more is known of them than the words say.

        Returns:
            Shape (turns, turns), the turn of feeling first; 0 for later turns and for those of no common window.
        """
        told = np.asarray(reading.feelings if feelings is None else feelings, dtype=np.float32)
        predicted = reading.feelings.astype(np.float32)
        out = np.zeros((len(told), len(told)), dtype=np.float32)
        for window, vectors in zip(reading.windows, reading.vectors, strict=True):
            span = slice(window.first, window.end)
            logits = self._pair_logits(vectors, np.array(reading.speakers[span]), told[span], predicted[span])
            chances = np.tril(expit(self._scale * logits + self._bias))
            answered = window.answered - window.first
            out[window.answered : window.end, span] = chances[answered:]
        return out

    def _pair_logits(self, turns: Array, speakers: npt.NDArray[np.int64], told: Array, predicted: Array) -> Array:
        """Score pairs as `ser.conversation.model.network.CauseHead` does."""

        def linear(values: Array, name: str) -> Array:
            product = values @ self._causes[f"{name}.weight"].T
            return product + self._causes[f"{name}.bias"] if f"{name}.bias" in self._causes else product

        places = np.arange(len(turns))
        distances = np.clip(places[:, None] - places[None], 0, DISTANCES - 1)
        same = (speakers[:, None] == speakers[None]).astype(np.int64)
        hidden = linear(turns, "left")[:, None] * linear(turns, "right")[None]
        hidden += (linear(turns, "target") + linear(told, "target_feeling"))[:, None]
        hidden += (linear(turns, "cause") + linear(predicted, "cause_feeling"))[None]
        hidden += self._causes["distance.weight"][distances] + self._causes["same.weight"][same]
        return linear(_gelu(linear(_gelu(hidden), "middle")), "out")[..., 0]


def _gelu(values: Array) -> Array:
    return np.asarray(values * 0.5 * (1.0 + erf(values / np.sqrt(2.0))), dtype=np.float32)


@lru_cache(maxsize=2)
def load_dialogue_model(folder: Path = DIALOGUE_FOLDER) -> DialogueModel:
    """Load the model from its folder, once.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or does not fit the encoder.
    """
    weights = folder / WEIGHTS_FILE
    for path in (weights, folder / META_FILE, GRAPH_FILE):
        if not path.is_file():
            raise ModelUnavailableError(f"{path} is missing; the dialogue model is incomplete. Reinstall the program.")
    meta = load_meta(folder)
    check_weights(folder)
    found = file_sha256(weights)
    if found != meta.sha256:
        raise ModelUnavailableError(f"{weights} has SHA-256 {found}, its meta.json says {meta.sha256}: it was changed.")
    needed = {"rank", "alpha", "cause_scale", "cause_bias", "cause_threshold"}
    if meta.labels != EMOTIONS or not needed <= meta.config.keys() or meta.config.get("base_sha256") != BASE_SHA256:
        raise ModelUnavailableError(
            f"{folder / META_FILE} does not describe a dialogue model on the installed encoder; expected the labels "
            f"{', '.join(EMOTIONS)} and {', '.join(sorted(needed))}. Train it again."
        )
    try:
        return DialogueModel(load_file(weights), meta)
    except (ValueError, KeyError) as error:
        raise ModelUnavailableError(f"{weights} does not fit its encoder ({error}). Train it again.") from error
