"""A run's figures to TensorBoard, Weights & Biases or trackio. Knows no training.

None of these packages is among the requirements: `pip install -e .[tracking]` brings all three.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser.errors import SettingsError
from ser.training.progress import TrainProgress

EVERY = 10
"""Steps from one point of a curve to the next."""

PROJECT = "speech-emotion-studio"

PACKAGES = {"tensorboard": ("tensorboardX", "torch.utils.tensorboard"), "wandb": ("wandb",), "trackio": ("trackio",)}
"""Modules that write each kind of log, the first of them that is installed."""


@dataclass(frozen=True)
class RunLog:
    """A log that takes figures.

    Attributes:
        write: adds a point to the curve of each figure, at a step.
        close: puts everything on disk, and sends it.
    """

    write: Callable[[Mapping[str, float], int], None]
    close: Callable[[], None]


def open_log(kind: str, folder: Path, name: str, config: Mapping[str, object]) -> RunLog:
    """Open a log.

    `WANDB_MODE=offline` keeps the files of Weights & Biases in the folder; `TRACKIO_DIR=FOLDER trackio show` shows
    those of trackio, of which nothing leaves the machine.

    Args:
        kind: one of `PACKAGES`.
        folder: for its files.
        name: of the run.
        config: shown with the curves.

    Raises:
        SettingsError: if its package is not installed, or the kind is unknown.
    """
    if kind not in PACKAGES:
        raise SettingsError(f"--log-to is '{kind}'; expected one of {', '.join(PACKAGES)}.")
    found = [module for module in PACKAGES[kind] if importlib.util.find_spec(module.rpartition(".")[2]) is not None]
    if not found:
        package = PACKAGES[kind][0]
        raise SettingsError(f"--log-to {kind} needs a package that is not installed. Install it: pip install {package}")
    if kind == "tensorboard":
        return _tensorboard(importlib.import_module(found[0]).SummaryWriter(str(folder)))
    folder.mkdir(parents=True, exist_ok=True)
    # Read when the package is imported.
    os.environ.setdefault("TRACKIO_DIR", str(folder.absolute()))
    own = {"dir": str(folder)} if kind == "wandb" else {"embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
    run = importlib.import_module(found[0]).init(project=PROJECT, name=name, config=dict(config), **own)
    return RunLog(lambda figures, step: run.log(dict(figures), step=step), run.finish)


def _tensorboard(writer: Any) -> RunLog:
    def write(figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    return RunLog(write, writer.close)


def record(progress: TrainProgress, log: RunLog) -> None:
    """Write what is new: loss and learning rate every `EVERY` steps, an epoch's figures at its end."""
    if progress.stage != "training":
        return
    if progress.epoch_done:
        log.write({f"epoch/{name}": value for name, value in flat(progress.figures)}, progress.step)
    elif progress.step % EVERY == 0 and progress.loss is not None and progress.learning_rate is not None:
        log.write({"step/loss": progress.loss, "step/learning_rate": progress.learning_rate}, progress.step)


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """List numbers with their names; those of a mapping within carry its name in front.

    >>> list(flat({"loss": 1.5, "uar": {"ravdess": 0.5}, "note": "text"}))
    [('loss', 1.5), ('uar/ravdess', 0.5)]
    """
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)
