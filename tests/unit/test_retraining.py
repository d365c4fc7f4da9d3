"""Runs from the request to their end, whatever happens to them: in real processes, on a real store and encoder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from annotations.errors import StoreError
from annotations.learning.config import RetrainingConfig, log_path, snapshot_path
from annotations.learning.runs.process import find_worker
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.runs.status import TrainingStatus, read_status
from annotations.learning.versions.active import ActiveModel
from annotations.store import NewVote
from annotations.store.embeddings import read_embeddings
from annotations.store.queries import list_training_runs, list_versions
from ser.errors import ModelUnavailableError, TrainingDataError
from tests.unit.forked_workers import forking, wait_for
from tests.unit.gradual_training import GradualTrainer
from tests.unit.labelled_store import active_on, give_feedback, write_base
from tests.unit.stored import add_version, promote

LONG = RetrainingConfig(epochs=100_000)
SHORT = RetrainingConfig(epochs=12)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="module")
def filled(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with feedback and embeddings, to be copied."""
    folder = tmp_path_factory.mktemp("filled") / "data"
    active = active_on(base, folder)
    give_feedback(active.store)
    active.store.close()
    return folder


@pytest.fixture
def active(base: Path, filled: Path, tmp_path: Path) -> ActiveModel:
    """A store with feedback of its own, and the model that answers for it."""
    subprocess.run(["cp", "-r", str(filled), str(tmp_path / "data")], check=True)
    return active_on(base, tmp_path / "data")


def quick(active: ActiveModel, config: RetrainingConfig | None = None) -> Retrainer:
    """Trains heads in forked processes."""
    return Retrainer(active, config, spawn=forking())


def gradual(active: ActiveModel, config: RetrainingConfig = LONG, pause: float = 0.01) -> Retrainer:
    """Trains step by step in forked processes."""
    return Retrainer(active, config, spawn=forking(GradualTrainer(pause)))


def follow(retrainer: Retrainer, run_id: int | None = None) -> TrainingStatus:
    return retrainer.wait(lambda status: None, 0.1, run_id)


def test_feedback_makes_a_better_model_and_the_way_back_is_one_step(active: ActiveModel) -> None:
    store = active.store
    retrainer = quick(active)
    seen: list[TrainingStatus] = []
    run = retrainer.start("ann")
    end = retrainer.wait(seen.append, interval=0.1)

    assert end.state == "promoted", end.message
    assert end.progress == 1.0
    assert {status.state for status in seen} == {"running", "promoted"}
    finished = store.get_training_run(run.id)
    before, after = finished.metrics["before"], finished.metrics["after"]
    assert after["uar"] > before["uar"]  # type: ignore[index]
    assert after["clips"] == 48, "no vote is wasted on a held-out split"  # type: ignore[index]
    assert not snapshot_path(store.data_dir, run.id).exists()
    with store.reading() as connection:
        assert len(read_embeddings(connection, list(range(1, 49)))) == 48, "the next run computes none"

    version = active.refresh()
    assert version.name == f"v{run.id}" and version.training_run_id == run.id
    assert active.recognizer.acoustic.sha256 == version.sha256
    assert {v.name for v in list_versions(store)} == {version.name, active.base_version.name}

    again = quick(active)
    again.start("ann")
    assert follow(again).state == "refused", "the same votes again show no gain over what they have trained"
    active.use(active.base_version.id, by="ann", reason="to see whether it goes")
    assert store.active_version().id == active.base_version.id
    assert active.recognizer.acoustic.sha256 == active.base_version.sha256


def test_labels_without_sense_are_refused(base: Path, tmp_path: Path) -> None:
    active = active_on(base, tmp_path / "data")
    give_feedback(active.store, shuffled=True)
    retrainer = quick(active)
    retrainer.start("ann")
    end = follow(retrainer)
    assert end.state == "refused", end.message
    assert active.refresh().id == active.base_version.id
    assert end.message.startswith("Refused: ")


def test_too_little_feedback_starts_nothing(base: Path, tmp_path: Path) -> None:
    active = active_on(base, tmp_path / "data")
    with pytest.raises(TrainingDataError, match="28 are needed"):
        Retrainer(active).start("ann")
    assert list_training_runs(active.store) == []
    assert Retrainer(active).status() == TrainingStatus()


