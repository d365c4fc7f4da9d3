"""Text classification checkpoints of transformers, in a folder or from the hub, as text models.

Imports torch and transformers: `ser.text.classifier` imports it when such a checkpoint is named.
"""

import threading
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ser.checkpoints.folder import check_weights
from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS, map_labels, require_two_labels
from ser.text.adapters import text_logits
from ser.text.network import pad
from ser.types import EmotionScores

MAX_TOKENS = 128
"""Longer texts are cut: about 90 words, more than is said in half a minute."""

BATCH = 32
"""Texts that go through a network together."""

PROMPT_FOLDER = "prompt"
"""In a checkpoint's folder: trained tokens of `peft` that cannot be merged into the weights."""

Answer = tuple[list[float], dict[str, float]]


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


def load_checkpoint(name: str, device: str, languages: tuple[str, ...] | None) -> TextClassifier:
    """Load a fine-tuned text classification checkpoint. No code of the checkpoint is ever run.

    Args:
        name: a folder, or an id on the hub.
        device: `cpu` or `cuda`.
        languages: ISO 639-1 codes it was trained on, if known.

    Raises:
        ModelUnavailableError: if it is absent, damaged, untrained, wants code of its own to be run, or knows fewer
            than two of `EMOTIONS`.
    """
    folder = resolve_checkpoint(name)
    local = {"local_files_only": True, "trust_remote_code": False}
    check_weights(folder)
    try:
        config = AutoConfig.from_pretrained(folder, **local)
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        names = [str(config.id2label[index]) for index in range(config.num_labels)]
        mapped, _ = map_labels(names)
        require_two_labels(name, names, mapped.values())
        with quiet_loading():
            network, report = AutoModelForSequenceClassification.from_pretrained(
                folder, config=config, use_safetensors=True, output_loading_info=True, **local
            )
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"'{name}' cannot be loaded as a text classification checkpoint: {describe_failure(error)}"
        ) from error
    if report["missing_keys"] or report["mismatched_keys"]:
        missing = sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"])
        raise ModelUnavailableError(
            f"'{name}' lacks trained weights for {', '.join(missing[:3])}: its answers would be random. "
            "Choose a checkpoint that was fine-tuned for text classification."
        )
    ensure_padding(name, tokenizer, network)
    longest = longest_input(config, tokenizer)
    if (folder / PROMPT_FOLDER).is_dir():
        network = PeftModel.from_pretrained(network, folder / PROMPT_FOLDER)
        longest = max(4, longest - network.active_peft_config.num_virtual_tokens)
    network.to(device).eval()
    foreign = {index: label for index, label in enumerate(names) if index not in mapped}
    return TextClassifier(
        name,
        tuple(emotion for emotion in EMOTIONS if emotion in mapped.values()),
        languages,
        tokenizer=tokenizer,
        logits=lambda ids, mask: text_logits(network, ids, mask),
        answer=_mapper(mapped, foreign, multi_label=config.problem_type == "multi_label_classification"),
        device=device,
        max_tokens=longest,
    )


def _mapper(mapped: Mapping[int, str], foreign: Mapping[int, str], *, multi_label: bool) -> Callable[..., Answer]:
    columns = [EMOTIONS.index(emotion) for emotion in mapped.values()]

    def answer(logits: np.ndarray) -> Answer:
        # A head with several labels at once scores each on its own; shares of their sum make them comparable.
        outputs = 1.0 / (1.0 + np.exp(-np.clip(logits, -60, 60))) if multi_label else _softmax(logits)
        probabilities = np.zeros(len(EMOTIONS))
        np.add.at(probabilities, columns, outputs[list(mapped)])
        total = probabilities.sum()
        if total <= 0:
            probabilities[columns], total = 1.0, len(set(columns))
        return (probabilities / total).tolist(), {label: float(outputs[index]) for index, label in foreign.items()}

    return answer


def ensure_padding(name: str, tokenizer: PreTrainedTokenizerBase, network: PreTrainedModel) -> None:
    """Pad with the end-of-text token if there is no padding token, as with GPT-like models."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelUnavailableError(f"The tokenizer of '{name}' has no padding token. Name one in its settings.")
        tokenizer.pad_token = tokenizer.eos_token
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id


def longest_input(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of tokens that the model takes, at most `MAX_TOKENS`."""
    # RoBERTa counts positions from 2, so two of its positions are never tokens.
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS + 2
    return max(4, min(MAX_TOKENS, positions - 2, int(tokenizer.model_max_length)))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
