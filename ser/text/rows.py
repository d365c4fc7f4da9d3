"""Labelled sentences as tensors to train on: soft targets, finer targets, and how much each row weighs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts, as_transcript

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TextPart:
    """Labelled sentences of one kind, such as comments or dialogues.

    Attributes:
        name: to report them by.
        texts: the sentences.
        label_shares: {label: share} in real text of this kind, if the sentences were picked by their labels; rows are
            weighed so that the labels have these shares.
    """

    name: str
    texts: LabelledTexts
    label_shares: Mapping[str, float] | None = None


class TrainingRows:
    """Sentences of all parts, their targets and weights.

    Attributes:
        texts: the sentences.
        counts: rows of each part.
        fine_labels: names of the finer labels, sorted; empty if no part has any.
    """

    def __init__(self, parts: Sequence[TextPart], config: TextTrainConfig) -> None:
        chosen = [
            part.texts if config.multi_label else part.texts.select(np.flatnonzero(part.texts.single)) for part in parts
        ]
        power = config.class_balance
        self.texts = [text for texts in chosen for text in texts.texts]
        self.counts = [len(texts) for texts in chosen]
        self.fine_labels = sorted({name for texts in chosen for names in texts.fine_labels for name in names})
        fine = [_fine_targets(texts, self.fine_labels) for texts in chosen]
        weights = [row_weights(t.soft_labels, power, part.label_shares) for t, part in zip(chosen, parts, strict=True)]
        self.targets = torch.from_numpy(np.concatenate([texts.soft_labels for texts in chosen]))
        self.weights = torch.from_numpy(np.concatenate(weights))
        self.fine_targets = torch.from_numpy(np.concatenate(fine))
        self.fine_weights = torch.from_numpy(np.concatenate([row_weights(rows, power) for rows in fine]))


class DevPart:
    """Held-out rows with a single label, as written and as transcripts.

    Attributes:
        name: of the part.
        forms: the sentences in both forms.
        truth: index of the label of each.
        weights: of the rows, mean 1.

    Raises:
        TrainingDataError: if no row has a single label.
    """

    def __init__(self, part: TextPart) -> None:
        kept = part.texts.select(np.flatnonzero(part.texts.single))
        if not len(kept):
            raise TrainingDataError(f"{part.name} has no row with a single label; such rows choose the best epoch.")
        self.name = part.name
        self.forms = list(kept.texts), [as_transcript(text) for text in kept.texts]
        self.truth = kept.soft_labels.argmax(1)
        self.weights = row_weights(kept.soft_labels, 0.0, part.label_shares)


def row_weights(targets: Array, power: float, shares: Mapping[str, float] | None = None) -> Array:
    """Weigh rows by the rarity of their classes; mean 1 over the rows that have a target.

    Args:
        targets: shape (rows, classes).
        power: of the rarity; 0 weighs all rows alike.
        shares: what each class's share should be, before its rarity counts; as in `targets` by default.
    """
    found = targets.mean(0)
    wanted = found if shares is None else np.array([shares[label] for label in EMOTIONS], dtype=np.float32)
    correction = np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
    weights = targets @ (correction * np.where(wanted > 0, wanted, 1.0) ** -power)
    used = targets.any(1)
    return (weights / (weights[used].mean() if used.any() else 1.0)).astype(np.float32)


def _fine_targets(texts: LabelledTexts, names: Sequence[str]) -> Array:
    """Shape (rows, names): a row's finer labels share its mass; zeros if a file has none."""
    shares = np.zeros((len(texts), len(names)), dtype=np.float32)
    for row, labels in enumerate(texts.fine_labels):
        for label in labels:
            shares[row, names.index(label)] = 1.0 / len(labels)
    return shares
