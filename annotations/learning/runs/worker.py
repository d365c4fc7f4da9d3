"""The training process: feedback in, a compared and perhaps promoted model version out.

`annotations.learning.runs.queue` starts it as `python -m annotations.learning.runs.worker --data-dir DIR --run N`.
It reads the votes from the run's snapshot, reports through the run's status file, and writes to the store once, at its
end. It may be killed at any moment: started again on the same run, it goes on where it was and ends with the
same weights.
"""

import argparse
import json
import logging
import platform
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from annotations.learning.config import (
    RetrainingConfig,
    candidate_path,
    checkpoint_folder,
    clear_run,
    run_folder,
    snapshot_path,
    stop_request_of,
    write_json,
)
from annotations.learning.promotion.decision import Decision
from annotations.learning.promotion.holdout_store import hold_out, record_holdout
from annotations.learning.runs import queue as run_queue
from annotations.learning.runs.process import NICENESS, Spawn, end_with, keep_log, spawn_worker, yield_the_processor
from annotations.learning.runs.status import TRAINED_SHARE, RunReport, describe
from annotations.learning.runs.zero_gpu import on_zero_gpu, run_in_slices, slice_length
from annotations.learning.trainer import Trainer, TrainingJob, device_of, is_cross_fitted, trainer_of
from annotations.learning.versions.card import write_card
from annotations.learning.versions.retention import look_after_versions
from annotations.raters.votes import training_examples
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import TrainingRun
from ser.checkpoints.hub import pick_device
from ser.errors import SerError, TrainingCancelledError

if TYPE_CHECKING:
    from ser.training.progress import TrainProgress

STOPPED = "The training process was asked to end before it was done. The current model is unchanged; it can be resumed."

APP_PATIENCE = 10.0
"""Seconds that a run has to end after its app has; then it is interrupted by force."""

log = logging.getLogger("training")


