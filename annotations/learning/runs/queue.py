"""The queue of a store's runs: one runs at a time, and the next starts where the last one ended.

Knows requests, snapshots and processes; imports no torch. Training is the business of
`annotations.learning.runs.worker`, which calls `tend` itself when it is done.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

import psutil
from filelock import FileLock

from annotations.labels.stored import label_set
from annotations.learning.config import (
    RetrainingConfig,
    candidate_path,
    clear_run,
    run_folder,
    snapshot_path,
    stop_request_of,
    stop_request_path,
)
from annotations.learning.promotion.holdout_store import hold_out
from annotations.learning.runs.process import Spawn, WorkerProcess, find_worker, spawn_worker
from annotations.learning.runs.status import TrainingStatus, change_status, read_status, write_status
from annotations.learning.trainer import is_cross_fitted, trainer_of
from annotations.raters.votes import training_examples, votes_hash
from annotations.store import AnnotationStore
from annotations.store.queries import list_training_runs
from annotations.store.records import ModelVersion, TrainingRun
from annotations.store.rows import timestamp
from ser.errors import SerError, TrainingDataError

INTERRUPTED = "The training process ended before it was done. The current model is unchanged; the run can be resumed."

CANCELLED = "Cancelled. The current model is unchanged."
PAUSED = "Paused. It goes on where it was when it is resumed."
STOPPING = "It was asked to {request} and does so after the step under way, in {patience:.0f} seconds at the latest."

MAX_RESUMPTIONS = 3
"""Number of automatic restarts: a run that takes the machine down must not do so for ever."""


@contextmanager
def queue_lock(store: AnnotationStore) -> Iterator[None]:
    """Lock that keeps others from starting, ending or marking runs of this store; released if its holder dies."""
    with FileLock(store.data_dir / "runs.lock"):
        yield


def tend(store: AnnotationStore, *, at_start: bool = False, spawn: Spawn = spawn_worker) -> WorkerProcess | None:
    """Mark a run whose process is gone by its stop request, else as interrupted; start the next in the queue.

    A paused run keeps its place: those behind it wait until it went on or was cancelled.

    Args:
        store: whose runs; nothing is written to it if there is nothing to do.
        at_start: whether the program has just started: a run that was interrupted goes on then, before all others.
        spawn: starts the process of a run.

    Returns:
        The process of the run that began, where one did.
    """
    runs = store.unfinished_runs()
    if not at_start and (not runs or not _needs_care(store, runs)):
        return None
    with queue_lock(store):
        for run in store.unfinished_runs():
            if run.status == "running" and not is_alive(store, run.id):
                settle(store, run.id)
        if at_start:
            resume_interrupted(store)
        while (due := next_run(store)) is not None:
            try:
                return begin(store, due, spawn)
            except SerError as error:
                # Votes were taken back, or the version is gone: the request cannot be met any more.
                close(store, due.id, "failed", f"{error} The current model is unchanged.")
    return None


def next_run(store: AnnotationStore) -> TrainingRun | None:
    """The run whose turn it is; None if one runs or is paused, or none waits."""
    runs = store.unfinished_runs()
    if any(run.status in ("running", "paused") for run in runs):
        return None
    return runs[0] if runs else None


def begin(store: AnnotationStore, run: TrainingRun, spawn: Spawn = spawn_worker) -> WorkerProcess:
    """Let a waiting run begin on the votes as they stand, or go on with those that it began with.

    Raises:
        TrainingDataError: if there is too little feedback, with the numbers that are needed.
        TrainingInProgressError: if another runs.
    """
    status = prepare(store, run)
    worker = spawn(store.data_dir, run.id)
    created = psutil.Process(worker.pid).create_time()
    write_status(store.data_dir, status.changed(pid=worker.pid, pid_created=created))
    return worker


def prepare(store: AnnotationStore, run: TrainingRun) -> TrainingStatus:
    """All of `begin` but the process: the run is recorded as running, and has what its process needs.

    Returns:
        Its status, which the process is to be added to.
    """
    data_dir = store.data_dir
    run_folder(data_dir, run.id).mkdir(parents=True, exist_ok=True)
    for request in ("pause", "cancel"):
        stop_request_path(data_dir, run.id, request).unlink(missing_ok=True)
    forget_erased(store)
    if run.snapshot_sha256 is not None and snapshot_path(data_dir, run.id).exists():
        store.continue_training_run(run.id)
        status = read_status(data_dir, run.id)
        message = f"Run {run.id}: going on."
    else:
        clear_run(data_dir, run.id)
        give_up_interrupted(store, run)
        clips = _begin_anew(store, run)
        status = TrainingStatus(run_id=run.id)
        message = f"Run {run.id}: starting on {clips} clip{'' if clips == 1 else 's'}."
    return status.changed(state="running", message=message, eta=None, pid=None, pid_created=None)


def resume_interrupted(store: AnnotationStore) -> TrainingRun | None:
    """Let the last run go on if it was interrupted and has the means; for when the program starts."""
    run = last_ended(store)
    if run is None or not can_resume(store, run):
        return None
    return None if read_status(store.data_dir, run.id).resumed >= MAX_RESUMPTIONS else requeue(store, run)


def requeue(store: AnnotationStore, run: TrainingRun) -> TrainingRun:
    """Let a paused or interrupted run wait for its turn; `tend` continues it."""
    again = store.requeue_training_run(run.id)
    resumed = read_status(store.data_dir, run.id).resumed + (run.status == "interrupted")
    fresh = {"state": "queued", "resumed": resumed, "eta": None, "pid": None, "pid_created": None}
    change_status(store.data_dir, run.id, **fresh)
    return again


def can_resume(store: AnnotationStore, run: TrainingRun) -> bool:
    """True if a run is paused, or was interrupted and its snapshot is still there."""
    return run.status == "paused" or (run.status == "interrupted" and snapshot_path(store.data_dir, run.id).exists())


def forget_erased(store: AnnotationStore) -> list[int]:
    """Let runs that do not go on lose their copies of a store in which something was erased since.

    A paused one begins anew on what is left when it is resumed; an interrupted one is given up.

    Returns:
        Numbers of the runs.
    """
    erased = store.fetch("SELECT max(created_at) AS at FROM erasures")[0]["at"]
    if erased is None:
        return []
    going = {run.id for run in store.unfinished_runs() if run.status == "running"}
    forgotten = []
    for stamp in sorted((store.data_dir / "runs").glob("*/feedback.db.at")):
        run_id = int(stamp.parent.name)
        if run_id not in going and stamp.read_text(encoding="utf-8") <= erased:
            remove_unfinished_model(store, run_id)
            clear_run(store.data_dir, run_id)
            forgotten.append(run_id)
    return forgotten


def settle(store: AnnotationStore, run_id: int) -> None:
    """Record the state of a run whose process is gone: by its stop request, else interrupted.

    A process that does not react to the request is killed; who finds it gone is not always who made it.
    """
    request = stop_request_of(store.data_dir, run_id)
    if request == "cancel":
        close(store, run_id, "cancelled", CANCELLED)
    elif request == "pause":
        store.pause_training_run(run_id, PAUSED)
    else:
        close(store, run_id, "interrupted", INTERRUPTED)


def close(store: AnnotationStore, run_id: int, status: str, reason: str) -> None:
    """End a run whose process cannot do it, or that has none; an interrupted one keeps what it needs to go on."""
    store.close_training_run(run_id, status, reason)
    if status != "interrupted":
        remove_unfinished_model(store, run_id)
        clear_run(store.data_dir, run_id)


def give_up_interrupted(store: AnnotationStore, newer: TrainingRun) -> None:
    """Let go of what interrupted runs kept to go on with, where another was asked for in the knowledge of that."""
    for run in list_training_runs(store):
        known = run.status == "interrupted" and (run.finished_at or "") < newer.started_at
        if known and snapshot_path(store.data_dir, run.id).exists():
            remove_unfinished_model(store, run.id)
            clear_run(store.data_dir, run.id)


def remove_unfinished_model(store: AnnotationStore, run_id: int) -> None:
    """Remove the folder of a model that a run saved and nobody will ever use, as the store has no version of it."""
    folder = store.data_dir / "models" / f"v{run_id}"
    building = folder.with_name(f".{folder.name}.removing")
    if folder.is_dir():
        os.replace(folder, building)
    shutil.rmtree(building, ignore_errors=True)
    candidate_path(store.data_dir, run_id).unlink(missing_ok=True)


def is_alive(store: AnnotationStore, run_id: int) -> bool:
    """True if the process of a run exists."""
    return find_worker(read_status(store.data_dir, run_id)) is not None


def last_ended(store: AnnotationStore) -> TrainingRun | None:
    """Return the run that ended last, which need not be the one requested last."""
    ended = [run for run in list_training_runs(store, 50) if run.finished_at is not None]
    return max(ended, key=lambda run: (run.finished_at, run.id), default=None)


def current_run(store: AnnotationStore) -> TrainingRun | None:
    """Return the run that runs, else is paused, else is next, else the newest that ended."""
    runs = store.unfinished_runs()
    for status in ("running", "paused", "queued"):
        for run in runs:
            if run.status == status:
                return run
    return last_ended(store)


def find_run(store: AnnotationStore, run_id: int | None, statuses: tuple[str, ...]) -> TrainingRun | None:
    """Return a run in one of the states: that of the number, else an unfinished one, else the last that ended."""
    if run_id is not None:
        run = store.get_training_run(run_id)
        return run if run.status in statuses else None
    for run in store.unfinished_runs():
        if run.status in statuses:
            return run
    last = last_ended(store)
    return last if last is not None and last.status in statuses else None


def why_waiting(store: AnnotationStore, run: TrainingRun) -> str:
    """Explain what a queued run waits for."""
    before = [other for other in store.unfinished_runs() if other.id < run.id or other.status != "queued"]
    if not before:
        return f"Run {run.id} is about to start."
    first = before[0]
    if first.status == "paused":
        return f"Run {run.id} waits for run {first.id}, which is paused. Resume or cancel that one."
    return f"Run {run.id} waits for run {first.id}."


def location_of(store: AnnotationStore, version: ModelVersion, origin: str) -> str:
    """Return the location of a version for its loader: its folder, or the model that the program started with."""
    return origin if version.path is None else str(store.data_dir / version.path)


def _needs_care(store: AnnotationStore, runs: list[TrainingRun]) -> bool:
    going = [run for run in runs if run.status == "running"]
    if going:
        return not is_alive(store, going[0].id)
    return runs[0].status == "queued" and not any(run.status == "paused" for run in runs)


def _begin_anew(store: AnnotationStore, run: TrainingRun) -> int:
    """Take the votes as they stand: a copy of the store for the process to read, and their list for the record.

    Returns:
        How many clips they are on.
    """
    config = RetrainingConfig.of(run.config)
    base = store.active_version(run.target)
    config = replace(config, base=location_of(store, base, config.origin))
    check_feedback(store, config)
    snapshot = snapshot_path(store.data_dir, run.id)
    # Not the file's own time: an erasure also writes to copies.
    snapshot.with_name(f"{snapshot.name}.at").write_text(timestamp(), encoding="utf-8")
    store.snapshot(snapshot)
    # What the copy holds, and not what stood a moment before it: votes go on coming in.
    with AnnotationStore(store.data_dir, database=snapshot) as copy:
        examples = training_examples(copy)
    store.begin_training_run(
        run.id,
        config=asdict(config),
        base_version_id=base.id,
        correction_ids=[vote for example in examples for vote in example.correction_ids],
        snapshot_sha256=votes_hash(examples),
    )
    return len(examples)


def check_feedback(store: AnnotationStore, config: RetrainingConfig) -> None:
    """Refuse a run that would come to nothing.

    Args:
        store: whose votes.
        config: what is to be trained and how, with the base to start from filled in.

    Raises:
        TrainingDataError: if there is too little feedback, with the numbers that are needed, or the current model
            cannot be trained, or not like that.
        SettingsError: if a package is missing.
    """
    labels = label_set(store)
    if not labels.is_default and not (config.target == "transcriber" or is_cross_fitted(config)):
        raise TrainingDataError(
            f"The labels of this store are its own ({', '.join(labels.names)}): only the classifier head of the "
            "acoustic model is trained on them, and words count as far as a label means one of the seven emotions. "
            "Retrain the target acoustic, with the classifier head as what is trained."
        )
    holdout = hold_out(store, training_examples(store), config.target, cross_fitted=is_cross_fitted(config))
    trainer_of(config.target).check(store, holdout, config)
