"""Text models behind one protocol: the embedded adapter, or any text classification checkpoint of transformers.

Turns sentences into `EmotionScores`; knows nothing of speech, transcripts or fusion.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ser.config import EMBEDDED, NO_MODEL
from ser.errors import ModelUnavailableError
from ser.hub import resolve_checkpoint
from ser.labels import EMOTIONS, map_labels
from ser.text.base import load_base, quiet_loading
from ser.text.checkpoint import is_trained, load_trained
from ser.text.network import TextEmotionNetwork, add_adapter, merge_adapter, pad, set_trained_tensors
from ser.threads import one_core
from ser.types import EmotionScores, TextModel

EMBEDDED_FOLDER = Path(__file__).resolve().parent.parent / "weights" / "text"

MAX_TOKENS = 128
"""Longer texts are cut: about 90 words, more than is said in half a minute."""

BATCH = 32
"""Texts that go through a network together."""

Answer = tuple[list[float], dict[str, float]]


def load_text_model(
    name_or_dir: str | Path, device: str = "cpu", *, languages: tuple[str, ...] | None = None
) -> TextModel | None:
    """Load a text model.

    Args:
        name_or_dir: `embedded`; `none`; a folder that `ser.text.training` made; or the folder or Hub id of a
            text classification checkpoint with weights in safetensors.
        device: `cpu` or `cuda`.
        languages: ISO 639-1 codes the checkpoint was trained on, where known; the embedded model knows its own.

    Returns:
        The model, or None for `none`.

    Raises:
        ModelUnavailableError: where the model is absent, damaged, untrained, or knows none of `EMOTIONS`.
    """
    if str(name_or_dir) == NO_MODEL:
        return None
    folder = EMBEDDED_FOLDER if str(name_or_dir) == EMBEDDED else Path(name_or_dir).expanduser()
    if str(name_or_dir) == EMBEDDED or is_trained(folder):
        return _load_adapter(folder, device)
    return _load_checkpoint(str(name_or_dir), device, languages)


class TextClassifier:
    """A network with its tokenizer, as a `TextModel`; safe to call from several threads.

    Args:
        name: with a version where there is one.
        labels: the emotions it can answer.
        languages: that it reads; None for any.
        tokenizer: turns texts into token ids.
        logits: token ids and attention mask, both (batch, tokens) -> logits (batch, outputs).
        answer: one row of logits, float64 -> the probability of each of `EMOTIONS` and of foreign labels.
        device: where the network lives.
        max_tokens: longer texts are cut.
    """

    def __init__(
        self,
        name: str,
        labels: tuple[str, ...],
        languages: tuple[str, ...] | None,
        *,
        tokenizer: PreTrainedTokenizerBase,
        logits: Callable[[Tensor, Tensor], Tensor],
        answer: Callable[[np.ndarray], Answer],
        device: str,
        max_tokens: int,
    ) -> None:
        self.name, self.labels, self.languages = name, labels, languages
        self._tokenizer, self._logits, self._answer = tokenizer, logits, answer
        self._device, self._max_tokens = device, max_tokens
        # Fast tokenizers keep the truncation setting in shared state and refuse a second thread ("Already borrowed").
        self._lock = threading.Lock()

    def classify(self, text: str) -> EmotionScores:
        """Scores for one sentence."""
        return self.classify_batch([text])[0]

    def classify_batch(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Scores for each sentence; equal to one-by-one within float tolerance."""
        if not texts:
            return []
        with self._lock:
            rows = self._tokenizer(list(texts), truncation=True, max_length=self._max_tokens)["input_ids"]
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        scores: dict[int, EmotionScores] = {}
        with torch.inference_mode():
            for first in range(0, len(order), BATCH):
                batch = order[first : first + BATCH]
                ids, mask = pad([rows[row] for row in batch], self._tokenizer.pad_token_id)
                logits = self._logits(ids.to(self._device), mask.to(self._device)).double().cpu().numpy()
                for row, values in zip(batch, logits, strict=True):
                    probabilities, foreign = self._answer(values)
                    scores[row] = EmotionScores(tuple(probabilities), foreign)
        return [scores[row] for row in range(len(rows))]


