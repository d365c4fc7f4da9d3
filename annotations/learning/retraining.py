"""Starts, watches and stops the training process; one run at a time for one store.

Knows processes and status files. What is learnt, and whether it is good enough, is the business of
`annotations.learning.worker`; this module imports no torch.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
from filelock import FileLock

from annotations.learning.active_model import ActiveModel
from annotations.learning.config import RetrainingConfig
from annotations.learning.feedback import training_examples, votes_hash
from annotations.learning.run_status import TrainingStatus, read_status, run_folder, write_status
from annotations.learning.sides import hold_out
from annotations.queries import list_training_runs
from annotations.records import TrainingRun
from ser.checkpoints import current_commit

__all__ = ["Retrainer", "RetrainingConfig", "log_path", "snapshot_path"]

CANCEL_PATIENCE = 20.0
"""Seconds that a cancelled run has to stop by itself before it is killed."""


class Retrainer:
    """The retraining of one store's model, in a process of its own.

    Args:
        active_model: the model in use, which training starts from, and the store where the feedback lies.
        config: how to learn.
    """

    def __init__(self, active_model: ActiveModel, config: RetrainingConfig | None = None) -> None:
        self.active_model = active_model
        self.store = active_model.store
        self.config = config or RetrainingConfig()
        self._worker: subprocess.Popen[bytes] | None = None
        self._lock = FileLock(self.store.data_dir / "runs.lock")

    def start(self, by: str, *, cause: str = "asked") -> TrainingRun:
        """Start a run on the feedback as it stands now.

        Args:
            by: who asks for it.
            cause: why: `asked`, or the setting that begins it.

        Returns:
            The run, with status `running`.

        Raises:
            TrainingDataError: where there is too little feedback, with the numbers that are needed.
            TrainingInProgressError: where a run is under way, here or in another process.
        """
        with self._lock:
            self._mark_interrupted()
            base = self.store.active_version()
            config = asdict(replace(self.config, base=self.active_model.location(base)))
            examples = training_examples(self.store)
            hold_out(self.store, examples)
            run = self.store.start_training_run(
                config,
                git_commit=current_commit(),
                base_version_id=base.id,
                started_by=by,
                correction_ids=[vote for example in examples for vote in example.correction_ids],
                target=self.config.target,
                preset=self.config.preset,
                cause=cause,
                snapshot_sha256=votes_hash(examples),
            )
            run_folder(self.store.data_dir, run.id).mkdir(parents=True, exist_ok=True)
            self.store.snapshot(snapshot_path(self.store.data_dir, run.id))
            self._worker = _spawn_worker(self.store.data_dir, run.id)
            process = psutil.Process(self._worker.pid)
            write_status(
                self.store.data_dir,
                TrainingStatus(
                    state="running", run_id=run.id, pid=process.pid, pid_created=process.create_time()
                ).changed(message=f"Run {run.id}: starting on {len(examples)} clips."),
            )
            return run

    def status(self) -> TrainingStatus:
        """Where the newest run stands; a run whose process is gone is marked interrupted on the way."""
        runs = list_training_runs(self.store)[:1]
        if not runs:
            return TrainingStatus()
        if runs[0].status == "running":
            with self._lock:
                self._mark_interrupted()
            run = self.store.get_training_run(runs[0].id)
        else:
            run = runs[0]
        status = read_status(self.store.data_dir, run.id) or TrainingStatus(run_id=run.id)
        if run.status != "running" and status.state != run.status:
            return status.changed(state=run.status, message=run.reason or "", eta=None)
        return status

    def cancel(self) -> None:
        """Ask the run under way to stop, and kill it where it does not; without a run nothing happens."""
        status = self.status()
        if status.state != "running" or status.run_id is None:
            return
        process = _find_worker(status)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=CANCEL_PATIENCE)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait()
        with self._lock:
            run = self.store.get_training_run(status.run_id)
            if run.status == "running":
                self._close(run.id, "cancelled", "Cancelled. The model in use is unchanged.")

    def wait(self, on_status: Callable[[TrainingStatus], None], interval: float = 0.5) -> TrainingStatus:
        """Follow the run under way to its end.

        Args:
            on_status: called with every new status.
            interval: seconds between looks.

        Returns:
            The last status.
        """
        while (status := self.status()).state == "running":
            on_status(status)
            process = _find_worker(status)
            if process is not None:
                psutil.wait_procs([process], timeout=interval)
        on_status(status)
        return status

    def _mark_interrupted(self) -> None:
        """Close a run that is `running` on paper while its process is gone: killed, or the machine restarted."""
        if self._worker is not None:
            self._worker.poll()
        for run in list_training_runs(self.store)[:1]:
            if run.status != "running":
                continue
            status = read_status(self.store.data_dir, run.id)
            if status is not None and _find_worker(status) is not None:
                continue
            reason = "The training process ended before it was done. The model in use is unchanged; start another run."
            self._close(run.id, "interrupted", reason)

    def _close(self, run_id: int, status: str, reason: str) -> None:
        """End a run whose process can no longer do it."""
        self.store.finish_training_run(run_id, status, {}, reason)
        snapshot_path(self.store.data_dir, run_id).unlink(missing_ok=True)


def snapshot_path(data_dir: Path, run_id: int) -> Path:
    """The votes as they stood when the run was started; gone when it has ended."""
    return run_folder(data_dir, run_id) / "feedback.db"


def log_path(data_dir: Path, run_id: int) -> Path:
    """What the training process printed."""
    return run_folder(data_dir, run_id) / "log.txt"


def _spawn_worker(data_dir: Path, run_id: int) -> subprocess.Popen[bytes]:
    # One thread: with two the page's own answers take twice as long on a small machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "annotations.learning.worker", "--data-dir", str(data_dir), "--run", str(run_id)]
    with log_path(data_dir, run_id).open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )


def _find_worker(status: TrainingStatus) -> psutil.Process | None:
    """The process that the status names, where it still runs; a later process of the same number does not count."""
    if status.pid is None:
        return None
    try:
        process = psutil.Process(status.pid)
        same = status.pid_created is None or abs(process.create_time() - status.pid_created) < 1.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