def test_a_second_run_waits_for_its_turn_and_cancel_ends_either(active: ActiveModel) -> None:
    retrainer, other = gradual(active), gradual(active, SHORT)
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
    assert follow(retrainer, waiting.id).state in ("promoted", "refused")
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    ended = retrainer.status()
    retrainer.cancel()  # nothing runs any more: nothing happens
    assert retrainer.status() == ended


def test_a_process_that_ignores_the_request_is_ended_by_force(active: ActiveModel) -> None:
    retrainer = gradual(active, pause=120.0)
    run = retrainer.start("ann")
    log = log_path(active.store.data_dir, run.id)
    wait_for(lambda: log.is_file() and "clips to train on" in log.read_text())
    process = find_worker(retrainer.status())
    assert process is not None
    retrainer.cancel()
    assert not process.is_running() and retrainer.status(run.id).state == "cancelled"
    assert active.refresh().id == active.base_version.id


def test_a_killed_run_is_interrupted_and_goes_on_where_it_was(active: ActiveModel) -> None:
    retrainer = gradual(active, SHORT, pause=0.1)
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 3)
    kill(retrainer)
    wait_for(lambda: Retrainer(active).status().state == "interrupted")
    assert active.store.get_training_run(run.id).status == "interrupted"
    assert active.refresh().id == active.base_version.id
    assert snapshot_path(active.store.data_dir, run.id).exists()
    # Votes from after the run's start are none of its business.
    for vote in range(1, 9):
        active.store.add_correction(vote, NewVote("late", "correct", label="anger"))
    restarted = gradual(active, pause=0.0)
    restarted.tend(at_start=True)
    end = follow(restarted)
    assert (end.run_id, end.state, end.resumed) == (run.id, "promoted", 1), end.message
    assert [entry["epoch"] for entry in end.curve] == list(range(1, 13))
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    assert active.store.get_training_run(run.id).snapshot_sha256 == run.snapshot_sha256


def test_a_killed_run_of_a_head_is_done_again_and_nothing_is_lost(active: ActiveModel) -> None:
    retrainer = quick(active)
    run = retrainer.start("ann")
    kill(retrainer)
    wait_for(lambda: retrainer.status().state == "interrupted")
    assert active.refresh().id == active.base_version.id
    retrainer.resume()
    end = follow(retrainer)
    assert (end.run_id, end.state) == (run.id, "promoted"), end.message


def test_an_interrupted_run_is_given_up_for_a_newer_one(active: ActiveModel) -> None:
    retrainer = gradual(active)
    run = retrainer.start("ann")
    kill(retrainer)
    wait_for(lambda: retrainer.status().state == "interrupted")
    assert retrainer.start("ann").id == run.id + 1
    assert not snapshot_path(active.store.data_dir, run.id).exists()
    with pytest.raises(StoreError, match=f"Training run {run.id} can be resumed: one that is paused"):
        retrainer.resume(run.id)
    retrainer.cancel()


def test_a_paused_run_uses_nothing_keeps_its_place_and_goes_on(active: ActiveModel) -> None:
    retrainer = gradual(active, RetrainingConfig(epochs=15), pause=0.1)
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 2)
    pid = retrainer.status().pid
    retrainer.pause()
    assert retrainer.status().state == "paused" and not psutil.pid_exists(pid or 0)
    seconds = retrainer.status().seconds
    behind = gradual(active).start("bob")
    assert "which is paused" in retrainer.status(behind.id).message
    Retrainer(active).tend(at_start=True)  # A pause outlives a restart.
    assert retrainer.status().state == "paused"
    retrainer.cancel(behind.id)
    assert retrainer.resume().status == "running"
    end = follow(retrainer)
    assert end.state == "promoted" and end.seconds > seconds > 0, end.message
    assert end.resumed == 0 and run.id == end.run_id


