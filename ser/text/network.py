"""Text models in torch, to be trained: the embedded encoder with LoRA, or any pretrained language model.

Both turn token rows into logits of the seven emotions and, if they have a head for them, of finer labels. Serving runs
them in `ser.text.embedded` and `ser.text.foreign`.
"""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftType, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertModel

from ser.checkpoints.hub import resolve_checkpoint
from ser.checkpoints.pretrained import LOADING_ERRORS, LOCAL, describe_failure, quiet_loading
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.embedded import ADAPTER_PREFIX, HEAD_PREFIX, find_base
from ser.training.gradients.adapters import VIRTUAL_TOKENS, adapt_text, is_prompted

ADAPTED_LAYERS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
"""Every linear layer of a BERT block. Source: Dettmers et al. 2023 (QLoRA), section 4: adapters on all linear layers
are needed to match full fine-tuning."""

MAX_TOKENS = 128
"""Longer texts are cut: about 90 words, more than is said in half a minute."""

Logits = tuple[Tensor, Tensor | None]


class EmbeddedNetwork(nn.Module):
    """The sentence encoder with LoRA, mean pooling, and a linear head.

    Args:
        rank: of the low-rank update of each linear layer, which is scaled by 2.
        dropout: on the pooled sentence vector, in training only.
        fine_labels: outputs of an auxiliary head, which is trained and not saved.
        attention: transformers' name of the implementation. On a CPU `sdpa` is the quicker one to run, and `eager`
            the quicker one to train (measured: the backward pass of `sdpa` costs as much as all the rest).

    Raises:
        ModelUnavailableError: as `ser.text.embedded.find_base`.
    """

    def __init__(self, rank: int, dropout: float = 0.0, fine_labels: int = 0, attention: str = "eager") -> None:
        super().__init__()
        folder = find_base()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
        with quiet_loading():
            encoder = BertModel.from_pretrained(folder, attn_implementation=attention, use_safetensors=True, **LOCAL)
        # The sentence vector is a mean over tokens; the pooler of the checkpoint was never trained.
        encoder.pooler = None
        encoder.requires_grad_(False)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(ADAPTED_LAYERS)), encoder)
        for module in encoder.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self.encoder, self.embeddings = encoder, encoder.embeddings
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, len(EMOTIONS))
        self.fine = nn.Linear(encoder.config.hidden_size, fine_labels) if fine_labels else None

    def forward(self, ids: Tensor, mask: Tensor) -> Logits:
        """Compute logits of token rows and their attention mask, both of shape (batch, tokens)."""
        hidden = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        pooled = self.dropout((hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0))
        return self.head(pooled).float(), self.fine(pooled) if self.fine else None

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the adapter in half precision (enough: see the model card) and the head in full."""
        adapter = get_peft_model_state_dict(self.encoder)
        tensors = {ADAPTER_PREFIX + name: tensor.detach().half() for name, tensor in adapter.items()}
        tensors |= {HEAD_PREFIX + name: tensor.detach() for name, tensor in self.head.state_dict().items()}
        return {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}

    def set_tensors(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore the weights that `tensors` returned.

        Raises:
            ValueError: if tensors are missing or superfluous.
            RuntimeError: if a tensor has another shape.
        """
        tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}
        adapter, head = (
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in (ADAPTER_PREFIX, HEAD_PREFIX)
        )
        expected = set(get_peft_model_state_dict(self.encoder))
        if set(adapter) != expected:
            raise ValueError(
                f"adapter has {len(adapter)} tensors, the network expects {len(expected)} of its own names"
            )
        set_peft_model_state_dict(self.encoder, adapter)
        self.head.load_state_dict(head)