class Worker:
    """One run, from its snapshot to its decision.

    Args:
        store: to read recordings from and to write the outcome to.
        run: recorded as running.
        trainer: who trains; by default the target's.
    """

    def __init__(self, store: AnnotationStore, run: TrainingRun, trainer: Trainer | None = None) -> None:
        self.store = store
        self.run = run
        self.config = RetrainingConfig.of(run.config)
        self._trainer = trainer
        self._sliced = self.config.device != "cpu" and on_zero_gpu()
        self._told: str | None = None
        self.report = RunReport(store.data_dir, run.id)

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: stop after the step under way, to rest at SIGUSR1, else as if interrupted."""
        self._told = "interrupted" if signum == signal.SIGTERM else "paused"

    def on_app_gone(self) -> None:
        """Stop after the step under way, as if interrupted: the app that this run belongs to has ended."""
        self._told = "interrupted"

    def should_stop(self) -> bool:
        """True if a stop was requested."""
        return self._stop_request() is not None

    def work(self) -> int:
        """Do the run and record how it ended; returns the exit code.

        Raises:
            Exception: an unforeseen one, after it was recorded; its trace goes to the run's log.
        """
        try:
            decision, version, facts = self._train_and_compare()
        except TrainingCancelledError:
            self._break_off(self._stop_request() or "interrupted")
            return 0
        except SerError as error:
            self._fail(f"{error} The current model is unchanged.")
            return 1
        except Exception as error:
            self._fail(
                f"Training failed ({type(error).__name__}: {error}). The current model is unchanged; the log says more."
            )
            raise
        state = "promoted" if decision.promoted else "refused"
        with run_queue.queue_lock(self.store):
            metrics = {**decision.metrics(), "timing": facts}
            run = self.store.finish_training_run(self.run.id, state, metrics, decision.reason, version)
            self.report.say(decision.reason, state=state, progress=1.0, eta=None)
            clear_run(self.store.data_dir, self.run.id)
        if run.new_version_id is not None:
            write_card(self.store, self.store.get_model_version(run.new_version_id))
        look_after_versions(self.store)
        return 0

    def _train_and_compare(self) -> tuple[Decision, NewVersion, dict[str, object]]:
        trainer = self._trainer or trainer_of(self.run.target)
        job = self._job()
        version = self._candidate() or self._train(trainer, job)
        self.report.say("Comparing with the current model.", progress=TRAINED_SHARE, eta=None)
        decision = trainer.compare(job, version)
        facts = {
            "seconds": round(self.report.seconds, 1),
            "processor_seconds": round(time.process_time(), 1),
            "clips": len(job.holdout.training),
            "held_out": 0 if job.holdout.cross_fitted else len(job.holdout.held_out),
            "device": job.device,
            "machine": platform.node(),
        }
        return decision, version, facts

    def _train(self, trainer: Trainer, job: TrainingJob) -> NewVersion:
        if not self._sliced:
            return self._make_candidate(trainer, job)
        if not checkpoint_folder(self.store.data_dir, self.run.id).exists():
            self._prepare(trainer, job)
        # Slices have processes of their own, and leave what they found out in files.
        run_in_slices(
            lambda end: self._train_until(end, trainer, job), job.checkpoint_dir, slice_seconds=slice_length()
        )
        self.report.read_again()
        version = self._candidate()
        if version is None:
            raise TrainingCancelledError("Stopped between two slices of a GPU.")
        return version

    def _prepare(self, trainer: Trainer, job: TrainingJob) -> None:
        """Read the clips and take the first step without a GPU: a slice is too short, and too dear, for the reading."""
        begun: list[TrainProgress] = []

        def watch(progress: "TrainProgress") -> None:
            self.report.on_progress(progress)
            if progress.stage == "training":
                begun.append(progress)

        first = replace(job, on_progress=watch, should_stop=lambda: bool(begun) or self.should_stop())
        try:
            self._make_candidate(trainer, first)
        except TrainingCancelledError:
            if self.should_stop():
                raise

    def _train_until(self, end: float, trainer: Trainer, job: TrainingJob) -> bool:
        """Train for one slice; True if nothing is left to do."""
        if self._candidate() is not None:
            return True
        self.report.read_again()
        device = pick_device(self.config.device)
        sliced = replace(job, device=device, should_stop=lambda: time.time() > end or self.should_stop())
        try:
            self._make_candidate(trainer, sliced)
        except TrainingCancelledError:
            return self.should_stop()
        return True

    def _make_candidate(self, trainer: Trainer, job: TrainingJob) -> NewVersion:
        # What was saved before a kill may not be whole; the checkpoint makes it again in no time.
        shutil.rmtree(job.model_dir, ignore_errors=True)
        version = trainer.train(job)
        write_json(candidate_path(self.store.data_dir, self.run.id), asdict(version))
        return version

    def _candidate(self) -> NewVersion | None:
        """The model that this run made before it was killed or paused."""
        try:
            fields = json.loads(candidate_path(self.store.data_dir, self.run.id).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        version = NewVersion(**fields)
        return version if (self.store.data_dir / version.path).is_dir() else None

    def _job(self) -> TrainingJob:
        with AnnotationStore(self.store.data_dir, database=snapshot_path(self.store.data_dir, self.run.id)) as snapshot:
            holdout = hold_out(
                snapshot,
                training_examples(snapshot),
                self.run.target,
                history=self.store,
                cross_fitted=is_cross_fitted(self.config),
            )
        record_holdout(self.store, self.run.id, holdout)
        held_out = f"{len(holdout.held_out)} held out by {holdout.unit}"
        if holdout.cross_fitted:
            held_out = f"each predicted by a model that has not seen its {holdout.unit}"
        count = len(holdout.training)
        self.report.say(f"Run {self.run.id}: {count} clip{'' if count == 1 else 's'} to train on, {held_out}.")
        device = "cpu" if self._sliced else device_of(self.config)
        self.report.say(self.report.status.message, device=device)
        return TrainingJob(
            store=self.store,
            run=self.run,
            config=self.config,
            holdout=holdout,
            base=self.config.base,
            run_dir=run_folder(self.store.data_dir, self.run.id),
            # Outside of a slice there is no GPU, even if there seems to be one.
            device=device,
            say=self.report.say,
            on_progress=self.report.on_progress,
            should_stop=self.should_stop,
        )

    def _stop_request(self) -> str | None:
        request = stop_request_of(self.store.data_dir, self.run.id)
        return {"cancel": "cancelled", "pause": "paused"}[request] if request else self._told

    def _break_off(self, status: str) -> None:
        """Record that the run was stopped on request; keep what it needs to go on."""
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m annotations.learning.runs.worker", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    parser.add_argument("--app", type=int, help="process that this one ends with; without, it outlives all others")
    parser.add_argument("--niceness", type=int, default=NICENESS, help="of this process (default %(default)s)")
    options = parser.parse_args(argv)
    yield_the_processor(niceness=options.niceness)
    keep_log()
    spawn = partial(spawn_worker, app=options.app, niceness=options.niceness)
    return work_on(options.data_dir, options.run, app=options.app, spawn=spawn)


def work_on(
    data_dir: Path, run_id: int, *, app: int | None = None, spawn: Spawn = spawn_worker, trainer: Trainer | None = None
) -> int:
    """Do a run in this process, then let the next one begin; returns the exit code.

    Args:
        data_dir: the store's folder.
        run_id: of a run that is recorded as running.
        app: process that this one ends with; None for none.
        spawn: starts the process of the next run.
        trainer: by default the target's.
    """
    alone = FileLock(run_folder(data_dir, run_id) / "worker.lock", timeout=0)
    with AnnotationStore(data_dir) as store:
        try:
            with alone:
                run = store.get_training_run(run_id)
                log.info("%s", json.dumps(describe(run)))
                if run.status != "running":
                    log.info("Run %d is %s: nothing to do.", run.id, run.status)
                    return 0
                worker = Worker(store, run, trainer)
                watch_signals(worker)
                if app is not None:
                    end_with(app, worker.on_app_gone, APP_PATIENCE)
                code = worker.work()
        except Timeout:
            log.info("Run %d has a process already.", run_id)
            return 0
        finally:
            # Those behind it need not wait until somebody looks; if it was interrupted, all may be about to end.
            if store.get_training_run(run_id).status != "interrupted":
                run_queue.tend(store, spawn=spawn)
        return code


if __name__ == "__main__":
    sys.exit(main())