def _load_adapter(folder: Path, device: str) -> TextClassifier:
    trained = load_trained(folder)
    encoder, tokenizer = load_base()
    network = TextEmotionNetwork(encoder, encoder.config.hidden_size)
    recipe = trained.meta["config"]
    add_adapter(network, rank=int(recipe["rank"]), alpha=int(recipe["alpha"]))
    try:
        set_trained_tensors(network, trained.tensors)
    except (ValueError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"The adapter in {folder} does not fit its encoder ({error}). Train the text model again."
        ) from error
    merge_adapter(network)
    network.to(device).eval()

    def logits(ids: Tensor, mask: Tensor) -> Tensor:
        with one_core() if device == "cpu" and len(ids) == 1 else nullcontext():
            return cast(Tensor, network(ids, mask))

    return TextClassifier(
        f"{trained.meta['name']} {trained.meta['sha256'][:8]}",
        EMOTIONS,
        tuple(trained.meta["languages"]),
        tokenizer=tokenizer,
        logits=logits,
        answer=lambda logits: (_softmax(logits / trained.temperature).tolist(), {}),
        device=device,
        max_tokens=MAX_TOKENS,
    )


def _load_checkpoint(name: str, device: str, languages: tuple[str, ...] | None) -> TextClassifier:
    folder = resolve_checkpoint(name)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        names = [str(config.id2label[index]) for index in range(config.num_labels)]
        mapped, foreign = _mapped(name, names)
        with quiet_loading():
            network, report = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelUnavailableError(
            f"'{name}' cannot be loaded as a text classification checkpoint: {str(error).splitlines()[0]}"
        ) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        missing = sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"])
        raise ModelUnavailableError(
            f"'{name}' lacks trained weights for {', '.join(missing[:3])}: its answers would be random. "
            "Choose a checkpoint that was fine-tuned for text classification."
        )
    _ensure_padding(name, tokenizer, network)
    network.to(device).eval()
    return TextClassifier(
        name,
        tuple(emotion for emotion in EMOTIONS if emotion in mapped.values()),
        languages,
        tokenizer=tokenizer,
        logits=lambda ids, mask: network(input_ids=ids, attention_mask=mask).logits,
        answer=_mapper(mapped, foreign, multi_label=config.problem_type == "multi_label_classification"),
        device=device,
        max_tokens=_longest(config, tokenizer),
    )


def _mapped(name: str, names: list[str]) -> tuple[Mapping[int, str], Mapping[int, str]]:
    """Which outputs mean which emotion, and the names of the others."""
    mapped, _ = map_labels(names)
    if not mapped:
        raise ModelUnavailableError(
            f"'{name}' answers {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; none of these is one of "
            f"{', '.join(EMOTIONS)} by any known name. Choose a model of emotions, or name its labels in config.json."
        )
    return mapped, {index: label for index, label in enumerate(names) if index not in mapped}


def _mapper(mapped: Mapping[int, str], foreign: Mapping[int, str], *, multi_label: bool) -> Callable[..., Answer]:
    columns = [EMOTIONS.index(emotion) for emotion in mapped.values()]

    def answer(logits: np.ndarray) -> Answer:
        # A head with several labels at once judges each on its own; shares of their sum make them comparable.
        outputs = 1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60))) if multi_label else _softmax(logits)
        probabilities = np.zeros(len(EMOTIONS))
        np.add.at(probabilities, columns, outputs[list(mapped)])
        total = probabilities.sum()
        if total <= 0:
            probabilities[columns], total = 1.0, len(set(columns))
        return (probabilities / total).tolist(), {label: float(outputs[index]) for index, label in foreign.items()}

    return answer


def _ensure_padding(name: str, tokenizer: PreTrainedTokenizerBase, network: PreTrainedModel) -> None:
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelUnavailableError(f"The tokenizer of '{name}' has no padding token. Name one in its settings.")
        tokenizer.pad_token = tokenizer.eos_token
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id


def _longest(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    # RoBERTa counts positions from 2, so two of its positions are never tokens.
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS + 2
    return max(4, min(MAX_TOKENS, positions - 2, int(tokenizer.model_max_length)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