class PretrainedNetwork(nn.Module):
    """A pretrained language model with a new head for the seven emotions.

    Args:
        checkpoint: a folder, or an id on the hub, of a model that transformers can classify sequences with.
        config: `tune` says which weights are trained.
        steps: of the optimiser in all.

    Raises:
        ModelUnavailableError: if the checkpoint is absent or damaged.
        SettingsError: if the method does not suit the model.
    """

    def __init__(self, checkpoint: str | Path, config: TextTrainConfig, steps: int) -> None:
        super().__init__()
        folder = resolve_checkpoint(checkpoint)
        names = dict(enumerate(EMOTIONS))
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)
            with quiet_loading():
                network = AutoModelForSequenceClassification.from_pretrained(
                    folder,
                    num_labels=len(EMOTIONS),
                    id2label=names,
                    label2id={name: index for index, name in names.items()},
                    problem_type="single_label_classification",
                    ignore_mismatched_sizes=True,
                    use_safetensors=True,
                    dtype=torch.float32,
                    **LOCAL,
                )
        except LOADING_ERRORS as error:
            raise ModelUnavailableError(
                f"'{checkpoint}' cannot be loaded to classify texts: {describe_failure(error)}"
            ) from error
        ensure_padding(str(checkpoint), self.tokenizer, network)
        self.longest = longest_input(network.config, self.tokenizer)
        self.embeddings: nn.Module = network.get_input_embeddings()
        self.model = adapt_text(network, config, steps)
        if is_prompted(self.model):
            self.longest = max(4, self.longest - VIRTUAL_TOKENS)

    def forward(self, ids: Tensor, mask: Tensor) -> Logits:
        """Compute logits of token rows and their attention mask, both of shape (batch, tokens)."""
        return text_logits(self.model, ids, mask).float(), None


def text_logits(network: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Run a model on token rows that are padded on the right, with or without what `peft` added to it.

    Trained prefixes and prompts are handed over here: `peft` 0.21 looks for an argument of models (`past_key_values`)
    that transformers has renamed, and hides the padding from GPT-like models, which read the last token.

    Args:
        network: a model of transformers for sequence classification, or a `PeftModel` of one.
        ids: int64 of shape (rows, tokens).
        mask: 1 for a token, 0 for padding, of the same shape.

    Returns:
        Logits of shape (rows, labels).
    """
    if not is_prompted(network):
        logits: Tensor = network(input_ids=ids, attention_mask=mask).logits
        return logits
    prompt, base = network.get_prompt(len(ids)), network.get_base_model()
    if network.active_peft_config.peft_type == PeftType.PREFIX_TUNING:
        logits = base(input_ids=ids, attention_mask=_extended(mask), cache=prompt).logits
        return logits
    more = {}
    if hasattr(base, "score"):
        # A GPT-like model reads the last position: the padding goes to the front, and counts in no position.
        width = ids.shape[1]
        shifted = (torch.arange(width, device=ids.device) - (width - mask.sum(1, keepdim=True))) % width
        ids, mask = ids.gather(1, shifted), mask.gather(1, shifted)
        if "position_ids" in inspect.signature(base.forward).parameters:
            more["position_ids"] = (_extended(mask).cumsum(1) - 1).clamp(min=0)
    embeddings = torch.cat([prompt, base.get_input_embeddings()(ids)], dim=1)
    logits = base(inputs_embeds=embeddings, attention_mask=_extended(mask), **more).logits
    return logits


def _extended(mask: Tensor) -> Tensor:
    return torch.cat([mask.new_ones(len(mask), VIRTUAL_TOKENS), mask], dim=1)


def pad(rows: Sequence[list[int]], pad_id: int, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """Return token ids and attention mask of shape (rows, longest row), the width rounded up to a multiple.

    Few different widths keep the caches of the CPU's kernels small in training: each new shape is compiled and kept.

    >>> pad([[5, 6, 7], [8]], 0)[1].tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    width = -(-max(len(row) for row in rows) // multiple) * multiple
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def ensure_padding(name: str, tokenizer: Any, network: Any) -> None:
    """Pad with the end-of-text token if there is no padding token, as with GPT-like models."""
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise ModelUnavailableError(f"The tokenizer of '{name}' has no padding token. Name one in its settings.")
        tokenizer.pad_token = tokenizer.eos_token
    if network.config.pad_token_id is None:
        network.config.pad_token_id = tokenizer.pad_token_id


def longest_input(config: Any, tokenizer: Any) -> int:
    """Return the number of tokens that the model takes, at most `MAX_TOKENS`."""
    # RoBERTa counts positions from 2, so two of its positions are never tokens.
    positions = getattr(config, "max_position_embeddings", None) or MAX_TOKENS + 2
    return max(4, min(MAX_TOKENS, positions - 2, int(tokenizer.model_max_length)))
