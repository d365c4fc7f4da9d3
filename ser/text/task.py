"""Labelled sentences as a training task: soft targets, row weights, drawn forms, the adversarial step, dev figures."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ser.errors import TrainingDataError
from ser.evaluation.metrics import macro_f1
from ser.labels import EMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts, RecogniserNoise, as_transcript
from ser.text.network import Logits, pad
from ser.training.gradients.task import DevFigures, Places, Task

EVALUATION_BATCH = 256

Array = npt.NDArray[np.float32]
Batch = tuple[Tensor, Tensor, Places]


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
        chosen, power = [part.texts for part in parts], config.class_balance
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


class TextTask(Task):
    """Sentences that a text network is trained on, and those that choose the epoch.

    Args:
        network: whose tokenizer and embeddings are used.
        rows: to train on.
        dev: to measure each epoch on.
        config: of the run.
        device: of the run.
    """

    config: TextTrainConfig

    def __init__(
        self, network: Any, rows: TrainingRows, dev: Sequence[DevPart], config: TextTrainConfig, device: str
    ) -> None:
        self.tokenizer, self.embeddings = network.tokenizer, network.embeddings
        self.max_tokens = min(config.max_tokens, getattr(network, "longest", config.max_tokens))
        self.rows, self.dev, self.device = rows, dev, torch.device(device)
        self.noise = RecogniserNoise(rows.texts)
        super().__init__(len(rows.texts), config, np.array([len(row) for row in self._ids(rows.texts)]))

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Batch:
        """Write rows in forms drawn at random, as token ids and attention mask."""
        drawn = random.Random(f"{self.config.seed} {epoch} {step} {part}")
        ids, mask = self._padded(self._ids([self._form(self.rows.texts[place], drawn) for place in places]), multiple=4)
        return ids, mask, places

    def _form(self, text: str, drawn: random.Random) -> str:
        config, kind = self.config, drawn.random()
        if kind < config.noise_share:
            return self.noise(text, drawn.uniform(0.0, config.noise_rate), drawn)
        return as_transcript(text) if kind < config.noise_share + config.transcript_share else text

    def weights(self, batch: Batch) -> Tensor:
        """Weigh all rows of a step alike: their own weights are in the losses, as each head has others."""
        return torch.ones(len(batch[2]))

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute cross-entropy of the emotions and finer labels, and with `adversarial` that of moved embeddings."""
        ids, mask, places = batch
        return adversarial_losses(
            lambda: self._losses(model(ids, mask), places), self.embeddings, self.config.adversarial
        )

    def _losses(self, logits: Logits, places: Places) -> Tensor:
        rows, (emotions, fine) = self.rows, logits
        losses = self._weighted(emotions, rows.targets[places], rows.weights[places])
        if fine is not None:
            part = self._weighted(fine, rows.fine_targets[places], rows.fine_weights[places])
            losses = losses + self.config.fine_weight * part
        return losses

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        each = nn.functional.cross_entropy(logits.float(), targets.to(self.device), reduction="none")
        return each * weights.to(self.device)

    def evaluate(self, network: nn.Module) -> DevFigures:
        """Measure macro-F1, the mean over the dev parts and both forms of their sentences."""
        parts = zip(self.dev, self.dev_logits(network), strict=True)
        score = float(np.mean([_macro_f1(logits, part.truth) for part, forms in parts for logits in forms]))
        return DevFigures(score, {"dev_macro_f1": score})

    def dev_logits(self, network: nn.Module) -> list[list[Array]]:
        """Compute for each dev part the logits of its rows as written and as transcripts."""
        network.eval()
        return [[self._logits(network, self._ids(form)) for form in part.forms] for part in self.dev]

    @torch.inference_mode()
    def _logits(self, network: nn.Module, ids: list[list[int]]) -> Array:
        order = np.argsort([len(row) for row in ids])
        out = np.zeros((len(ids), len(EMOTIONS)), dtype=np.float32)
        for first in range(0, len(order), EVALUATION_BATCH):
            places = order[first : first + EVALUATION_BATCH]
            out[places] = network(*self._padded([ids[place] for place in places]))[0].float().cpu().numpy()
        return out

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        rows: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
        return rows

    def _padded(self, ids: list[list[int]], multiple: int = 1) -> tuple[Tensor, Tensor]:
        tokens, mask = pad(ids, self.tokenizer.pad_token_id, multiple)
        return tokens.to(self.device), mask.to(self.device)


def adversarial_losses(compute: Callable[[], Tensor], embeddings: nn.Module, size: float) -> Tensor:
    """Compute losses, and add those with embeddings moved along the gradient.

    Source: Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification",
    https://arxiv.org/abs/1605.07725 (equation 5), the step relative to the length of a sentence's embeddings.

    Args:
        compute: runs the network and gives the loss of each row.
        embeddings: the module whose output is moved.
        size: of the step, relative; 0 for the plain losses.
    """
    if size == 0:
        return compute()
    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        # The output of a frozen module carries no gradient by itself.
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1]

    with embeddings.register_forward_hook(keep):
        losses = compute()
    (slope,) = torch.autograd.grad(losses.sum(), kept[-1], retain_graph=True)
    dimensions = tuple(range(1, slope.dim()))
    length = kept[-1].detach().norm(dim=dimensions, keepdim=True)
    step = size * length * slope / slope.norm(dim=dimensions, keepdim=True).clamp(min=1e-12)
    with embeddings.register_forward_hook(lambda module, inputs, output: output + step):
        return losses + compute()


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


def _macro_f1(logits: Array, truth: npt.NDArray[np.int64]) -> float:
    return macro_f1([EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in logits.argmax(1)], EMOTIONS)
