"""A pretrained encoder and the classifier head on its pooled layers as one network that gradients can train."""

from typing import Any

import torch
from torch import nn

from ser.acoustic.head import LIMIT, ClassifierHead
from ser.encoder.states import hidden_states, pool


class EncoderClassifier(nn.Module):
    """Encoder, mean and deviation of all layers over the clip's frames, linear head.

    Answers as `ClassifierHead` does on embeddings of the same encoder.

    Args:
        encoder: as `ser.encoder.states.load_pretrained` gives it.
        head: to begin with.
        dropout: share of the standardised embedding that a training step does without.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, encoder: Any, head: ClassifierHead, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", torch.from_numpy(head.mean.copy()))
        self.register_buffer("scale", torch.from_numpy(head.scale.copy()))
        self.classifier = nn.Linear(*head.weights.shape)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(head.weights.T.copy()))
            self.classifier.bias.copy_(torch.from_numpy(head.bias.copy()))

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute `logits` of shape (clips, labels) from what `ser.encoder.states.extract` gives."""
        pooled = pool(*hidden_states(self.encoder, inputs))
        values = ((pooled - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        return {"logits": self.classifier(self.dropout(values))}

    def train(self, mode: bool = True) -> "EncoderClassifier":
        """Switch dropout and masking on or off; an encoder that does not learn keeps them off."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def head_tensors(self) -> dict[str, Any]:
        """Return `mean`, `scale`, `weights` and `bias` as a `ClassifierHead` takes them."""
        tensors = {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.classifier.weight.T,
            "bias": self.classifier.bias,
        }
        return {name: tensor.detach().float().cpu().contiguous().numpy().copy() for name, tensor in tensors.items()}
