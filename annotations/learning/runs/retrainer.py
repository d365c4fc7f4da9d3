"""Starts, watches, pauses and stops training runs, for pages, programs and the command line.

Knows requests; how runs follow each other is in `annotations.learning.runs.queue`; training and comparing is done by
`annotations.learning.runs.worker`. Imports no torch.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import psutil

from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning.config import RetrainingConfig, log_path, snapshot_path, stop_request_of, stop_request_path
from annotations.learning.runs import queue as run_queue
from annotations.learning.runs.process import (
    CANCEL_PATIENCE,
    PAUSE_PATIENCE,
    Spawn,
    WorkerProcess,
    find_worker,
    processor_use,
    spawn_for_this_app,
    stop_worker,
)
from annotations.learning.runs.queue import current_run, find_run, why_waiting
from annotations.learning.runs.status import TrainingStatus, change_status, read_status, read_trigger
from annotations.learning.versions.active import ActiveModel, origins_of
from annotations.store.records import ModelVersion, TrainingRun
from annotations.store.training_records import UNKNOWN
from ser.checkpoints.folder import current_commit
from ser.config import Settings
from ser.errors import SerError, TrainingDataError

__all__ = ["Retrainer", "RetrainingConfig", "log_path", "snapshot_path"]


class Retrainer:
    """The retraining of one store's models, each run in a process of its own, one after the other.

    Args:
        active_model: the current acoustic model, which its training starts from, and the store with the feedback.
        config: how to train.
        origins: {target: what its loader takes} of the other models that the program started with; by default what
            the environment names.
        spawn: starts the process of a run; by default one that ends with this process.
    """

    def __init__(
        self,
        active_model: ActiveModel,
        config: RetrainingConfig | None = None,
        *,
        origins: Mapping[str, str] | None = None,
        spawn: Spawn = spawn_for_this_app,
    ) -> None:
        self.active_model = active_model
        self.store = active_model.store
        self.config = config or RetrainingConfig()
        self._origins = origins
        self._spawn = spawn
        self._worker: WorkerProcess | None = None

    def start(
        self,
        by: str,
        *,
        cause: str = "asked",
        target: str | None = None,
        preset: str | None = None,
        tune: str | None = None,
    ) -> TrainingRun:
        """Ask for a run; it begins at once on the feedback as it stands, or waits for the runs before it.

        Args:
            by: who asks for it.
            cause: why: `asked`, or the setting that begins it.
            target: what to train, in place of the configuration's.
            preset: `quick` or `thorough`, in place of the configuration's.
            tune: layers of an acoustic model to train, in place of the configuration's.

        Returns:
            The run, `running` or `queued`; the one that waits already where the same is asked for again.

        Raises:
            TrainingDataError: if there is too little feedback, with the numbers that are needed.
            SettingsError: for an unknown target, preset or choice of layers.
        """
        usual = self.config
        config = replace(usual, target=target or usual.target, preset=preset or usual.preset, tune=tune or usual.tune)
        self.tend()
        base, origin = self._base(config.target)
        start = run_queue.location_of(self.store, base, origin)
        run_queue.check_feedback(self.store, replace(config, base=start))
        run = self.store.queue_training_run(
            asdict(replace(config, origin=origin)),
            base.id,
            by,
            target=config.target,
            preset=config.preset,
            cause=cause,
            git_commit=current_commit(),
        )
        self.tend()
        run = self.store.get_training_run(run.id)
        if run.status == "failed":
            raise TrainingDataError(run.reason or f"Training run {run.id} could not begin.")
        return run

    def what_is_missing(self, target: str, tune: str | None = None) -> str | None:
        """Explain why a run of a target would be refused now; None if it would start. Writes nothing.

        Args:
            target: what would be trained.
            tune: layers of an acoustic model to train; by default what the configuration says.
        """
        try:
            origin = self._origin(target)
            try:
                base = run_queue.location_of(self.store, self.store.active_version(target), origin)
            except VersionNotFoundError:
                base = origin
            run_queue.check_feedback(
                self.store, replace(self.config, target=target, tune=tune or self.config.tune, base=base)
            )
        except SerError as error:
            return str(error)
        return None

    def tend(self, *, at_start: bool = False) -> None:
        """Begin what waits and mark what broke off; costs next to nothing if there is nothing to do.

        Args:
            at_start: whether the program has just started: a run that was interrupted goes on then.
        """
        if self._worker is not None:
            self._worker.poll()
        worker = run_queue.tend(self.store, at_start=at_start, spawn=self._spawn)
        self._worker = worker or self._worker

    def status(self, run_id: int | None = None) -> TrainingStatus:
        """Return the status of a run; by default the running, paused or next one, else the newest that ended."""
        self.tend()
        run = self.store.get_training_run(run_id) if run_id is not None else current_run(self.store)
        trigger = read_trigger(self.store.data_dir)
        said = trigger.message if trigger else ""
        if run is None:
            return TrainingStatus(trigger=said)
        status = read_status(self.store.data_dir, run.id)
        if run.status == "queued":
            status = status.changed(state="queued", message=why_waiting(self.store, run), eta=None)
        elif run.status == "running" and (request := stop_request_of(self.store.data_dir, run.id)):
            patience = CANCEL_PATIENCE if request == "cancel" else PAUSE_PATIENCE
            status = replace(status, message=run_queue.STOPPING.format(request=request, patience=patience))
        elif run.status == "running":
            status = with_processor_use(status)
        elif run.status != "running" and status.state != run.status:
            # The record is written before the file: what is decided is done, even if the file says otherwise.
            done = 1.0 if run.status in ("promoted", "refused") else status.progress
            status = status.changed(state=run.status, message=run.reason or "", eta=None, progress=done)
        log = log_path(self.store.data_dir, run.id)
        return replace(
            status,
            target=run.target,
            preset=run.preset,
            cause=run.cause,
            log=log.relative_to(self.store.data_dir).as_posix() if log.exists() else None,
            queued=tuple(waiting.id for waiting in self.waiting()),
            trigger=said,
        )

    def waiting(self) -> list[TrainingRun]:
        """The runs that wait for their turn, the next one first."""
        return [run for run in self.store.unfinished_runs() if run.status == "queued"]

    def pause(self, run_id: int | None = None) -> None:
        """Pause a run: its process ends, its progress is kept; does nothing if none runs or waits.

        Those behind it wait until it has been resumed or cancelled.
        """
        run = find_run(self.store, run_id, ("running", "queued"))
        if run is None:
            return
        if run.status == "running":
            self._stop(run, "pause")
        with run_queue.queue_lock(self.store):
            run = self.store.get_training_run(run.id)
            if run.status in ("running", "queued"):
                self.store.pause_training_run(run.id, run_queue.PAUSED)
                change_status(self.store.data_dir, run.id, state="paused", message=run_queue.PAUSED, eta=None)

    def resume(self, run_id: int | None = None) -> TrainingRun:
        """Let a paused or interrupted run go on where it was, on the votes that it began with.

        Args:
            run_id: by default the newest that can.

        Returns:
            The run, `running`, or `queued` while another one runs.

        Raises:
            StoreError: if there is none, or what it needs is gone.
        """
        run = find_run(self.store, run_id, ("paused",)) or find_run(self.store, run_id, ("interrupted",))
        if run is None or not run_queue.can_resume(self.store, run):
            which = "No training run" if run_id is None else f"Training run {run_id}"
            raise StoreError(f"{which} can be resumed: one that is paused or was interrupted is expected. Start one.")
        with run_queue.queue_lock(self.store):
            run_queue.requeue(self.store, run)
        self.tend()
        return self.store.get_training_run(run.id)

    def cancel(self, run_id: int | None = None) -> None:
        """End a run without a result, whether it runs, waits, is paused or was interrupted; else nothing happens.

        Args:
            run_id: by default the one that runs, else the one that is paused, else the next that waits, else the newest
                if it was interrupted.
        """
        states = (("running",), ("paused",), ("queued",), ("interrupted",))
        run = next(filter(None, (find_run(self.store, run_id, state) for state in states)), None)
        if run is None:
            return
        if run.status == "running":
            self._stop(run, "cancel")
        with run_queue.queue_lock(self.store):
            run = self.store.get_training_run(run.id)
            if run.status in ("running", "queued", "paused", "interrupted"):
                run_queue.close(self.store, run.id, "cancelled", run_queue.CANCELLED)
            # The process may have recorded the end itself, and been killed before it said so.
            if self.store.get_training_run(run.id).status == "cancelled":
                change_status(self.store.data_dir, run.id, state="cancelled", message=run_queue.CANCELLED, eta=None)
        self.tend()

    def wait(
        self, on_status: Callable[[TrainingStatus], None], interval: float = 0.5, run_id: int | None = None
    ) -> TrainingStatus:
        """Follow a run to its end, or until it is paused.

        Args:
            on_status: called with every new status.
            interval: seconds between looks.
            run_id: by default the one that `status` tells of now.

        Returns:
            The last status.
        """
        run_id = self.status(run_id).run_id
        while (status := self.status(run_id)).state in ("running", "queued"):
            on_status(status)
            process = find_worker(status)
            if process is not None:
                psutil.wait_procs([process], timeout=interval)
            else:
                time.sleep(interval)
        # The process that recorded the end removes the run's files under this lock.
        with run_queue.queue_lock(self.store):
            on_status(status)
        return status

    def _stop(self, run: TrainingRun, request: str) -> None:
        """Ask the process of a run to stop, and kill it if it does not."""
        stop_request_path(self.store.data_dir, run.id, request).touch()
        process = find_worker(read_status(self.store.data_dir, run.id))
        if process is not None:
            patience = CANCEL_PATIENCE if request == "cancel" else PAUSE_PATIENCE
            stop_worker(process, gently=request == "pause", patience=patience)
            if self._worker is not None:
                self._worker.poll()

    def _base(self, target: str) -> tuple[ModelVersion, str]:
        """The current version of a target, and the model that the program started with as its loader takes it."""
        origin = self._origin(target)
        try:
            version = self.store.active_version(target)
        except VersionNotFoundError:
            version = self.store.ensure_base_version(f"{target} {origin}", UNKNOWN, target)
        return version, origin

    def _origin(self, target: str) -> str:
        """The model that the program started with as its loader takes it."""
        if target == "acoustic":
            # Says so if the weights of the current version came with another program and are gone.
            self.active_model.location(self.store.active_version())
            return self.active_model.location(self.active_model.base_version)
        return (self._origins if self._origins is not None else origins_of(Settings.from_env()))[target]


def with_processor_use(status: TrainingStatus) -> TrainingStatus:
    """Measure what a running process gets of the machine: its time left follows, and a sentence if it is starved."""
    process = find_worker(status) if status.device == "cpu" else None
    use = processor_use(process) if process is not None else None
    if use is None:
        return status
    eta = status.eta if status.cpu_left is None else round(status.cpu_left / use.share, 1)
    message = f"{status.message} It is {use.words()}." if use.starved else status.message
    return replace(status, eta=eta, message=message)
