"""Progress of a training run, and the command that every recipe is. Knows nothing of what is trained."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ser.checkpoints.folder import Meta
from ser.config import DEVICES
from ser.errors import SerError

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


@contextmanager
def shown_progress() -> Iterator[OnProgress]:
    """Show a bar on stderr, if it is a terminal, while a network is trained."""
    with tqdm(unit="step", disable=None) as bar:

        def on_progress(progress: TrainProgress) -> None:
            bar.total = progress.steps
            bar.set_postfix_str(f"loss {progress.loss:.3f}", refresh=False)
            bar.update(progress.step - bar.n)

        yield on_progress


def run_recipe(
    parser: argparse.ArgumentParser, train: Callable[[argparse.Namespace], Meta], argv: Sequence[str] | None
) -> int:
    """Run the command of a recipe; 0 if done, 2 if the data or the encoder cannot be used.

    Args:
        parser: with `--data` and the options of its own; `--out`, `--seed`, `--threads` and `--device` are added.
        train: writes the folder `out`.
        argv: of the command line; None for the process's own.
    """
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the weights go")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    parser.add_argument("--threads", type=int, metavar="N", help="of torch (default: all)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to train")
    options = parser.parse_args(argv)
    try:
        meta = train(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Saved {options.out}.")
    for name, value in meta.metrics.items():
        print(f"  {name}: {value:.3f}")
    return 0
