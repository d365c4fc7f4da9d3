"""Text classification checkpoints of transformers, in a folder or from the hub, as text models.

Imports torch and transformers: `ser.text.classifier` imports it when such a checkpoint is named.
"""

import threading
from collections.abc import Sequence

import numpy as np
import torch
from peft import PeftModel
from scipy.special import expit, softmax
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from ser.checkpoints.folder import check_weights
from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, LOCAL, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS, map_labels, require_two_labels
from ser.text.network import ensure_padding, longest_input, pad, text_logits
from ser.types import EmotionScores

BATCH = 32
"""Texts that go through a network together."""

PROMPT_FOLDER = "prompt"
"""In a checkpoint's folder: trained tokens of `peft` that cannot be merged into the weights."""


class CheckpointTextModel:
    """A `TextModel` of a finished checkpoint; safe to call from several threads. No code of a checkpoint is ever run.

    Args:
        name: a folder, or an id on the hub.
        device: `cpu` or `cuda`.

    Attributes:
        labels: the emotions it can answer.

    Raises:
        ModelUnavailableError: if it is absent, damaged, untrained, wants code of its own to be run, or knows fewer
            than two of `EMOTIONS`.
    """

    languages: tuple[str, ...] | None = None
    """Nothing is known of them."""

    def __init__(self, name: str, device: str = "cpu") -> None:
        folder = resolve_checkpoint(name)
        check_weights(folder)
        self.name, self._device = name, device
        try:
            config = AutoConfig.from_pretrained(folder, **LOCAL)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
            names = [str(config.id2label[index]) for index in range(config.num_labels)]
            self._mapped, _ = map_labels(names)
            require_two_labels(name, names, self._mapped.values())
            with quiet_loading():
                network, report = AutoModelForSequenceClassification.from_pretrained(
                    folder, config=config, use_safetensors=True, output_loading_info=True, **LOCAL
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
        ensure_padding(name, self._tokenizer, network)
        self._max_tokens = longest_input(config, self._tokenizer)
        if (folder / PROMPT_FOLDER).is_dir():
            network = PeftModel.from_pretrained(network, folder / PROMPT_FOLDER)
            self._max_tokens = max(4, self._max_tokens - network.active_peft_config.num_virtual_tokens)
        self._network = network.to(device).eval()
        self._several = config.problem_type == "multi_label_classification"
        self._unmapped = {index: label for index, label in enumerate(names) if index not in self._mapped}
        self.labels = tuple(emotion for emotion in EMOTIONS if emotion in self._mapped.values())
        # Fast tokenizers keep the truncation setting in shared state and refuse a second thread ("Already borrowed").
        self._lock = threading.Lock()

    def classify(self, text: str) -> EmotionScores:
        """Return scores for one sentence."""
        return self.classify_batch([text])[0]

    def classify_batch(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Return scores for each sentence; equal to one-by-one within float tolerance."""
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
                logits = text_logits(self._network, ids.to(self._device), mask.to(self._device)).double().cpu().numpy()
                scores |= {row: self._scores(values) for row, values in zip(batch, logits, strict=True)}
        return [scores[row] for row in range(len(rows))]

    def _scores(self, logits: np.ndarray) -> EmotionScores:
        # A head with several labels at once scores each on its own; shares of their sum make them comparable.
        outputs = expit(logits) if self._several else softmax(logits)
        columns = [EMOTIONS.index(emotion) for emotion in self._mapped.values()]
        probabilities = np.zeros(len(EMOTIONS))
        np.add.at(probabilities, columns, outputs[list(self._mapped)])
        total = probabilities.sum()
        if total <= 0:
            probabilities[columns], total = 1.0, len(set(columns))
        unmapped = {label: float(outputs[index]) for index, label in self._unmapped.items()}
        return EmotionScores(tuple((probabilities / total).tolist()), unmapped)
