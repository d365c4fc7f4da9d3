"""Pre-labels stored clips with the current model, so that the review queue knows which are uncertain.

Knows the recogniser, not the models behind it. In the background it is a process of its own, `python -m annotations
prelabel`: what was answered stays, so that it goes on where it was stopped.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from filelock import FileLock, Timeout

from annotations.learning.runs.process import run_module
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore
from annotations.store.records import WHOLE
from annotations.store.training_records import find_active_version
from ser.audio.decoding import decode_file
from ser.errors import SerError

Progress = Callable[[Sequence[int]], Iterable[int]]
"""Wraps the clips to show how far it is."""

LOCK = "prelabel.lock"
LOG = "prelabel.log"
STOP = "prelabel.stop"
"""File that asks the process to end after the clip it is at."""

NICENESS = 15
"""The page's answers come first."""


def recognize_clips(active: ActiveModel, clip_ids: Iterable[int], progress: Progress = list) -> list[tuple[str, str]]:
    """Store an answer, and an embedding, for each clip that the current model version has none for.

    Args:
        active: what answers.
        clip_ids: of stored clips.
        progress: shows how far it is.

    Returns:
        (file, reason) of clips that have no answer, such as those without speech.
    """
    store, serving = active.store, active.serving()
    version = serving.version
    rows = store.fetch("SELECT DISTINCT clip_id FROM predictions WHERE model_version_id = ?", (version.id,))
    answered = {row["clip_id"] for row in rows}
    failed = []
    for clip_id in progress([clip_id for clip_id in clip_ids if clip_id not in answered]):
        try:
            audio = decode_file(store.clip_path(store.get_clip(clip_id)))
            store.add_prediction(clip_id, serving.recognizer.recognize(audio), version.id)
        except SerError as error:
            failed.append((f"clip {clip_id}", str(error)))
    return failed


def unanalysed_clips(store: AnnotationStore) -> list[int]:
    """Clips that the current model version has no answer for, and whose recording is there.

    Oldest first.
    """
    with store.reading() as connection:
        version = find_active_version(connection)
        rows = connection.execute(
            "SELECT id FROM clips WHERE id NOT IN (SELECT clip_id FROM missing_media) AND source <> ?2 "
            "AND NOT EXISTS (SELECT 1 FROM predictions WHERE clip_id = clips.id AND model_version_id = ?1) ORDER BY id",
            (version.id if version else None, WHOLE),
        )
        return [row["id"] for row in rows]


def start_prelabelling(store: AnnotationStore) -> bool:
    """Start the process that pre-labels all clips without an answer of the current version; it outlives this one.

    Returns:
        Whether it was started; False if there is nothing to do or another one is at it.
    """
    if not unanalysed_clips(store) or is_prelabelling(store):
        return False
    log = store.data_dir / LOG
    log.unlink(missing_ok=True)
    (store.data_dir / STOP).unlink(missing_ok=True)
    run_module(["annotations", "--data-dir", str(store.data_dir), "prelabel", "--background"], log)
    return True


@dataclass(frozen=True)
class Prelabelling:
    """State of the pre-labels.

    Attributes:
        clips: with a recording.
        answered: by the current model version.
        failed: that the last process could not analyse, as far as it has come.
        running: whether a process is at it.
    """

    clips: int
    answered: int
    failed: int
    running: bool


def prelabelling_state(store: AnnotationStore) -> Prelabelling:
    """Count the clips that have an answer of the current model version."""
    present = "id NOT IN (SELECT clip_id FROM missing_media) AND source <> ?"
    clips = store.fetch(f"SELECT count(*) FROM clips WHERE {present}", (WHOLE,))[0][0]
    waiting = len(unanalysed_clips(store))
    running, log = is_prelabelling(store), store.data_dir / LOG
    said = log.read_text("utf-8", "replace").splitlines() if log.is_file() and not running else []
    failed = sum(bool(re.match(r"clip \d+: ", line)) for line in said)
    return Prelabelling(clips, clips - waiting, min(failed, waiting), running)


def stop_prelabelling(store: AnnotationStore) -> None:
    """Ask the process that pre-labels to end; what was answered stays."""
    if is_prelabelling(store):
        (store.data_dir / STOP).touch()


def until_stopped(store: AnnotationStore, clip_ids: Iterable[int]) -> Iterator[int]:
    """Give the clips out one by one, until somebody asks to stop."""
    stop = store.data_dir / STOP
    for clip_id in clip_ids:
        if stop.exists():
            stop.unlink(missing_ok=True)
            return
        yield clip_id


def is_prelabelling(store: AnnotationStore) -> bool:
    """True if a process pre-labels stored clips now."""
    lock = prelabelling_lock(store)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def prelabelling_lock(store: AnnotationStore) -> FileLock:
    """Lock of the one process that pre-labels stored clips."""
    return FileLock(store.data_dir / LOCK)
