"""Starts, watches, rests and stops training runs, for pages, programs and the command line.

Knows requests; how runs follow each other is in `annotations.learning.run_queue`, and what is learnt, and whether it is
good enough, is the business of `annotations.learning.worker`. Imports no torch.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import psutil

from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning import run_queue
from annotations.learning.active_model import ActiveModel
from annotations.learning.config import RetrainingConfig
from annotations.learning.run_process import PATIENCE, find_worker, stop_worker
from annotations.learning.run_status import (
    TrainingStatus,
    log_path,
    read_status,
    snapshot_path,
    wish_of,
    wish_path,
    write_status,
)
from annotations.learning.trigger_report import read_trigger
from annotations.records import ModelVersion, TrainingRun
from annotations.training_records import UNKNOWN
from ser.checkpoints import current_commit
from ser.config import EMBEDDED, Settings
from ser.errors import SerError, TrainingDataError

__all__ = ["Retrainer", "RetrainingConfig", "log_path", "snapshot_path"]


class Retrainer:
    """The retraining of one store's models, each run in a process of its own, one after the other.

    Args:
        active_model: the acoustic model in use, which its training starts from, and the store where the feedback lies.
        config: how to learn.
        origins: {target: what its loader takes} of the other models that the program started with; by default what
            the environment names.
    """

    def __init__(
        self,
        active_model: ActiveModel,
        config: RetrainingConfig | None = None,
        *,
        origins: Mapping[str, str] | None = None,
    ) -> None:
        self.active_model = active_model
        self.store = active_model.store
        self.config = config or RetrainingConfig()
        self._origins = origins
        self._worker: subprocess.Popen[bytes] | None = None

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
            preset: how thoroughly, in place of the configuration's.
            tune: what of an acoustic model learns, in place of the configuration's.

        Returns:
            The run, `running` or `queued`; the one that waits already where the same is asked for again.

        Raises:
            TrainingDataError: where there is too little feedback, with the numbers that are needed.
            SettingsError: for a target, a preset or a part that there is none of.
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
        """Why a run of a target would be refused now, as a sentence; None where it would begin. Writes nothing.

        Args:
            target: what would be trained.
            tune: what of an acoustic model would learn; by default what the configuration says.
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
        """Begin what waits and mark what broke off; costs next to nothing where there is nothing to do.

        Args:
            at_start: whether the program has just started: a run that was interrupted goes on then.
        """
        if self._worker is not None:
            self._worker.poll()
        worker = run_queue.tend(self.store, at_start=at_start)
        self._worker = worker or self._worker

    def status(self, run_id: int | None = None) -> TrainingStatus:
        """Where a run stands; without a number the one that runs, rests or is next, else the newest that ended."""
        self.tend()
        run = self.store.get_training_run(run_id) if run_id is not None else self._current()
        trigger = read_trigger(self.store.data_dir)
        said = trigger.message if trigger else ""
        if run is None:
            return TrainingStatus(trigger=said)
        status = read_status(self.store.data_dir, run.id) or TrainingStatus(run_id=run.id)
        if run.status == "queued":
            status = status.changed(state="queued", message=self._why_waiting(run), eta=None)
        elif run.status == "running" and (wish := wish_of(self.store.data_dir, run.id)):
            status = replace(status, message=run_queue.STOPPING.format(wish=wish, patience=PATIENCE))
        elif run.status != "running" and status.state != run.status:
            status = status.changed(state=run.status, message=run.reason or "", eta=None)
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
        """Let a run rest: its process ends, what it has learnt stays; nothing happens where none goes on or waits.

        Those behind it wait until it has been resumed or cancelled.
        """
        run = self._find(run_id, ("running", "queued"))
        if run is None:
            return
        if run.status == "running":
            self._stop(run, "pause")
        with run_queue.queue_lock(self.store):
            run = self.store.get_training_run(run.id)
            if run.status in ("running", "queued"):
                self.store.pause_training_run(run.id, run_queue.PAUSED)
                self._write(run.id, state="paused", message=run_queue.PAUSED, eta=None)

    def resume(self, run_id: int | None = None) -> TrainingRun:
        """Let a paused or interrupted run go on where it was, on the votes that it began with.

        Args:
            run_id: by default the newest that can.

        Returns:
            The run, `running`, or `queued` while another one runs.

        Raises:
            StoreError: where there is none, or what it needs is gone.
        """
        run = self._find(run_id, ("paused",)) or self._find(run_id, ("interrupted",))
        if run is None or not run_queue.can_resume(self.store, run):
            which = "No training run" if run_id is None else f"Training run {run_id}"
            raise StoreError(f"{which} can be resumed: one that is paused or was interrupted is expected. Start one.")
        with run_queue.queue_lock(self.store):
            run_queue.requeue(self.store, run)
        self.tend()
        return self.store.get_training_run(run.id)

    def cancel(self, run_id: int | None = None) -> None:
        """End a run without a result, whether it runs, waits, rests or was interrupted; else nothing happens.

        Args:
            run_id: by default the one that runs, else the one that rests, else the next that waits, else the newest
                where it was interrupted.
        """
        run = self._find(run_id, ("running",)) or self._find(run_id, ("paused",)) or self._find(run_id, ("queued",))
        run = run or self._find(run_id, ("interrupted",))
        if run is None:
            return
        if run.status == "running":
            self._stop(run, "cancel")
        with run_queue.queue_lock(self.store):
            run = self.store.get_training_run(run.id)
            if run.status in ("running", "queued", "paused", "interrupted"):
                run_queue.close(self.store, run.id, "cancelled", run_queue.CANCELLED)
                self._write(run.id, state="cancelled", message=run_queue.CANCELLED, eta=None)
        self.tend()

    def wait(
        self, on_status: Callable[[TrainingStatus], None], interval: float = 0.5, run_id: int | None = None
    ) -> TrainingStatus:
        """Follow a run to its end, or until it rests.

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
        on_status(status)
        return status

    def _stop(self, run: TrainingRun, wish: str) -> None:
        """Ask the process of a run to stop, and kill it where it does not."""
        wish_path(self.store.data_dir, run.id, wish).touch()
        status = read_status(self.store.data_dir, run.id)
        process = find_worker(status) if status else None
        if process is not None:
            stop_worker(process, gently=wish == "pause", patience=PATIENCE)
            if self._worker is not None:
                self._worker.poll()

    def _current(self) -> TrainingRun | None:
        runs = self.store.unfinished_runs()
        for status in ("running", "paused", "queued"):
            for run in runs:
                if run.status == status:
                    return run
        return run_queue.last_ended(self.store)

    def _find(self, run_id: int | None, statuses: tuple[str, ...]) -> TrainingRun | None:
        """The run of that number, else of those that have not ended or ended last, where it has one of the statuses."""
        if run_id is not None:
            run = self.store.get_training_run(run_id)
            return run if run.status in statuses else None
        for run in self.store.unfinished_runs():
            if run.status in statuses:
                return run
        last = run_queue.last_ended(self.store)
        return last if last is not None and last.status in statuses else None

    def _why_waiting(self, run: TrainingRun) -> str:
        before = [other for other in self.store.unfinished_runs() if other.id < run.id or other.status != "queued"]
        if not before:
            return f"Run {run.id} is about to begin."
        first = before[0]
        if first.status == "paused":
            return f"Run {run.id} waits for run {first.id}, which is paused. Resume or cancel that one."
        return f"Run {run.id} waits for run {first.id}."

    def _write(self, run_id: int, **changes: object) -> None:
        status = read_status(self.store.data_dir, run_id) or TrainingStatus(run_id=run_id)
        write_status(self.store.data_dir, status.changed(**changes))

    def _base(self, target: str) -> tuple[ModelVersion, str]:
        """The version in use of a target, and the model that the program started with as its loader takes it."""
        origin = self._origin(target)
        try:
            version = self.store.active_version(target)
        except VersionNotFoundError:
            version = self.store.ensure_base_version(f"{target} {origin}", UNKNOWN, target)
        return version, origin

    def _origin(self, target: str) -> str:
        """The model that the program started with as its loader takes it."""
        if target == "acoustic":
            # Says so where the weights of the version in use came with another program and are gone.
            self.active_model.location(self.store.active_version())
            return self.active_model.location(self.active_model.base_version)
        return (self._origins if self._origins is not None else origins_of(Settings.from_env()))[target]


def origins_of(settings: Settings) -> dict[str, str]:
    """What the program starts with, target by target, the acoustic model apart.

    >>> origins_of(Settings())["text"]
    'embedded'
    """
    return {"text": settings.text_model, "fusion": EMBEDDED, "transcriber": settings.whisper_model}
