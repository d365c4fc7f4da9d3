"""The embedded text network in torch, for training: a frozen sentence encoder with LoRA, mean pooling, a linear head.

Serving runs the same network in `ser.text.embedded`.
"""

from collections.abc import Mapping

import numpy as np
import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from ser.checkpoints.pretrained import quiet_loading
from ser.labels import EMOTIONS
from ser.text.base import find_base
from ser.text.checkpoint import ADAPTER_PREFIX, HEAD_PREFIX

ADAPTED_LAYERS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
"""Every linear layer of a BERT block. Source: Dettmers et al. 2023 (QLoRA), section 4: adapters on all linear layers
are needed to match full fine-tuning."""


class TextEmotionNetwork(nn.Module):
    """Token ids in, one logit for each of `EMOTIONS` out.

    Args:
        encoder: a BERT-like encoder whose output has `last_hidden_state`.
        hidden_size: width of that output.
        dropout: on the pooled sentence vector, in training only.
    """

    def __init__(self, encoder: nn.Module, hidden_size: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, len(EMOTIONS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits of shape (batch, 7), float32.

        Args:
            input_ids: int64 of shape (batch, tokens).
            attention_mask: 1 for a token and 0 for padding, of the same shape.
        """
        return self.head(self.dropout(self.pooled(input_ids, attention_mask))).float()

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Sentence vectors of shape (batch, hidden): the mean over tokens, as the encoder was trained with."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def add_adapter(network: TextEmotionNetwork, *, rank: int, alpha: int) -> None:
    """Freeze the encoder and give each of its linear layers a trainable low-rank update."""
    network.encoder.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(ADAPTED_LAYERS))
    inject_adapter_in_model(config, network.encoder)


def trained_tensors(network: TextEmotionNetwork) -> dict[str, np.ndarray]:
    """Return the adapter in half precision (enough: see the model card) and the head in full."""
    adapter = get_peft_model_state_dict(network.encoder)
    tensors = {ADAPTER_PREFIX + name: tensor.detach().half() for name, tensor in adapter.items()}
    tensors |= {HEAD_PREFIX + name: tensor.detach() for name, tensor in network.head.state_dict().items()}
    return {name: tensor.cpu().numpy().copy() for name, tensor in tensors.items()}


def set_trained_tensors(network: TextEmotionNetwork, arrays: Mapping[str, np.ndarray]) -> None:
    """Put back what `trained_tensors` gave into a network that has an adapter of the same shape.

    Raises:
        ValueError: if tensors are missing or superfluous.
        RuntimeError: if a tensor has another shape.
    """
    tensors = {name: torch.from_numpy(np.array(array, dtype=np.float32)) for name, array in arrays.items()}
    adapter = {
        name.removeprefix(ADAPTER_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(ADAPTER_PREFIX)
    }
    expected = set(get_peft_model_state_dict(network.encoder))
    if set(adapter) != expected:
        raise ValueError(f"adapter has {len(adapter)} tensors, the network expects {len(expected)} of its own names")
    set_peft_model_state_dict(network.encoder, adapter)
    head = {name.removeprefix(HEAD_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(HEAD_PREFIX)}
    network.head.load_state_dict(head)


def pad(rows: list[list[int]], pad_id: int, multiple: int = 1) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask of shape (rows, longest row), the width rounded up to a multiple.

    Few different widths keep the caches of the CPU's kernels small in training: each new shape is compiled and kept.

    >>> pad([[5, 6, 7], [8]], 0)[1].tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    width = -(-max(len(row) for row in rows) // multiple) * multiple
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def load_base(attention: str = "sdpa") -> tuple[BertModel, PreTrainedTokenizerBase]:
    """Load the encoder in evaluation mode on the CPU, and its tokenizer.

    Args:
        attention: transformers' name of the implementation. On a CPU `sdpa` is the quicker one to run, and `eager`
            the quicker one to train (measured: the backward pass of `sdpa` costs as much as all the rest).

    Raises:
        ModelUnavailableError: as `ser.text.base.find_base`.
    """
    folder = find_base()
    local = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = AutoTokenizer.from_pretrained(folder, **local)
    with quiet_loading():
        encoder = BertModel.from_pretrained(folder, attn_implementation=attention, use_safetensors=True, **local)
    encoder.pooler = None  # the sentence vector is a mean over tokens; the pooler of the checkpoint was never trained
    return encoder.eval(), tokenizer
