"""A training process killed at any point, and again and again, ends with the model of one that was never disturbed."""

import os
import re
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import soundfile
import torch

from annotations.learning import run_queue
from annotations.learning.config import RetrainingConfig
from annotations.learning.gate import Decision
from annotations.learning.learners import Learner, Lesson
from annotations.learning.learners_acoustic import AcousticLearner, as_example
from annotations.learning.run_status import candidate_path, checkpoint_folder, read_status, snapshot_path, write_status
from annotations.learning.worker import Worker
from annotations.queries import list_versions
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification
from ser.checkpoints import weights_sha256
from ser.config import TrainConfig
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.training import TrainProgress, train
from ser.training.members import label_names
from ser.training.run import TrainedModel
from ser.types import SAMPLING_RATE

PITCH = {"sadness": 90.0, "happiness": 150.0}
CONFIG = RetrainingConfig(epochs=4, learning_rate=0.01, device="cpu")

POINTS = ("reading", "first step", "second epoch", "end of an epoch", "saved", "comparing", "decided")


class WholeLearner(AcousticLearner):
    """Trains the whole network, step by step with a checkpoint, as an encoder of others is trained."""

    def learn(self, lesson: Lesson) -> NewVersion:
        config = TrainConfig.fine_tune(
            epochs=lesson.config.epochs, learning_rate=0.01, batch_size=16, threads=1, choose_best=False
        )
        trained = train(
            [as_example(lesson, feedback) for feedback in lesson.holdout.training],
            config,
            dev=[as_example(lesson, feedback) for feedback in lesson.holdout.held_out],
            init=lesson.base,
            cache_dir=lesson.cache_dir,
            checkpoint_dir=lesson.checkpoint_dir,
            on_progress=lesson.on_progress,
            should_stop=lesson.should_stop,
        )
        meta = replace(trained, checkpoint_dir=None).save(lesson.model_dir, name=lesson.name)
        return lesson.new_version(meta.sha256)


class Mortal:
    """Lets another teach, and is killed for good at one point."""

    def __init__(self, learner: Learner, point: str) -> None:
        self.learner = learner
        self.point = point
        self.steps = 0

    def learn(self, lesson: Lesson) -> NewVersion:
        def watch(progress: TrainProgress) -> None:
            lesson.on_progress(progress)
            self.steps += progress.stage == "training"
            self._die("reading", progress.stage == "preparing" and progress.step > 0)
            self._die("first step", self.steps == 1)
            self._die("second epoch", progress.epoch == 2 and not progress.epoch_done)
            self._die("end of an epoch", progress.epoch == 3 and progress.epoch_done)
            self._die("choosing", progress.stage == "choosing" and progress.step > progress.steps / 2)
            self._die("all layers", progress.epoch == 6 and progress.epoch_done)

        version = self.learner.learn(replace(lesson, on_progress=watch))
        self._die("saved")
        return version

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        self._die("comparing")
        decision = self.learner.compare(lesson, version)
        self._die("decided")
        return decision

    def _die(self, point: str, now: bool = True) -> None:
        if now and point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = TrainConfig.tiny()
    network = AcousticModelForAudioClassification(AcousticConfig(**label_names(EMOTIONS), **dict(config.network)))
    folder = tmp_path_factory.mktemp("base") / "model"
    TrainedModel(network.eval(), EMOTIONS, 1.0, config, []).save(folder, name="tiny")
    return folder


def store_with_feedback(
    folder: Path, base: Path, device: str = "cpu", preset: str = "quick", clips: int = 40
) -> AnnotationStore:
    store = AnnotationStore(folder)
    for number in range(clips):
        label = sorted(PITCH)[number % 2]
        audio = synthetic_speech(0.8, pitch=PITCH[label] + number % 7, seed=number)
        clip = store.add_clip(audio, source="test", speaker=f"speaker {number % 5}", consent=("training",))
        store.add_correction(clip.id, rater="ann", verdict="correct", label=label)
    version = store.ensure_base_version("tiny", weights_sha256(base))
    config = replace(CONFIG, origin=str(base), device=device, preset=preset)
    store.queue_training_run(asdict(config), version.id, "ann")
    return store


def go_on(store: AnnotationStore) -> None:
    run = store.get_training_run(1)
    if run.status == "interrupted":
        run = run_queue.requeue(store, run)
    if run.status == "queued":
        write_status(store.data_dir, run_queue.prepare(store, run))


def work(folder: Path, point: str, learner: Learner | None = None) -> int:
    """Let a process of its own work on the run; returns how it ended, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with AnnotationStore(folder) as store:
                worker = Worker(store, store.get_training_run(1), Mortal(learner or WholeLearner(), point))
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


def killed_and_straight(tmp_path: Path, base: Path, preset: str, deaths: tuple[str, ...]) -> list[object]:
    """What came of a run that was killed at some points, and of one that never was."""
    outcomes = []
    for name, points in (("straight", ()), ("killed", deaths)):
        # A hundred leave enough on the training side for something to be tried on speakers left out.
        with store_with_feedback(tmp_path / name, base, preset=preset, clips=100) as store:
            for point in (*points, "never"):
                go_on(store)
                ended = work(store.data_dir, point, AcousticLearner())
                assert ended == (0 if point == "never" else -signal.SIGKILL), point
                run_queue.tend(store)
            outcomes.append(outcome(store))
            status = read_status(store.data_dir, 1)
            assert status is not None
            epochs = [entry["epoch"] for entry in status.curve]
            assert epochs == list(range(1, len(epochs) + 1)), "one curve, whatever it is made of"
    return outcomes


def test_the_quick_preset_killed_and_killed_again(base: Path, tmp_path: Path) -> None:
    killed, straight = killed_and_straight(tmp_path, base, "quick", ("end of an epoch", "saved", "decided"))
    assert killed == straight


@pytest.mark.slow
def test_the_thorough_preset_killed_while_it_chooses_and_with_all_layers(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    rows = ["file_name,label,speaker"]
    for number in range(60):
        label = sorted(PITCH)[number % 2]
        audio = synthetic_speech(0.8, pitch=PITCH[label] + number % 5, seed=500 + number)
        soundfile.write(corpus / f"{number}.flac", audio.signal, SAMPLING_RATE)
        rows.append(f"{number}.flac,{label},base{number % 5}")
    (corpus / "metadata.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("SER_BASE_DATA", str(corpus))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    deaths = ("choosing", "end of an epoch", "all layers", "saved")
    killed, straight = killed_and_straight(tmp_path, base, "thorough", deaths)
    assert killed == straight


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
        assert run.status == "failed" and re.search(r"Needed: \d+ more", run.reason or "")
