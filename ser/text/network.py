"""The embedded text network: a frozen sentence encoder with a LoRA adapter, mean pooling and a linear head.

Knows tensors only; where weights live and what texts mean is decided elsewhere.
"""

from collections.abc import Mapping

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ser.labels import EMOTIONS

ADAPTED_LAYERS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
"""Every linear layer of a BERT block. Source: Dettmers et al. 2023 (QLoRA), section 4: adapters on all linear layers
are needed to match full fine-tuning."""

ADAPTER_PREFIX = "adapter."
HEAD_PREFIX = "head."


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
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        # The encoder was trained with mean pooling, so the mean over tokens is its sentence vector.
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
        return self.head(self.dropout(pooled)).float()


def add_adapter(network: TextEmotionNetwork, *, rank: int, alpha: int) -> None:
    """Freeze the encoder and give each of its linear layers a trainable low-rank update."""
    network.encoder.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(ADAPTED_LAYERS))
    inject_adapter_in_model(config, network.encoder)


def trained_tensors(network: TextEmotionNetwork) -> dict[str, Tensor]:
    """What training changed: the adapter in half precision (enough: see the model card), the head in full."""
    adapter = get_peft_model_state_dict(network.encoder)
    tensors = {ADAPTER_PREFIX + name: tensor.detach().half() for name, tensor in adapter.items()}
    tensors |= {HEAD_PREFIX + name: tensor.detach() for name, tensor in network.head.state_dict().items()}
    return {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}


def set_trained_tensors(network: TextEmotionNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `trained_tensors` gave into a network that has an adapter of the same shape.

    Raises:
        ValueError: where tensors are missing or superfluous.
        RuntimeError: where a tensor has another shape.
    """
    adapter = {
        name.removeprefix(ADAPTER_PREFIX): tensor.float()
        for name, tensor in tensors.items()
        if name.startswith(ADAPTER_PREFIX)
    }
    expected = set(get_peft_model_state_dict(network.encoder))
    if set(adapter) != expected:
        raise ValueError(f"adapter has {len(adapter)} tensors, the network expects {len(expected)} of its own names")
    set_peft_model_state_dict(network.encoder, adapter)
    head = {name.removeprefix(HEAD_PREFIX): tensor for name, tensor in tensors.items() if name.startswith(HEAD_PREFIX)}
    network.head.load_state_dict(head)


def merge_adapter(network: TextEmotionNetwork) -> None:
    """Fold the adapter into the encoder's own weights: the same answers, and none of the adapter's cost."""
    for name, module in list(network.encoder.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge(safe_merge=True)
            parent = network.encoder.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())


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
