"""Runs that were asked to stop and whose process was killed before it noticed."""

import pytest

from annotations.learning.config import run_folder, stop_request_path
from annotations.learning.runs import queue as run_queue
from annotations.learning.runs.status import TrainingStatus, write_status
from annotations.store import AnnotationStore


def killed_run(store: AnnotationStore) -> int:
    """Id of a run that the store takes for running, without a process."""
    base = store.ensure_base_version("base", "0" * 64)
    run = store.queue_training_run({}, base.id, "ann", target="acoustic", preset="quick")
    store.begin_training_run(run.id, config={}, base_version_id=base.id, correction_ids=[], snapshot_sha256="0" * 64)
    run_folder(store.data_dir, run.id).mkdir(parents=True)
    write_status(store.data_dir, TrainingStatus(state="running", run_id=run.id))
    return run.id


@pytest.mark.parametrize(
    ("requests", "end"),
    [([], "interrupted"), (["pause"], "paused"), (["cancel"], "cancelled"), (["pause", "cancel"], "cancelled")],
)
def test_whoever_finds_the_process_gone_follows_the_stop_request(
    store: AnnotationStore, requests: list[str], end: str
) -> None:
    run_id = killed_run(store)
    for request in requests:
        stop_request_path(store.data_dir, run_id, request).touch()
    assert run_queue.tend(store) is None
    assert store.get_training_run(run_id).status == end


def test_those_behind_a_run_that_was_to_pause_go_on_waiting(store: AnnotationStore) -> None:
    run_id = killed_run(store)
    base = store.active_version()
    behind = store.queue_training_run({}, base.id, "ann", target="acoustic", preset="thorough")
    stop_request_path(store.data_dir, run_id, "pause").touch()
    run_queue.tend(store)
    assert store.get_training_run(run_id).status == "paused"
    assert store.get_training_run(behind.id).status == "queued"
