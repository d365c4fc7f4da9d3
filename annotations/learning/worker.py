"""The training process: feedback in, a compared and perhaps promoted model version out.

`annotations.learning.run_queue` starts it as `python -m annotations.learning.worker --data-dir DIR --run N`. It reads
the votes from the run's snapshot, reports through the run's status file, and writes to the store once, at its end. It
may be killed at any moment: started again on the same run, it goes on where it was and ends with the same weights.
"""

import argparse
import json
import logging
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from annotations.learning import run_queue
from annotations.learning.config import RetrainingConfig
from annotations.learning.feedback import training_examples
from annotations.learning.gate import Decision
from annotations.learning.learners import Learner, Lesson, learner_of
from annotations.learning.process import keep_log, yield_the_processor
from annotations.learning.run_reporting import TRAINED_SHARE, RunReport
from annotations.learning.run_status import (
    candidate_path,
    checkpoint_folder,
    clear_run,
    run_folder,
    snapshot_path,
    wish_path,
)
from annotations.learning.sides import hold_out, record_holdout
from annotations.learning.slices import on_zero_gpu, run_in_slices, slice_length
from annotations.learning.version_upkeep import finish_version, look_after_versions
from annotations.records import TrainingRun
from annotations.settings import read_settings
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.errors import SerError, TrainingCancelledError
from ser.hub import pick_device
from ser.training.progress import TrainProgress

STOPPED = "The training process was told to end before it was done. The model in use is unchanged; it can be resumed."

log = logging.getLogger("training")


