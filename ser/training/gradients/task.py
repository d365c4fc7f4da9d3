"""Interface of the training loop: a task with its data and losses, and the surroundings of a run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ser.config import LoopConfig
from ser.training.gradients.processes import Processes
from ser.training.progress import OnProgress, ShouldStop

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DevFigures:
    """Figures of an epoch on dev examples: the `score` to choose it by, 0..1, and what the curve shows."""

    score: float
    figures: Mapping[str, object] = field(default_factory=dict)


class Task(ABC):
    """Data and losses that a network is trained with. Batches are the task's own: the engine only hands them on.

    Args:
        count: of the examples.
        config: of the run.
        lengths: of the examples, shape (examples,): those of like length share a step. By chance alone if left out.
    """

    clip_norm = 1.0
    """Longer gradients are cut to this length."""

    dropout = True
    """True if the network is in training mode while it is trained."""

    def __init__(self, count: int, config: LoopConfig, lengths: npt.NDArray[np.int64] | None = None) -> None:
        self.count, self.config, self.lengths = count, config, lengths

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return math.ceil(self.count / self.config.batch_size)

    def plan(self, epoch: int) -> Sequence[Places]:
        """Divide the examples into the steps of an epoch, as places in the data; the same at every call."""
        rng = np.random.default_rng([self.config.seed, epoch])
        if self.lengths is None:
            return np.array_split(rng.permutation(self.count), self.steps)
        batches = np.array_split(np.argsort(self.lengths + rng.uniform(0, 3, self.count)), self.steps)
        return [batches[place] for place in rng.permutation(len(batches))]

    @abstractmethod
    def draw(self, places: Places, epoch: int, step: int, part: int) -> Any:
        """Make a batch of these examples, the same at every call."""

    @abstractmethod
    def weights(self, batch: Any) -> torch.Tensor:
        """Weigh each example of a batch, float32 of shape (examples,)."""

    @abstractmethod
    def losses(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        """Compute the loss of each example, shape (examples,)."""

    def evaluate(self, network: torch.nn.Module) -> DevFigures | None:
        """Measure the network on dev examples; None if there are none."""
        return None

    def fingerprint(self) -> Mapping[str, str]:
        """Hash the data: another run must not go on from this one's state."""
        return {}


@dataclass(frozen=True)
class Surroundings:
    """Devices, files and watchers of a run.

    Attributes:
        processes: of the run, this one among them; also names the device.
        state_dir: keeps the run, to go on after a kill; None keeps nothing.
        on_progress: called after every step, in the main process.
        should_stop: asked after every step, in every process.
    """

    processes: Processes
    state_dir: Path | None = None
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None


@dataclass(frozen=True)
class Outcome:
    """The figures of each epoch and the epoch whose weights were kept; the network has these weights."""

    curve: list[dict[str, object]]
    best_epoch: int
