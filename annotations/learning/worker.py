"""The training process: feedback in, a compared and perhaps promoted model version out.

`annotations.learning.retraining` starts it as `python -m annotations.learning.worker --data-dir DIR --run N`. It reads
the votes from the run's snapshot, reports through the run's status file, and writes to the store once, at its end.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import psutil

from annotations.learning.config import RetrainingConfig
from annotations.learning.feedback import training_examples
from annotations.learning.gate import Decision
from annotations.learning.learners import Lesson, learner_of
from annotations.learning.retraining import snapshot_path
from annotations.learning.run_status import TrainingStatus, run_folder, write_status
from annotations.learning.sides import hold_out, record_holdout
from annotations.records import TrainingRun
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.errors import SerError, TrainingCancelledError
from ser.hub import pick_device
from ser.training.progress import TrainProgress

NICENESS = 15
"""The page's answers come first; measured: at 15 they take no longer than without any training."""

TRAINED_SHARE = 0.9
"""Of the progress bar; the rest is the comparison."""


class Worker:
    """One run, from its snapshot to its decision.

    Args:
        store: to read recordings from and to write the outcome to.
        run: recorded as running.
    """

    def __init__(self, store: AnnotationStore, run: TrainingRun) -> None:
        self.store = store
        self.run = run
        self.config = RetrainingConfig.of(run.config)
        self.stopping = False
        process = psutil.Process()
        self.status = TrainingStatus(state="running", run_id=run.id, pid=process.pid, pid_created=process.create_time())
        self._last_write = 0.0

    def stop(self, signum: int, frame: FrameType | None) -> None:
        """Signal handler: stop after the step under way."""
        self.stopping = True

    def work(self) -> int:
        """Do the run and record how it ended; returns the exit code.

        Raises:
            Exception: whatever nobody foresaw, after it was recorded; its trace goes to the run's log.
        """
        try:
            decision, version = self._learn()
        except TrainingCancelledError:
            self._finish("cancelled", {}, "Cancelled. The model in use is unchanged.")
            return 0
        except SerError as error:
            self._finish("failed", {}, f"{error} The model in use is unchanged.")
            return 1
        except Exception as error:
            reason = (
                f"Training failed ({type(error).__name__}: {error}). The model in use is unchanged; the log says more."
            )
            self._finish("failed", {}, reason)
            raise
        self._finish("promoted" if decision.promoted else "refused", decision.metrics(), decision.reason, version)
        return 0

    def _learn(self) -> tuple[Decision, NewVersion]:
        learner = learner_of(self.run.target)
        lesson = self._lesson()
        version = learner.learn(lesson)
        self._say("Comparing with the model in use.", progress=TRAINED_SHARE, eta=None)
        return learner.compare(lesson, version), version

    def _lesson(self) -> Lesson:
        with AnnotationStore(self.store.data_dir, database=snapshot_path(self.store.data_dir, self.run.id)) as snapshot:
            holdout = hold_out(snapshot, training_examples(snapshot), self.run.target)
        record_holdout(self.store, self.run.id, holdout)
        self._say(
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
            device=pick_device(self.config.device),
            say=self._say,
            on_progress=self._on_progress,
            should_stop=lambda: self.stopping,
        )

    def _on_progress(self, progress: TrainProgress) -> None:
        curve = self.status.curve
        if progress.epoch_done:
            curve = (*curve, {"epoch": progress.epoch, "loss": progress.loss, "uar": progress.uar})
        elif time.monotonic() - self._last_write < 0.3:
            return
        reading = progress.stage == "preparing"
        self._say(
            "Reading the clips." if reading else f"Epoch {progress.epoch} of {progress.epochs}.",
            progress=TRAINED_SHARE * progress.fraction,
            eta=progress.eta,
            epoch=progress.epoch,
            epochs=progress.epochs,
            loss=progress.loss,
            uar=progress.uar,
            curve=curve,
        )

    def _say(self, message: str, **changes: object) -> None:
        self.status = self.status.changed(message=message, **changes)
        write_status(self.store.data_dir, self.status)
        self._last_write = time.monotonic()

    def _finish(self, state: str, metrics: dict[str, object], reason: str, version: NewVersion | None = None) -> None:
        self.store.finish_training_run(self.run.id, state, metrics, reason, version)
        self._say(reason, state=state, progress=1.0 if version else self.status.progress, eta=None)
        snapshot_path(self.store.data_dir, self.run.id).unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the process; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m annotations.learning.worker", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--run", type=int, required=True)
    options = parser.parse_args(argv)
    os.nice(NICENESS)
    with AnnotationStore(options.data_dir) as store:
        worker = Worker(store, store.get_training_run(options.run))
        signal.signal(signal.SIGTERM, worker.stop)
        return worker.work()


if __name__ == "__main__":
    sys.exit(main())
