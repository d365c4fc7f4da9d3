import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from annotations.errors import StoreError
from annotations.learning.active_model import ActiveModel
from annotations.learning.retraining import Retrainer, RetrainingConfig, log_path, snapshot_path
from annotations.learning.run_status import TrainingStatus, read_status
from annotations.queries import list_training_runs, list_versions
from annotations.store import AnnotationStore
from ser.acoustic.classifier import load_acoustic_model
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError, TrainingDataError
from ser.recognizer import Recognizer
from ser.testing import EnergyDetector, synthetic_speech
from ser.training import train
from ser.types import Audio, Example

SPEAKERS = 6
CLIPS_EACH = 8
PITCH = {"sadness": 90.0, "happiness": 150.0}


def speech(label: str, seed: int) -> Audio:
    return synthetic_speech(1.2, pitch=PITCH[label] + seed % 7, seed=seed)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network that learnt the two labels the wrong way round, so that feedback has much to teach it."""
    folder = tmp_path_factory.mktemp("base")
    store = AnnotationStore(folder / "store")
    wrong = {"sadness": "happiness", "happiness": "sadness"}
    examples = []
    for seed in range(24):
        label = sorted(PITCH)[seed % 2]
        clip = store.add_clip(speech(label, 1000 + seed), source="test", consent=("training",))
        examples.append(Example(store.clip_path(clip), wrong[label], f"base {seed % 4}", "test"))
    model = train(examples, TrainConfig.tiny(epochs=15, learning_rate=0.01))
    model.save(folder / "model", name="tiny")
    return folder / "model"


@pytest.fixture
def active(base: Path, tmp_path: Path) -> ActiveModel:
    recognizer = Recognizer(EnergyDetector(), load_acoustic_model(base), None, None)
    return ActiveModel(AnnotationStore(tmp_path / "data"), recognizer, load_acoustic_model, base=str(base))


def give_feedback(store: AnnotationStore, *, shuffled: bool = False) -> None:
    rng = np.random.default_rng(0)
    for number in range(SPEAKERS * CLIPS_EACH):
        label = sorted(PITCH)[number % 2]
        clip = store.add_clip(
            speech(label, number), source="test", speaker=f"speaker {number % SPEAKERS}", consent=("training",)
        )
        told = str(rng.choice(sorted(PITCH))) if shuffled else label
        store.add_correction(clip.id, rater="ann", verdict="correct", label=told)


def config(**changes: object) -> RetrainingConfig:
    return RetrainingConfig(**{"epochs": 15, "learning_rate": 0.01, **changes})  # type: ignore[arg-type]


def test_feedback_makes_a_better_model_and_the_way_back_is_one_step(active: ActiveModel) -> None:
    store = active.store
    give_feedback(store)
    retrainer = Retrainer(active, config())
    seen: list[TrainingStatus] = []
    run = retrainer.start("ann")
    end = retrainer.wait(seen.append, interval=0.1)

    assert end.state == "promoted", end.message
    assert end.progress == 1.0 and len(end.curve) == 15
    assert {status.state for status in seen} == {"running", "promoted"}
    finished = store.get_training_run(run.id)
    before, after = finished.metrics["before"], finished.metrics["after"]
    assert after["uar"] > before["uar"]  # type: ignore[index]
    assert not snapshot_path(store.data_dir, run.id).exists()

    version = active.refresh()
    assert version.name == f"v{run.id}" and version.training_run_id == run.id
    assert active.recognizer.acoustic.sha256 == version.sha256
    assert {v.name for v in list_versions(store)} == {version.name, active.base_version.name}

    active.use(active.base_version.id, by="ann", reason="to see whether it goes")
    assert store.active_version().id == active.base_version.id
    assert active.recognizer.acoustic.sha256 == active.base_version.sha256


def test_labels_without_sense_are_refused(active: ActiveModel) -> None:
    give_feedback(active.store, shuffled=True)
    retrainer = Retrainer(active, config(confidence=0.99))
    retrainer.start("ann")
    end = retrainer.wait(lambda status: None, interval=0.1)
    assert end.state == "refused", end.message
    assert active.refresh().id == active.base_version.id
    assert end.message.startswith("Refused: ")


def test_too_little_feedback_starts_nothing(active: ActiveModel) -> None:
    with pytest.raises(TrainingDataError, match="28 are needed"):
        Retrainer(active).start("ann")
    assert list_training_runs(active.store) == []
    assert Retrainer(active).status() == TrainingStatus()


def test_a_second_run_waits_for_its_turn_and_cancel_ends_either(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer, other = Retrainer(active, config(epochs=5000)), Retrainer(active, config())
    run = retrainer.start("ann")
    waiting = other.start("bob")
    assert (run.status, waiting.status) == ("running", "queued")
    assert other.start("bob").id == waiting.id  # The same request is not stored twice.
    assert other.status(waiting.id).message == f"Run {waiting.id} waits for run {run.id}."
    third = retrainer.start("ann")
    assert [r.id for r in retrainer.waiting()] == [waiting.id, third.id]
    retrainer.cancel(third.id)
    assert active.store.get_training_run(third.id).status == "cancelled"
    wait_for(lambda: other.status().epoch >= 2)
    assert other.status().run_id == run.id and other.status().eta is not None
    other.cancel()
    assert retrainer.status(run.id).state == "cancelled"
    assert "unchanged" in retrainer.status(run.id).message
    assert retrainer.wait(lambda status: None, 0.1, waiting.id).state == "promoted"
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    retrainer.cancel()  # nothing runs any more: nothing happens
    assert retrainer.status().state == "promoted"


def test_a_killed_run_is_interrupted_and_goes_on_where_it_was(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer = Retrainer(active, config())
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 2)
    kill(retrainer)
    wait_for(lambda: Retrainer(active).status().state == "interrupted")
    assert active.store.get_training_run(run.id).status == "interrupted"
    assert active.refresh().id == active.base_version.id
    assert snapshot_path(active.store.data_dir, run.id).exists()
    # What was said after the run began is none of its business.
    for vote in range(1, 9):
        active.store.add_correction(vote, rater="late", verdict="correct", label="anger")
    restarted = Retrainer(active)
    restarted.tend(at_start=True)
    end = restarted.wait(lambda status: None, 0.1)
    assert (end.run_id, end.state, end.resumed) == (run.id, "promoted", 1)
    assert [entry["epoch"] for entry in end.curve] == list(range(1, 16))
    assert "going on" in log_path(active.store.data_dir, run.id).read_text() or end.seconds > 0
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    assert active.store.get_training_run(run.id).snapshot_sha256 == run.snapshot_sha256


def test_an_interrupted_run_is_given_up_for_a_newer_one(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer = Retrainer(active, config(epochs=5000))
    run = retrainer.start("ann")
    kill(retrainer)
    wait_for(lambda: retrainer.status().state == "interrupted")
    assert retrainer.start("ann").id == run.id + 1
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    with pytest.raises(StoreError, match=f"Training run {run.id} can be resumed: one that is paused"):
        retrainer.resume(run.id)
    retrainer.cancel()


def test_a_paused_run_uses_nothing_keeps_its_place_and_goes_on(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer = Retrainer(active, config(epochs=40))
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 2)
    pid = retrainer.status().pid
    retrainer.pause()
    assert retrainer.status().state == "paused" and not psutil.pid_exists(pid or 0)
    seconds = retrainer.status().seconds
    behind = Retrainer(active, config()).start("bob")
    assert "which is paused" in retrainer.status(behind.id).message
    Retrainer(active).tend(at_start=True)  # A pause outlives a restart.
    assert retrainer.status().state == "paused"
    retrainer.cancel(behind.id)
    assert retrainer.resume().status == "running"
    end = retrainer.wait(lambda status: None, 0.1)
    assert end.state == "promoted" and end.seconds > seconds > 0
    assert end.resumed == 0 and run.id == end.run_id


def test_signals_pause_and_interrupt(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer = Retrainer(active, config(epochs=5000))
    for number, state in ((signal.SIGUSR1, "paused"), (signal.SIGTERM, "interrupted")):
        run = retrainer.start("ann")
        wait_for(lambda: retrainer.status().epoch >= 1)
        os.kill(retrainer.status().pid or 0, number)
        wait_for(lambda expected=state: retrainer.status().state == expected)  # type: ignore[misc]
        retrainer.cancel()
        assert retrainer.status(run.id).state == "cancelled"
        assert not snapshot_path(active.store.data_dir, run.id).exists()


def test_a_damaged_clip_fails_the_run_with_a_sentence(active: ActiveModel) -> None:
    give_feedback(active.store)
    clip = active.store.get_clip(1)
    active.store.clip_path(clip).write_bytes(b"no FLAC")
    retrainer = Retrainer(active, config())
    retrainer.start("ann")
    end = retrainer.wait(lambda status: None, interval=0.1)
    assert end.state == "failed"
    assert "The model in use is unchanged." in end.message


def test_a_version_whose_weights_are_damaged_is_never_put_to_use(active: ActiveModel) -> None:
    store = active.store
    version = store.add_model_version("v9", "0" * 64, "models/v9", None, {})
    with pytest.raises(ModelUnavailableError):
        active.use(version.id, by="ann")
    assert store.active_version().id == active.base_version.id


def test_a_version_that_is_gone_is_replaced_by_the_base_and_the_store_says_why(active: ActiveModel) -> None:
    store = active.store
    version = store.add_model_version("v9", "0" * 64, "models/v9", None, {})
    store.promote(version.id, by="ann", reason="it was fine yesterday")
    remark = active.settle()
    assert remark is not None and remark.endswith(f"Going back to the model '{active.base_version.name}'.")
    assert store.active_version().id == active.base_version.id
    assert active.settle() is None


def test_status_survives_a_restart_of_the_app(active: ActiveModel) -> None:
    give_feedback(active.store)
    retrainer = Retrainer(active, config(epochs=5000))
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 1)
    restarted = Retrainer(active)
    assert restarted.status().state == "running" and restarted.status().run_id == run.id
    restarted.cancel()
    status = read_status(active.store.data_dir, run.id)
    assert status is not None and status.state == "cancelled"


def kill(retrainer: Retrainer) -> None:
    pid = retrainer.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds: float = 90.0) -> None:
    """A guard against hanging, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