class Worker:
    """One run, from its snapshot to its decision.

    Args:
        store: to read recordings from and to write the outcome to.
        run: recorded as running.
        learner: who teaches; by default the target's.
    """

    def __init__(self, store: AnnotationStore, run: TrainingRun, learner: Learner | None = None) -> None:
        self.store = store
        self.run = run
        self.config = RetrainingConfig.of(run.config)
        self._learner = learner
        self._sliced = self.config.device != "cpu" and on_zero_gpu()
        self._told: str | None = None
        self.report = RunReport(store.data_dir, run.id)

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: stop after the step under way, to rest at SIGUSR1, else as if interrupted."""
        self._told = "interrupted" if signum == signal.SIGTERM else "paused"

    def should_stop(self) -> bool:
        """Whether anybody wants it to end."""
        return self._wish() is not None

    def work(self) -> int:
        """Do the run and record how it ended; returns the exit code.

        Raises:
            Exception: whatever nobody foresaw, after it was recorded; its trace goes to the run's log.
        """
        try:
            decision, version, facts = self._learn()
        except TrainingCancelledError:
            self._break_off(self._wish() or "interrupted")
            return 0
        except SerError as error:
            self._fail(f"{error} The model in use is unchanged.")
            return 1
        except Exception as error:
            self._fail(
                f"Training failed ({type(error).__name__}: {error}). The model in use is unchanged; the log says more."
            )
            raise
        state = "promoted" if decision.promoted else "refused"
        with run_queue.queue_lock(self.store):
            metrics = {**decision.metrics(), "timing": facts}
            hours = read_settings(self.store).shadow_hours
            run = self.store.finish_training_run(
                self.run.id, state, metrics, decision.reason, version, shadow_hours=hours
            )
            self.report.say(decision.reason, state=state, progress=1.0, eta=None)
            clear_run(self.store.data_dir, self.run.id)
        finish_version(self.store, run.new_version_id)
        look_after_versions(self.store)
        return 0

    def _learn(self) -> tuple[Decision, NewVersion, dict[str, object]]:
        learner = self._learner or learner_of(self.run.target)
        lesson = self._lesson()
        version = self._candidate() or self._train(learner, lesson)
        self.report.say("Comparing with the model in use.", progress=TRAINED_SHARE, eta=None)
        decision = learner.compare(lesson, version)
        facts = {
            "seconds": round(self.report.seconds, 1),
            "clips": len(lesson.holdout.training),
            "held_out": len(lesson.holdout.held_out),
            "device": lesson.device,
            "machine": platform.node(),
        }
        return decision, version, facts

    def _train(self, learner: Learner, lesson: Lesson) -> NewVersion:
        if not self._sliced:
            return self._make_candidate(learner, lesson)
        if not checkpoint_folder(self.store.data_dir, self.run.id).exists():
            self._prepare(learner, lesson)
        # Slices have processes of their own, and leave what they found out in files.
        run_in_slices(
            lambda end: self._train_until(end, learner, lesson), lesson.checkpoint_dir, slice_seconds=slice_length()
        )
        self.report.read_again()
        version = self._candidate()
        if version is None:
            raise TrainingCancelledError("Stopped between two slices of a GPU.")
        return version

    def _prepare(self, learner: Learner, lesson: Lesson) -> None:
        """Read the clips and take the first step without a GPU: a slice is too short, and too dear, for the reading."""
        begun: list[TrainProgress] = []

        def watch(progress: TrainProgress) -> None:
            self.report.on_progress(progress)
            if progress.stage == "training":
                begun.append(progress)

        first = replace(lesson, on_progress=watch, should_stop=lambda: bool(begun) or self.should_stop())
        try:
            self._make_candidate(learner, first)
        except TrainingCancelledError:
            if self.should_stop():
                raise

    def _train_until(self, end: float, learner: Learner, lesson: Lesson) -> bool:
        """A slice: whether there is nothing more to do."""
        if self._candidate() is not None:
            return True
        self.report.read_again()
        device = pick_device(self.config.device)
        sliced = replace(lesson, device=device, should_stop=lambda: time.time() > end or self.should_stop())
        try:
            self._make_candidate(learner, sliced)
        except TrainingCancelledError:
            return self.should_stop()
        return True

    def _make_candidate(self, learner: Learner, lesson: Lesson) -> NewVersion:
        # What was saved before a kill may not be whole; the checkpoint makes it again in no time.
        shutil.rmtree(lesson.model_dir, ignore_errors=True)
        version = learner.learn(lesson)
        path = candidate_path(self.store.data_dir, self.run.id)
        building = path.with_suffix(".tmp")
        building.write_text(json.dumps(asdict(version)), encoding="utf-8")
        os.replace(building, path)
        return version

    def _candidate(self) -> NewVersion | None:
        """The model that this run made before it was killed or paused."""
        try:
            fields = json.loads(candidate_path(self.store.data_dir, self.run.id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        version = NewVersion(**fields)
        return version if (self.store.data_dir / version.path).is_dir() else None

    def _lesson(self) -> Lesson:
        with AnnotationStore(self.store.data_dir, database=snapshot_path(self.store.data_dir, self.run.id)) as snapshot:
            holdout = hold_out(snapshot, training_examples(snapshot), self.run.target, history=self.store)
        record_holdout(self.store, self.run.id, holdout)
        self.report.say(
            f"Run {self.run.id}: {len(holdout.training)} clips to learn from, {len(holdout.held_out)} held out by "
            f"{holdout.unit}."
        )
        return Lesson(
            store=self.store,
            run=self.run,
            config=self.config,
            holdout=holdout,
            base=self.config.base,
            run_dir=run_folder(self.store.data_dir, self.run.id),
            # Outside of a slice there is no GPU, whatever it looks like.
            device="cpu" if self._sliced else pick_device(self.config.device),
            say=self.report.say,
            on_progress=self.report.on_progress,
            should_stop=self.should_stop,
        )

    def _wish(self) -> str | None:
        for wish, status in (("cancel", "cancelled"), ("pause", "paused")):
            if wish_path(self.store.data_dir, self.run.id, wish).exists():
                return status
        return self._told

    def _break_off(self, status: str) -> None:
        """Record that somebody wanted it to stop; where it is to go on some day, what it needs stays."""
        reason = {"cancelled": run_queue.CANCELLED, "paused": run_queue.PAUSED}.get(status, STOPPED)
        with run_queue.queue_lock(self.store):
            if status == "paused":
                self.store.pause_training_run(self.run.id, reason)
            else:
                run_queue.close(self.store, self.run.id, status, reason)
            self.report.say(reason, state=status, eta=None)

    def _fail(self, reason: str) -> None:
        with run_queue.queue_lock(self.store):
            run_queue.close(self.store, self.run.id, "failed", reason)
            self.report.say(reason, state="failed", eta=None)


def watch_signals(worker: Worker) -> None:
    """Let signals end the run in good order."""
    signal.signal(signal.SIGTERM, worker.on_signal)
    if hasattr(signal, "SIGUSR1"):  # Windows has none; there the file does it.
        signal.signal(signal.SIGUSR1, worker.on_signal)


def describe(run: TrainingRun) -> Mapping[str, object]:
    """What the log begins with."""
    return {
        "run": run.id,
        "target": run.target,
        "preset": run.preset,
        "cause": run.cause,
        "by": run.started_by,
        "votes": run.snapshot_sha256,
        "config": dict(run.config),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m annotations.learning.worker", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    options = parser.parse_args(argv)
    yield_the_processor()
    keep_log()
    alone = FileLock(run_folder(options.data_dir, options.run) / "worker.lock", timeout=0)
    with AnnotationStore(options.data_dir) as store:
        try:
            with alone:
                run = store.get_training_run(options.run)
                log.info("%s", json.dumps(describe(run)))
                if run.status != "running":
                    log.info("Run %d is %s: nothing to do.", run.id, run.status)
                    return 0
                worker = Worker(store, run)
                watch_signals(worker)
                code = worker.work()
        except Timeout:
            log.info("Run %d has a process already.", options.run)
            return 0
        finally:
            # Those behind it need not wait until somebody looks; where it was interrupted, all may be about to end.
            if store.get_training_run(options.run).status != "interrupted":
                run_queue.tend(store)
        return code


if __name__ == "__main__":
    sys.exit(main())
