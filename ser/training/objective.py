"""What a batch's answers cost: the emotion, and where a network has such heads, intensity and adapted answers.

Pure functions of an output and a batch. Knows no loop and no network.
"""

from typing import Any, Protocol

import torch

from ser.config import TrainConfig
from ser.training.dataset import Batch


class Truths(Protocol):
    """Of a batch: `targets` and the labels that are `allowed`, each of shape (examples, labels)."""

    @property
    def targets(self) -> torch.Tensor:
        """Rows of sum 1."""
        ...

    @property
    def allowed(self) -> torch.Tensor:
        """1 for the labels that an example's corpus has."""
        ...


def batch_losses(output: Any, batch: Batch, config: TrainConfig) -> torch.Tensor:
    """The loss of each example, before it is weighted.

    Args:
        output: of the network: `logits` of shape (examples, labels); where it has such heads also `adapted_logits`
            of the same shape, given with the speaker's other clips in view, and `intensity_logits` (examples,).
        batch: on the device of the output.
        config: weighs the parts.

    Returns:
        Shape (examples,), nats.
    """
    losses = emotion_losses(output.logits, batch, config)
    adapted = getattr(output, "adapted_logits", None)
    if adapted is not None and config.adapted_weight:
        losses = losses + config.adapted_weight * emotion_losses(adapted, batch, config)
    intensity = getattr(output, "intensity_logits", None)
    if intensity is not None and config.intensity_weight:
        losses = losses + config.intensity_weight * intensity_losses(intensity, batch.intensities)
    return losses


def emotion_losses(logits: torch.Tensor, batch: Truths, config: TrainConfig) -> torch.Tensor:
    """Cross-entropy with soft truths, smoothed, among the labels that are allowed; shape (examples,), nats."""
    allowed = batch.allowed if config.mask_absent_labels else torch.ones_like(batch.targets)
    logits = logits.float()
    if config.mask_absent_labels:
        logits = logits.masked_fill(allowed == 0, -30.0)
    spread = allowed / allowed.sum(1, keepdim=True)
    targets = (1.0 - config.label_smoothing) * batch.targets + config.label_smoothing * spread
    return -(targets * torch.log_softmax(logits, dim=1)).sum(1)


def intensity_losses(logits: torch.Tensor, intensities: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy with the intensity as a probability; 0 where that is unknown (NaN); shape (examples,).

    >>> intensity_losses(torch.zeros(2), torch.tensor([1.0, float("nan")])).tolist()
    [0.6931471824645996, 0.0]
    """
    known = ~intensities.isnan()
    truths = torch.where(known, intensities, torch.zeros_like(intensities))
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), truths, reduction="none")
    return losses * known
