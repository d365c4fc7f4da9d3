"""Training in slices of a lent GPU, against a stand-in that ends them as hard as ZeroGPU does."""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.learning.runs.worker import Worker
from annotations.learning.runs.zero_gpu import on_zero_gpu, run_in_slices, slice_length
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from ser.errors import SettingsError, TrainingDataError
from tests.unit import test_run_resuming as resuming
from tests.unit.gradual_training import GradualTrainer
from tests.unit.test_run_resuming import base, undisturbed  # noqa: F401

STAND_IN = '''
import multiprocessing, os, pickle

def GPU(duration=60):
    """Runs each call in a process of its own, and kills it when its time is over."""
    def decorate(work):
        def sliced():
            context = multiprocessing.get_context("fork")
            mine, theirs = context.Pipe(duplex=False)
            def run():
                theirs.send(work())
                os._exit(0)
            process = context.Process(target=run)
            process.start()
            theirs.close()
            process.join(duration)
            if process.is_alive():
                process.kill()
                process.join()
                raise RuntimeError("GPU task aborted")
            return mine.recv()
        return sliced
    return decorate
'''


@pytest.fixture
def zero_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "spaces.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setenv("SER_GPU_SLICE", "3")
    yield
    sys.modules.pop("spaces", None)


def test_elsewhere_nothing_of_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not on_zero_gpu() and not on_zero_gpu({"SPACES_ZERO_GPU": "true"})  # The package is not installed here.
    assert "spaces" not in sys.modules
    with pytest.raises(SettingsError, match="SER_GPU_SLICE is 'soon'"):
        slice_length({"SER_GPU_SLICE": "soon"})


def test_slices_that_are_killed_go_on_as_long_as_they_keep_something(zero_gpu: None, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()

    def work(end: float) -> bool:
        number = len(list(kept.iterdir()))
        (kept / str(number)).touch()
        if number == 1:
            time.sleep(30)
        return number == 3

    run_in_slices(work, kept, slice_seconds=1)
    assert len(list(kept.iterdir())) == 4


def test_slices_that_bring_nothing_are_given_up(zero_gpu: None, tmp_path: Path) -> None:
    def work(end: float) -> bool:
        time.sleep(30)
        return True

    with pytest.raises(TrainingDataError, match=r"3 slices of 1 s .* ended before .*GPU task aborted"):
        run_in_slices(work, tmp_path / "none", slice_seconds=1)


class SlowTrainer(GradualTrainer):
    """Takes longer than a slice, and once does not notice its end."""

    def train(self, job: TrainingJob):
        started = job.run_dir / "slices"
        with started.open("a") as file:
            file.write("x")

        def watch(progress) -> None:
            job.on_progress(progress)
            if progress.stage == "training":
                time.sleep(30 if progress.epoch == 3 and len(started.read_text()) == 2 else 0.4)

        return super().train(replace(job, on_progress=watch))


@pytest.mark.slow
def test_a_run_in_slices_ends_with_the_model_of_one_in_one_piece(
    zero_gpu: None,
    base: Path,  # noqa: F811
    undisturbed: tuple[str, str, object, object],  # noqa: F811
    tmp_path: Path,
) -> None:
    folder = tmp_path / "store"
    with resuming.store_with_feedback(folder, base, device="auto") as store:
        resuming.go_on(store)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                with AnnotationStore(folder) as own:
                    code = Worker(own, own.get_training_run(1), SlowTrainer()).work()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert resuming.outcome(store) == undisturbed
        assert len((folder / "runs" / "0001" / "slices").read_text()) >= 3, "one slice would not have been enough"
