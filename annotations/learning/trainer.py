"""The protocol of trainers, the job that each is given, and the table of trainers by target.

Imports no torch: a trainer is imported when it is asked for.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from annotations.learning.config import RetrainingConfig, snapshot_path
from annotations.learning.promotion.decision import Decision
from annotations.learning.promotion.holdout import Holdout
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import TrainingRun
from ser.acoustic.folders import is_head, model_folder
from ser.checkpoints.folder import load_meta
from ser.checkpoints.hub import pick_device
from ser.config import EMBEDDED
from ser.errors import SettingsError

if TYPE_CHECKING:
    from ser.training.progress import TrainProgress

TRAINERS: Mapping[str, tuple[str, str]] = {
    "acoustic": ("annotations.learning.targets.acoustic", "AcousticTrainer"),
    "text": ("annotations.learning.targets.text", "TextTrainer"),
    "fusion": ("annotations.learning.targets.fusion", "FusionTrainer"),
    "transcriber": ("annotations.learning.targets.transcriber", "TranscriberTrainer"),
}
"""Module and class of the trainer of each of `records.TARGETS`; the class is made without arguments."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run as its trainer sees it.

    Attributes:
        store: to read recordings from; the votes are in `holdout`, as they stood when the run was asked for.
        run: recorded as running.
        config: how to train.
        holdout: the training and the held-out clips; nothing of the latter may reach the training.
        base: the version that training starts from, as the target's loader takes it.
        run_dir: the run's own folder, where a trainer may keep what it needs to go on after a kill.
        device: torch device.
        say: reports the present step to people, in a sentence.
        on_progress: called after every step.
        should_stop: asked after every step; if it returns true, the trainer raises `TrainingCancelledError`.
    """

    store: AnnotationStore
    run: TrainingRun
    config: RetrainingConfig
    holdout: Holdout
    base: str
    run_dir: Path
    device: str
    say: Callable[[str], None]
    on_progress: "Callable[[TrainProgress], None]"
    should_stop: Callable[[], bool]

    @contextmanager
    def votes(self) -> Iterator[AnnotationStore]:
        """The store as it stood when the run began, so that one that goes on after a kill reads the same votes."""
        snapshot = snapshot_path(self.store.data_dir, self.run.id)
        if not snapshot.exists():
            yield self.store
            return
        with AnnotationStore(self.store.data_dir, database=snapshot) as store:
            yield store

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of the training's checkpoint, kept until the run has ended: see `Trainer`."""
        return self.run_dir / "checkpoint"

    @property
    def cache_dir(self) -> Path:
        """Folder of features computed from recordings, kept until the run has ended."""
        return self.run_dir / "features"

    @property
    def name(self) -> str:
        """Name of the version to be made."""
        return f"v{self.run.id}"

    @property
    def model_dir(self) -> Path:
        """Folder of the version to be made; empty or missing when `Trainer.train` is called."""
        return self.store.data_dir / "models" / self.name

    def facts(self) -> dict[str, object]:
        """Describe the training data, for the saved model."""
        return {
            "corpus": "feedback",
            "training_clips": len(self.holdout.training),
            "held_out_clips": 0 if self.holdout.cross_fitted else len(self.holdout.held_out),
            "held_out_by": self.holdout.unit,
            "training_run": self.run.id,
            "base_version": self.run.base_version_id,
        }

    def new_version(self, sha256: str, lineage: Mapping[str, object] | None = None) -> NewVersion:
        """Describe the model in `model_dir` as the store records it."""
        path = self.model_dir.relative_to(self.store.data_dir).as_posix()
        return NewVersion(self.name, sha256, path, lineage or {})


class Trainer(Protocol):
    """Trains one target.

    Both methods may be called again for the same run after a kill, with the same job. `train` then goes on from
    `TrainingJob.checkpoint_dir` and ends with the weights of an undisturbed run. It leaves that folder in place; the
    worker removes it once the run has ended, and removes a model that was saved only in part.
    """

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Refuse a run that cannot succeed, before anything is trained; reads the store and decodes no recording.

        Args:
            store: where the answers and recordings are.
            holdout: both splits, each large enough for an acoustic model.
            config: how to train, with the base to start from filled in.

        Raises:
            TrainingDataError: if the feedback lacks what this target is trained on, with the numbers needed, or the
                current model cannot be trained, or not with these settings.
        """
        ...

    def train(self, job: TrainingJob) -> NewVersion:
        """Train, and save a model in `TrainingJob.model_dir`.

        Raises:
            TrainingDataError: if the feedback does not suffice or cannot be read.
            TrainingCancelledError: when asked to stop.
        """
        ...

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        """Predict the held-out clips with the current version and the new one, and decide.

        Raises:
            TrainingCancelledError: when asked to stop.
        """
        ...


def is_cross_fitted(config: RetrainingConfig) -> bool:
    """Return True if a run trains on every clip and compares out of fold, as for heads; others hold clips out.

    Raises:
        ModelUnavailableError: if the model to start from cannot be had.
    """
    return config.target == "acoustic" and is_head(model_folder(config.base))


def device_of(config: RetrainingConfig) -> str:
    """Choose the device of a run's networks: the embedded encoder needs no GPU, and so no torch to look for one.

    Raises:
        ModelUnavailableError: if CUDA is asked for and absent, or the model to start from cannot be had.
    """
    if is_cross_fitted(config) and load_meta(model_folder(config.base)).config.get("encoder") == EMBEDDED:
        return "cpu"
    return pick_device(config.device)


def trainer_of(target: str) -> Trainer:
    """Import and make the trainer of a target.

    Raises:
        SettingsError: if a package is missing.
    """
    module, name = TRAINERS[target]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"To train the {target} model the package {error.name} is needed, which is not installed. "
            "Run: pip install -r requirements.txt"
        ) from error
    return cast(Trainer, getattr(found, name)())
