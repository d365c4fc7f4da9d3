"""A run's figures to TensorBoard, Weights & Biases or trackio. Knows no training.

None of these packages is among the requirements: `pip install -e .[tracking]` brings all three.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ser.errors import SettingsError
from ser.training.progress import TrainProgress

EVERY = 10
"""Steps from one point of a curve to the next."""


class RunLog(Protocol):
    """Takes figures."""

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each figure."""
        ...

    def close(self) -> None:
        """Put everything on disk."""
        ...


class TensorBoardLog:
    """Curves in a folder that `tensorboard --logdir` shows.

    Args:
        folder: of the run.

    Raises:
        SettingsError: where no package is there that writes such files.
    """

    def __init__(self, folder: Path) -> None:
        names = ["tensorboardX"] if importlib.util.find_spec("tensorboardX") else []
        names += ["torch.utils.tensorboard"] if importlib.util.find_spec("tensorboard") else []
        if not names:
            raise SettingsError(
                "--log-to tensorboard needs a package that is not installed. Install it: pip install tensorboardX"
            )
        self._writer: Any = importlib.import_module(names[0]).SummaryWriter(str(folder))

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each figure."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Put everything on disk."""
        self._writer.close()


class WandbLog:
    """Curves in Weights & Biases: sent, or with `WANDB_MODE=offline` kept in a folder to be sent later.

    Args:
        folder: where its files go.
        name: of the run.
        config: shown beside the curves.

    Raises:
        SettingsError: where its package is not there.
    """

    def __init__(self, folder: Path, name: str, config: Mapping[str, object]) -> None:
        if importlib.util.find_spec("wandb") is None:
            raise SettingsError("--log-to wandb needs a package that is not installed. Install it: pip install wandb")
        folder.mkdir(parents=True, exist_ok=True)
        self._run: Any = importlib.import_module("wandb").init(
            project=PROJECT, name=name, dir=str(folder), config=dict(config)
        )

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each figure."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Put everything on disk, and send it."""
        self._run.finish()


class TrackioLog:
    """Curves in a folder that `TRACKIO_DIR=FOLDER trackio show` shows; nothing leaves the machine.

    Args:
        folder: where they go, unless `TRACKIO_DIR` is set.
        name: of the run.
        config: shown with the curves.

    Raises:
        SettingsError: if its package is not installed.
    """

    def __init__(self, folder: Path, name: str, config: Mapping[str, object]) -> None:
        if importlib.util.find_spec("trackio") is None:
            raise SettingsError(
                "--log-to trackio needs a package that is not installed. Install it: pip install trackio"
            )
        # Read when the package is imported.
        os.environ.setdefault("TRACKIO_DIR", str(folder.absolute()))
        self._run: Any = importlib.import_module("trackio").init(
            project=PROJECT, name=name, config=dict(config), embed=False, auto_log_gpu=False, auto_log_cpu=False
        )

    def write(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to the curve of each figure."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Put everything on disk."""
        self._run.finish()


PROJECT = "speech-emotion-studio"
LOGS = ("tensorboard", "wandb", "trackio")


def open_log(kind: str, folder: Path, name: str, config: Mapping[str, object]) -> RunLog:
    """Open one of `LOGS`.

    Raises:
        SettingsError: if its package is not installed, or nobody knows that kind.
    """
    if kind == "tensorboard":
        return TensorBoardLog(folder)
    if kind == "wandb":
        return WandbLog(folder, name, config)
    if kind == "trackio":
        return TrackioLog(folder, name, config)
    raise SettingsError(f"--log-to is '{kind}'; expected one of {', '.join(LOGS)}.")


def record(progress: TrainProgress, log: RunLog) -> None:
    """Write what is new: loss and learning rate every `EVERY` steps, an epoch's figures at its end."""
    if progress.stage != "training":
        return
    if progress.epoch_done:
        log.write({f"epoch/{name}": value for name, value in flat(progress.figures)}, progress.step)
    elif progress.step % EVERY == 0 and progress.loss is not None and progress.learning_rate is not None:
        log.write({"step/loss": progress.loss, "step/learning_rate": progress.learning_rate}, progress.step)


def flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers with their names; those of a mapping within carry its name in front.

    >>> list(flat({"loss": 1.5, "uar": {"ravdess": 0.5}, "note": "text"}))
    [('loss', 1.5), ('uar/ravdess', 0.5)]
    """
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)
