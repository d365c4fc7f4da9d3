"""Progress of a training run. Knows nothing of what is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SHARES = {"preparing": (0.0, 0.1), "choosing": (0.1, 0.7), "training": (0.1, 1.0)}
"""Begin and end of each stage as shares of the whole run, about; cached features are ready at once."""


@dataclass(frozen=True)
class TrainProgress:
    """A moment of a training run.

    Attributes:
        epoch: the current one, from 1.
        epochs: at most.
        step: of the whole run, from 1.
        steps: of the whole run.
        loss: running mean of the training loss; None before the first step.
        uar: the newest dev score, 0..1 (of texts macro-F1); None before the first, or without dev examples.
        eta: seconds left at the present speed; None while unknown.
        stage: `preparing` while recordings are read (steps count them, epochs are 0), then `training`; between the two
            there may be `choosing`, in which several settings are tried (epochs count them).
        epoch_done: True once at the end of each epoch, when `uar` is that epoch's.
        learning_rate: of the next step; None while nothing is trained.
        figures: of the epoch that is done, by name, as in the curve; empty at other times.
        parts: that a step is computed in; more than asked for if the memory did not hold it.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    uar: float | None
    eta: float | None
    stage: str = "training"
    epoch_done: bool = False
    learning_rate: float | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    parts: int = 1

    @property
    def fraction(self) -> float:
        """Share of the whole run that is done, 0..1; preparing counts as its first tenth.

        >>> TrainProgress(1, 2, 5, 10, None, None, None).fraction
        0.55
        """
        begins, ends = SHARES[self.stage]
        return begins + (ends - begins) * self.step / self.steps


OnProgress = Callable[[TrainProgress], None]
ShouldStop = Callable[[], bool]
