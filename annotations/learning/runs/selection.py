"""Selection of a store's runs by their state: the current one, one to act on, the one before in the queue."""

from annotations.store import AnnotationStore
from annotations.store.queries import list_training_runs
from annotations.store.records import TrainingRun


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
