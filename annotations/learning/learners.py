"""What a run teaches, target by target: the lesson that every learner is given, and where the learners are found.

Imports no torch: a learner is imported where it is asked for.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from annotations.learning.config import RetrainingConfig
from annotations.learning.gate import Decision
from annotations.learning.holdout import Holdout
from annotations.learning.run_status import snapshot_path
from annotations.records import TrainingRun
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.errors import SettingsError

if TYPE_CHECKING:
    from ser.training.progress import TrainProgress

LEARNERS: Mapping[str, tuple[str, str]] = {
    "acoustic": ("annotations.learning.learners_acoustic", "AcousticLearner"),
    "text": ("annotations.learning.learners_text", "TextLearner"),
    "fusion": ("annotations.learning.learners_fusion", "FusionLearner"),
    "transcriber": ("annotations.learning.learners_transcriber", "TranscriberLearner"),
}
"""The module and the class that teach each of `records.TARGETS`; the class is made without arguments."""


@dataclass(frozen=True)
class Lesson:
    """One run as its learner sees it.

    Attributes:
        store: to read recordings from; the votes are in `holdout`, as they stood when the run was asked for.
        run: recorded as running.
        config: how to learn.
        holdout: what to learn from, and what to judge by; nothing of the latter may reach the training.
        base: the version that training starts from, as the target's loader takes it.
        run_dir: the run's own folder; a learner may keep there what it needs to go on after a kill.
        device: of torch.
        say: tells people, in a sentence, what is being done now.
        on_progress: told after every step.
        should_stop: asked after every step; where it says so, `ser.errors.TrainingCancelledError` is raised.
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
        """Where training keeps itself, to go on after a kill. It stays until the run has ended: see `Learner`."""
        return self.run_dir / "checkpoint"

    @property
    def cache_dir(self) -> Path:
        """Where what is worked out of recordings may be kept until the run has ended, so that it is not done twice."""
        return self.run_dir / "features"

    @property
    def name(self) -> str:
        """Of the version to be made."""
        return f"v{self.run.id}"

    @property
    def model_dir(self) -> Path:
        """Where the version to be made is saved; empty or missing when `Learner.learn` is called."""
        return self.store.data_dir / "models" / self.name

    def facts(self) -> dict[str, object]:
        """What the saved model says of its data."""
        return {
            "corpus": "feedback",
            "training_clips": len(self.holdout.training),
            "held_out_clips": len(self.holdout.held_out),
            "held_out_by": self.holdout.unit,
            "training_run": self.run.id,
            "base_version": self.run.base_version_id,
        }

    def new_version(self, sha256: str, lineage: Mapping[str, object] | None = None) -> NewVersion:
        """What was saved in `model_dir`, as the store records it."""
        path = self.model_dir.relative_to(self.store.data_dir).as_posix()
        return NewVersion(self.name, sha256, path, lineage or {})


class Learner(Protocol):
    """Teaches one target.

    Both methods may be called again for the same run after a kill, with the same lesson. `learn` then goes on from
    `Lesson.checkpoint_dir` and ends with the weights of an undisturbed run; it must leave that folder there, which is
    removed once the run has ended. What it saved before the kill without coming to its end was removed.
    """

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Refuse what would come to nothing, before anything is trained; reads the store and hears no recording.

        Args:
            store: where the answers and recordings are.
            holdout: both sides, each large enough for a model of sound.
            config: how to learn, with the base to start from filled in.

        Raises:
            TrainingDataError: where the feedback lacks what this target learns from, with the numbers needed, or the
                model in use cannot be taught, or not like that.
        """
        ...

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train, and save a model in `Lesson.model_dir`.

        Raises:
            TrainingDataError: where the feedback does not suffice or cannot be read.
            TrainingCancelledError: when asked to stop.
        """
        ...

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Let the version in use and the new one answer the held-out side, and decide.

        Raises:
            TrainingCancelledError: when asked to stop.
        """
        ...


def learner_of(target: str) -> Learner:
    """Who teaches a target; importing it brings in whatever it needs.

    Raises:
        SettingsError: where a package is missing.
    """
    module, name = LEARNERS[target]
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"To train the {target} model the package {error.name} is needed, which is not installed. "
            "Run: pip install -r requirements.txt"
        ) from error
    return cast(Learner, getattr(found, name)())
