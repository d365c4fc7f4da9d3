"""A training process killed at any point, and again and again, ends with the model of one that was never disturbed."""

import os
import re
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from annotations.learning.config import RetrainingConfig, candidate_path, checkpoint_folder, snapshot_path
from annotations.learning.promotion.decision import Decision
from annotations.learning.runs import queue as run_queue
from annotations.learning.runs.status import read_status, write_status
from annotations.learning.runs.worker import Worker
from annotations.learning.targets.acoustic import AcousticTrainer
from annotations.learning.trainer import Trainer, TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.queries import list_versions
from ser.checkpoints.folder import load_meta, weights_sha256
from ser.training.progress import TrainProgress
from tests.unit.gradual_training import GradualTrainer
from tests.unit.labelled_store import give_feedback, write_base

CONFIG = RetrainingConfig(epochs=4, device="cpu")

POINTS = ("reading", "first step", "second epoch", "end of an epoch", "saved", "comparing", "decided")


class Mortal:
    """Lets another trainer train, and is killed at one point."""

    def __init__(self, trainer: Trainer, point: str) -> None:
        self.trainer = trainer
        self.point = point
        self.steps = 0

    def train(self, job: TrainingJob) -> NewVersion:
        def watch(progress: TrainProgress) -> None:
            job.on_progress(progress)
            self.steps += progress.stage == "training"
            self._die("reading", progress.stage == "preparing" and progress.step > 0)
            self._die("first step", self.steps == 1)
            self._die("second epoch", progress.epoch == 2 and not progress.epoch_done)
            self._die("end of an epoch", progress.epoch == 3 and progress.epoch_done)
            self._die("choosing", progress.stage == "choosing" and progress.step > progress.steps / 2)

        version = self.trainer.train(replace(job, on_progress=watch))
        self._die("saved")
        return version

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        self._die("comparing")
        decision = self.trainer.compare(job, version)
        self._die("decided")
        return decision

    def _die(self, point: str, now: bool = True) -> None:
        if now and point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "model")


def store_with_feedback(folder: Path, base: Path, device: str = "cpu", clips: int = 40) -> AnnotationStore:
    store = AnnotationStore(folder)
    give_feedback(store, clips)
    version = store.ensure_base_version("tiny", load_meta(base).sha256)
    store.queue_training_run(asdict(replace(CONFIG, origin=str(base), device=device)), version.id, "ann")
    return store


def go_on(store: AnnotationStore) -> None:
    run = store.get_training_run(1)
    if run.status == "interrupted":
        run = run_queue.requeue(store, run)
    if run.status == "queued":
        write_status(store.data_dir, run_queue.prepare(store, run))


def work(folder: Path, point: str, trainer: Trainer | None = None) -> int:
    """Let a process of its own work on the run; returns how it ended, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with AnnotationStore(folder) as store:
                worker = Worker(store, store.get_training_run(1), Mortal(trainer or GradualTrainer(), point))
                code = worker.work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def outcome(store: AnnotationStore) -> tuple[str, str, object, object]:
    run = store.get_training_run(1)
    version = next(version for version in list_versions(store) if version.training_run_id == 1)
    return run.status, version.sha256, run.metrics["before"], run.metrics["after"]


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, object, object]:
    with store_with_feedback(tmp_path_factory.mktemp("straight"), base) as store:
        go_on(store)
        assert work(store.data_dir, "never") == 0
        return outcome(store)


@pytest.mark.slow
def test_killed_at_every_point_in_turn(
    base: Path, tmp_path: Path, undisturbed: tuple[str, str, object, object]
) -> None:
    with store_with_feedback(tmp_path, base) as store:
        for point in POINTS:
            go_on(store)
            assert work(tmp_path, point) == -signal.SIGKILL, point
            assert run_queue.tend(store) is None
            assert store.get_training_run(1).status == "interrupted"
            assert snapshot_path(tmp_path, 1).exists()
            # The model is made once: what comes after finds it.
            assert candidate_path(tmp_path, 1).exists() == (point in ("comparing", "decided")), point
        go_on(store)
        assert work(tmp_path, "never") == 0
        assert outcome(store) == undisturbed
        status = read_status(tmp_path, 1)
        assert status is not None and status.resumed == len(POINTS)
        assert [entry["epoch"] for entry in status.curve] == [1, 2, 3, 4]
        assert not snapshot_path(tmp_path, 1).exists() and not checkpoint_folder(tmp_path, 1).exists()
        assert weights_sha256(tmp_path / "models" / "v1") == undisturbed[1]


@pytest.mark.slow
def test_a_head_is_killed_at_any_moment_and_done_again(base: Path, tmp_path: Path) -> None:
    outcomes = []
    for name, deaths in (("straight", ()), ("killed", ("reading", "choosing", "saved", "decided"))):
        with store_with_feedback(tmp_path / name, base) as store:
            for point in (*deaths, "never"):
                go_on(store)
                ended = work(store.data_dir, point, AcousticTrainer())
                assert ended == (0 if point == "never" else -signal.SIGKILL), point
                run_queue.tend(store)
                assert store.active_version().id == 1 or point == "never", "the champion is untouched"
            outcomes.append(outcome(store))
    assert outcomes[0] == outcomes[1]


def test_one_that_takes_the_machine_down_does_not_begin_by_itself_for_ever(base: Path, tmp_path: Path) -> None:
    with store_with_feedback(tmp_path, base) as store:
        for _ in range(run_queue.MAX_RESUMPTIONS):
            go_on(store)
            run_queue.tend(store)
            assert run_queue.resume_interrupted(store) is not None
        go_on(store)
        run_queue.tend(store)
        assert run_queue.resume_interrupted(store) is None
        assert store.get_training_run(1).status == "interrupted"


def test_a_run_that_cannot_begin_is_closed_and_the_next_has_its_turn(base: Path, tmp_path: Path) -> None:
    with store_with_feedback(tmp_path, base) as store:
        for _ in range(20):
            store.undo_last_correction("ann")
        assert run_queue.tend(store) is None
        run = store.get_training_run(1)
        assert run.status == "failed" and re.search(r"\d+ are needed", run.reason or "")
