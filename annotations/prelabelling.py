"""Lets the model in use answer for stored clips, so that the review queue knows which are uncertain, and measures them.

Knows the recogniser, not the models behind it. In the background it is a process of its own, `python -m annotations
prelabel`: what was answered stays, so that it goes on where it was stopped.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from annotations.learning.active_model import ActiveModel
from annotations.sounds import unmeasured_clips
from annotations.store import AnnotationStore
from annotations.training_records import find_active_version
from ser.audio import decode_file
from ser.errors import SerError
from ser.vad import trim_to_speech

Progress = Callable[[Sequence[int]], Iterable[int]]
"""Wraps the clips to show how far it is."""

LOCK = "prelabel.lock"
LOG = "prelabel.log"
NICENESS = 15
"""The page's answers come first."""


def recognize_clips(active: ActiveModel, clip_ids: Iterable[int], progress: Progress = list) -> list[tuple[str, str]]:
    """Store an answer for each clip that the version in use has not heard yet, and what it sounds like.

    Args:
        active: what answers.
        clip_ids: of stored clips.
        progress: shows how far it is.

    Returns:
        (file, reason) of clips that have no answer, such as those without speech.
    """
    store, serving = active.store, active.serving()
    version = serving.version
    with store.reading() as connection:
        rows = connection.execute("SELECT DISTINCT clip_id FROM predictions WHERE model_version_id = ?", (version.id,))
        heard = {row["clip_id"] for row in rows}
        unmeasured = set(unmeasured_clips(connection))
    # By name, because it brings torch in.
    measure = importlib.import_module("ser.acoustic.measures").measure
    failed = []
    for clip_id in progress([clip_id for clip_id in clip_ids if clip_id not in heard or clip_id in unmeasured]):
        try:
            audio = decode_file(store.clip_path(store.get_clip(clip_id)))
            if clip_id in heard:
                speech = serving.recognizer.detector.detect(audio)
            else:
                answer = serving.recognizer.recognize(audio)
                store.add_prediction(clip_id, answer, version.id)
                speech = answer.speech
            if clip_id in unmeasured:
                store.add_sound(clip_id, measure(trim_to_speech(audio, speech)))
        except SerError as error:
            failed.append((f"clip {clip_id}", str(error)))
    return failed


def unheard_clips(store: AnnotationStore) -> list[int]:
    """Clips that the version in use has not answered for, or that were not measured, and whose recording is there.

    Oldest first.
    """
    with store.reading() as connection:
        version = find_active_version(connection)
        rows = connection.execute(
            "SELECT id FROM clips WHERE id NOT IN (SELECT clip_id FROM missing_media) "
            "AND NOT EXISTS (SELECT 1 FROM predictions WHERE clip_id = clips.id AND model_version_id = ?) ORDER BY id",
            (version.id if version else None,),
        )
        return sorted({row["id"] for row in rows} | set(unmeasured_clips(connection)))


def start_prelabelling(store: AnnotationStore) -> bool:
    """Start the process that answers for all clips the version in use has not heard; it outlives this one.

    Returns:
        Whether it was started; False where there is nothing to do or another one is at it.
    """
    if not unheard_clips(store) or is_prelabelling(store):
        return False
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "annotations", "--data-dir", str(store.data_dir), "prelabel", "--background"]
    with (store.data_dir / LOG).open("wb") as log:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )
    return True


def is_prelabelling(store: AnnotationStore) -> bool:
    """Whether a process answers for stored clips now."""
    lock = prelabelling_lock(store)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def prelabelling_lock(store: AnnotationStore) -> FileLock:
    """Held by the one process that answers for stored clips."""
    return FileLock(store.data_dir / LOCK)
