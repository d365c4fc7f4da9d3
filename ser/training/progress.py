"""How far a training run is. Knows nothing of what is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

SHARES = {"preparing": (0.0, 0.1), "choosing": (0.1, 0.7), "training": (0.1, 1.0)}
"""From where to where of the whole run a stage goes, about; features that are cached are ready at once."""


@dataclass(frozen=True)
class TrainProgress:
    """A moment of a training run.

    Attributes:
        epoch: the current one, from 1.
        epochs: at most.
        step: of the whole run, from 1.
        steps: of the whole run.
        loss: running mean of the training loss; None before the first step.
        uar: the newest dev score, 0..1; None before the first, or without dev examples.
        eta: seconds left at the present speed; None while unknown.
        stage: `preparing` while recordings are read (steps count them, epochs are 0), then `training`; between the two
            there may be `choosing`, where ways to learn are tried (epochs count the ways).
        epoch_done: True once at the end of each epoch, when `uar` is that epoch's.
        learning_rate: of the next step; None while nothing is trained.
        figures: of the epoch that is done, by name, as in the curve; empty at other times.
        parts: that a step is computed in; more than asked for where the memory did not hold it.
        share: from where to where of the whole run its stage goes, 0..1; None for where such a stage mostly does.
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
    share: tuple[float, float] | None = None

    @property
    def fraction(self) -> float:
        """Done of the whole, 0..1; preparing counts as its first tenth.

        >>> TrainProgress(1, 2, 5, 10, None, None, None).fraction
        0.55
        """
        begins, ends = self.share or SHARES[self.stage]
        return begins + (ends - begins) * self.step / self.steps


OnProgress = Callable[[TrainProgress], None]
ShouldStop = Callable[[], bool]


def placed(
    on_progress: OnProgress | None, share: tuple[float, float], *, before: int = 0, behind: int = 0
) -> OnProgress | None:
    """Told of one of several trainings, it tells of the whole run.

    Args:
        on_progress: whom to tell; None for nobody.
        share: from where to where of the run the training goes.
        before: epochs of those before it.
        behind: epochs of those that follow.
    """
    if on_progress is None:
        return None

    def tell(progress: TrainProgress) -> None:
        if progress.stage == "training":
            count = progress.epochs + before + behind
            progress = replace(progress, epoch=progress.epoch + before, epochs=count)
        on_progress(replace(progress, share=share))

    return tell
