"""What the training engine is told: what is to be learnt, and where. Knows no loop and no network of ours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.sampling import Places

Schedule = Callable[[int, int, int], float]
"""(step, steps, steps of warm-up) -> the learning rate as a share of its peak."""


@dataclass(frozen=True)
class DevFigures:
    """What dev speakers say of an epoch.

    Attributes:
        score: 0..1, to be shown and chosen by.
        tie_breaker: the larger, the better, where scores are alike.
        figures: for the curve.
    """

    score: float
    tie_breaker: float = 0.0
    figures: Mapping[str, object] = field(default_factory=dict)


class Task(Protocol):
    """What is learnt from what. Batches are the task's own: the engine only hands them on."""

    clip_norm: float
    """Gradients longer than this are cut to it."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        ...

    def plan(self, epoch: int) -> Sequence[Places]:
        """The examples of each step, as places in the data; the same whenever it is asked."""
        ...

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Any:
        """These examples as a batch, the same whenever it is asked."""
        ...

    def weights(self, batch: Any) -> torch.Tensor:
        """How much each example of a batch counts, float32 of shape (examples,)."""
        ...

    def losses(self, model: torch.nn.Module, batch: Any) -> torch.Tensor:
        """The loss of each example, shape (examples,)."""
        ...

    def evaluate(self, network: torch.nn.Module) -> DevFigures | None:
        """Measure the network on dev speakers; None where there are none."""
        ...

    def after_step(self, step: int) -> None:
        """Told after each step, from 1, while its gradients are there."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What the task itself remembers between steps: tensors, numbers, texts, dicts of them."""
        ...

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Hashes of the data: another run must not go on with this one's state."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """Where a run happens and who watches.

    Attributes:
        processes: of the run, this one among them; also names the device.
        state_dir: where the run is kept, to go on after a kill; None keeps nothing.
        on_progress: called after every step, in the main process.
        should_stop: asked after every step, in every process.
    """

    processes: Processes
    state_dir: Path | None = None
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run gave; the network has the chosen weights."""

    curve: list[dict[str, object]]
    best_epoch: int
