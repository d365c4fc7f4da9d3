"""Trains the hidden layer of a head by gradient, on principal components of embeddings. Knows no audio and no corpus.

Imported only where such a layer is asked for, as it brings in torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ser.config import LoopConfig
from ser.training.gradients.engine import optimise
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Places, Surroundings, Task
from ser.training.heads import HiddenConfig

Array = npt.NDArray[np.float32]
Batch = tuple[Tensor, Tensor, Tensor]
"""Components (clips, dimensions), targets (clips, labels), offsets (clips, labels)."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips that a layer is trained on.

    Attributes:
        values: components of each clip and of its copies, a list of shape (clips, dimensions) each, the clips first.
        targets: shape (clips, labels).
        weights: of each clip, shape (clips,): they are drawn in these proportions.
        offsets: added to the logits in training, shape (clips, labels).
    """

    values: Sequence[Array]
    targets: Array
    weights: Array
    offsets: Array


@dataclass(frozen=True, eq=False)
class TrainedLayer:
    """A hidden layer, and the linear maps from it and past it to the logits.

    Attributes:
        weights: of the layer, shape (dimensions, width).
        bias: of the layer, shape (width,).
        outputs: from the layer's features to the logits, shape (width, labels).
        direct: from the components to the logits, shape (dimensions, labels).
        output_bias: shape (labels,).
    """

    weights: Array
    bias: Array
    outputs: Array
    direct: Array
    output_bias: Array


def train_hidden_layer(clips: Clips, config: HiddenConfig, copies: float, seed: int) -> TrainedLayer:
    """Train a hidden layer with the linear maps around it, seeded.

    Args:
        clips: to train on.
        config: how.
        copies: share of the draws that are copies.
        seed: of everything drawn.
    """
    loop = LoopConfig(
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        choose_best=False,
        seed=seed,
    )
    torch.manual_seed(seed)
    scale = float(clips.values[0].std())
    network = _Network(clips.values[0].shape[1], clips.targets.shape[1], config)
    optimise(network, _HiddenTask(clips, scale, config, copies, loop), loop, Surroundings(Processes()))

    def kernel(layer: nn.Linear) -> Array:
        return np.asarray(layer.weight.detach().numpy().T, dtype=np.float32)

    def bias(layer: nn.Linear) -> Array:
        return np.asarray(layer.bias.detach().numpy(), dtype=np.float32)

    inner, outer, direct = network.inner, network.outer, network.direct
    return TrainedLayer(
        kernel(inner) / scale, bias(inner), kernel(outer), kernel(direct) / scale, bias(outer) + bias(direct)
    )


class _Network(nn.Module):
    """One hidden layer and a linear map past it."""

    def __init__(self, dimensions: int, labels: int, config: HiddenConfig) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(dimensions, config.width), nn.Linear(config.width, labels)
        self.direct = nn.Linear(dimensions, labels)
        nn.init.zeros_(self.direct.weight)
        self.before, self.after = nn.Dropout(config.input_dropout), nn.Dropout(config.dropout)

    def forward(self, values: Tensor) -> Tensor:
        kept = self.before(values)
        logits: Tensor = self.outer(self.after(torch.relu(self.inner(kept)))) + self.direct(kept)
        return logits


class _HiddenTask(Task):
    """Clips and copies, drawn by weight, some with the change of another clip's copy, mixed in pairs."""

    def __init__(self, clips: Clips, scale: float, config: HiddenConfig, copies: float, loop: LoopConfig) -> None:
        super().__init__(len(clips.targets), loop)
        self.values = [torch.from_numpy(values / np.float32(scale)) for values in clips.values]
        self.targets, self.offsets = torch.from_numpy(clips.targets), torch.from_numpy(clips.offsets)
        self.chances = clips.weights.astype(np.float64) / clips.weights.sum(dtype=np.float64)
        self.hidden, self.copies = config, copies if len(clips.values) > 1 else 0.0

    def plan(self, epoch: int) -> list[Places]:
        """Draw the clips of each step with replacement: corpora and labels count as their weights say."""
        generator = np.random.default_rng([self.config.seed, epoch])
        return list(generator.choice(self.count, (self.steps, self.config.batch_size), p=self.chances))

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Batch:
        generator = np.random.default_rng([self.config.seed, epoch, step, part])
        count, kinds = len(places), len(self.values)
        kind = np.where(generator.random(count) < self.copies, generator.integers(1, max(kinds, 2), count), 0)
        others = generator.integers(self.count, size=count)
        moved = generator.random(count) < self.hidden.moved
        values = self.values[0][places]
        for place in range(1, kinds):
            rows = np.flatnonzero(kind == place)
            # What a room did to one clip it is done to another: as good as a copy of that one, and of no cost.
            source = np.where(moved[rows], others[rows], places[rows])
            values[rows] += self.values[place][source] - self.values[0][source]
        share = float(generator.beta(self.hidden.mixup, self.hidden.mixup)) if self.hidden.mixup else 1.0
        partner = torch.from_numpy(generator.permutation(count))

        def mixed(rows: Tensor) -> Tensor:
            return share * rows + (1.0 - share) * rows[partner]

        return mixed(values), mixed(self.targets[places]), mixed(self.offsets[places])

    def weights(self, batch: Batch) -> Tensor:
        return torch.ones(len(batch[0]))

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        values, targets, offsets = batch
        return -(targets * torch.log_softmax(model(values).float() + offsets, dim=1)).sum(dim=1)