def test_signals_pause_and_interrupt(active: ActiveModel) -> None:
    retrainer = gradual(active)
    for number, state in ((signal.SIGUSR1, "paused"), (signal.SIGTERM, "interrupted")):
        run = retrainer.start("ann")
        wait_for(lambda: retrainer.status().epoch >= 1)
        os.kill(retrainer.status().pid or 0, number)
        wait_for(lambda expected=state: retrainer.status().state == expected)  # type: ignore[misc]
        retrainer.cancel()
        assert retrainer.status(run.id).state == "cancelled"
        assert not snapshot_path(active.store.data_dir, run.id).exists()


def test_a_damaged_clip_fails_the_run_with_a_sentence(active: ActiveModel) -> None:
    clip = active.store.get_clip(1)
    active.store.clip_path(clip).write_bytes(b"no FLAC")
    retrainer = quick(active)
    retrainer.start("ann")
    end = follow(retrainer)
    assert end.state == "failed"
    assert "The current model is unchanged." in end.message


def test_a_version_whose_weights_are_damaged_is_never_put_to_use(active: ActiveModel) -> None:
    store = active.store
    version = add_version(store, "v9", "0" * 64)
    with pytest.raises(ModelUnavailableError):
        active.use(version.id, by="ann")
    assert store.active_version().id == active.base_version.id


def test_a_version_that_is_gone_is_replaced_by_the_base_and_the_store_says_why(active: ActiveModel) -> None:
    store = active.store
    version = add_version(store, "v9", "0" * 64)
    promote(store, version.id, by="ann", reason="it was fine yesterday")
    remark = active.settle()
    assert remark is not None and remark.endswith(f"Going back to the model '{active.base_version.name}'.")
    assert store.active_version().id == active.base_version.id
    assert active.settle() is None


def test_status_survives_a_restart_of_the_app(active: ActiveModel) -> None:
    retrainer = gradual(active)
    run = retrainer.start("ann")
    wait_for(lambda: retrainer.status().epoch >= 1)
    restarted = Retrainer(active)
    assert restarted.status().state == "running" and restarted.status().run_id == run.id
    restarted.cancel()
    status = read_status(active.store.data_dir, run.id)
    assert status is not None and status.state == "cancelled"


APP = """
import sys, time
from pathlib import Path
from annotations.learning.config import RetrainingConfig
from annotations.learning.runs.retrainer import Retrainer
from tests.unit.forked_workers import forking
from tests.unit.gradual_training import GradualTrainer
from tests.unit.labelled_store import active_on
active = active_on(Path(sys.argv[1]), Path(sys.argv[2]))
spawn = forking(GradualTrainer(0.05), app=True)
Retrainer(active, RetrainingConfig(epochs=100_000), spawn=spawn).start("ann")
print("started", flush=True)
time.sleep(600)
"""


def test_a_worker_ends_with_its_app_however_that_ends(active: ActiveModel, base: Path) -> None:
    command = [sys.executable, "-c", APP, str(base), str(active.store.data_dir)]
    app = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
    assert app.stdout is not None and app.stdout.readline() == b"started\n"
    retrainer = gradual(active)
    wait_for(lambda: retrainer.status().epoch >= 1)
    worker = find_worker(retrainer.status())
    app.kill()
    app.wait()
    assert worker is not None
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    assert retrainer.status().state == "interrupted"
    retrainer.resume()
    wait_for(lambda: retrainer.status().epoch >= 2)
    retrainer.cancel()


def test_training_a_head_brings_in_no_torch(active: ActiveModel, tmp_path: Path) -> None:
    # A process that only waits holds the run, so that a new interpreter can do it.
    holder = subprocess.Popen(["sleep", "600"])
    run = Retrainer(active, spawn=lambda data_dir, run_id: holder).start("ann")
    code = (
        "import sys; from pathlib import Path; from annotations.learning.runs.worker import work_on; "
        f"code = work_on(Path({str(active.store.data_dir)!r}), {run.id}); "
        "brought = {'torch', 'transformers', 'peft', 'sklearn'} & sys.modules.keys(); "
        "print(brought); sys.exit(code or len(brought))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    holder.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert active.store.get_training_run(run.id).status == "promoted"


def kill(retrainer: Retrainer) -> None:
    pid = retrainer.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.05)
