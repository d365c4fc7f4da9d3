"""Lets versions that are not in use yet answer on the side: after the main answer was given, in a thread of its own.

Keeps two labels of a recording; the recording itself only where it is stored with consent, and then by its clip.
"""

import functools
import queue
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from annotations.learning.active_model import ActiveModel
from annotations.learning.shadow_records import Shadow, end_shadow, open_shadows
from annotations.records import ModelVersion
from annotations.rows import timestamp
from ser.errors import ModelUnavailableError, SerError
from ser.recognizer import Recognizer
from ser.types import Audio, Recognition
from ser.vad import trim_to_speech

CAPACITY = 16
"""Recordings that may wait; further ones are left out, as nobody waits for them."""

LOOK_EVERY = 2.0
"""Seconds between looks whether any version is to answer on the side."""

UNSTORED = 256
"""Answers that are remembered in memory until their recording is stored."""


@dataclass(frozen=True, eq=False)
class _Heard:
    audio: Audio
    answer: Recognition
    version: ModelVersion


class ShadowAnswers:
    """Answers beside the model in use, for all versions that `shadow_records` has open.

    Args:
        active: tells of answers, and loads versions.
        capacity: recordings that may wait.

    Attributes:
        left_out: recordings that came while too many waited.
    """

    def __init__(self, active: ActiveModel, *, capacity: int = CAPACITY) -> None:
        self.active = active
        self.store = active.store
        self.left_out = 0
        self._waiting: queue.Queue[_Heard | None] = queue.Queue(capacity)
        self._unstored: OrderedDict[int, str] = OrderedDict()
        self._recognizers: dict[tuple[int, ...], Recognizer] = {}
        self._looked = 0.0
        self._open: list[Shadow] = []
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        active.on_answer = self.offer

    def offer(self, audio: Audio, answer: Recognition, version: ModelVersion) -> None:
        """Note a recording that was answered; returns at once."""
        if not self._watched():
            return
        try:
            self._waiting.put_nowait(_Heard(audio, answer, version))
        except queue.Full:
            self.left_out += 1
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until all that was noted is answered."""
        self._waiting.join()

    def stop(self) -> None:
        """End the thread, after what waits."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join()

    def link_stored(self) -> None:
        """Name the clip of answers whose recording was stored after them."""
        if not self._unstored:
            return
        marks = ",".join("?" * len(self._unstored))
        with self.store.reading() as connection:
            rows = connection.execute(
                f"SELECT id, sha256 FROM clips WHERE sha256 IN ({marks})", [*self._unstored.values()]
            )
            stored = {row["sha256"]: row["id"] for row in rows}
        found = [(stored[sha256], answer_id) for answer_id, sha256 in self._unstored.items() if sha256 in stored]
        if found:
            with self.store.database.writing(durable=False) as connection:
                connection.executemany("UPDATE shadow_answers SET clip_id = ? WHERE id = ?", found)
            for _, answer_id in found:
                del self._unstored[answer_id]

    def _watched(self) -> bool:
        now = time.monotonic()
        if now - self._looked > LOOK_EVERY:
            self._looked = now
            self._open = open_shadows(self.store)
        return bool(self._open)

    def _run(self) -> None:
        while True:
            try:
                heard = self._waiting.get(timeout=LOOK_EVERY)
            except queue.Empty:
                self._try(self.link_stored)
                continue
            try:
                if heard is None:
                    return
                self._try(functools.partial(self._answer, heard))
                self._try(self.link_stored)
            finally:
                self._waiting.task_done()

    def _try(self, do: Callable[[], None]) -> None:
        # An answer on the side is never worth a disturbance of the page.
        try:
            do()
        except SerError as error:
            print(f"An answer on the side could not be given: {error}", file=sys.stderr)

    def _answer(self, heard: _Heard) -> None:
        for shadow in open_shadows(self.store):
            version = self.store.get_model_version(shadow.version_id)
            try:
                main, own = self._labels(version, heard)
            except ModelUnavailableError as error:
                end_shadow(self.store, version, str(error))
                continue
            with self.store.database.writing(durable=False) as connection:
                clip = connection.execute("SELECT id FROM clips WHERE sha256 = ?", (heard.audio.sha256,)).fetchone()
                cursor = connection.execute(
                    "INSERT INTO shadow_answers (shadow_id, main_version_id, clip_id, label, main_label, created_at) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (shadow.id, heard.version.id, clip["id"] if clip else None, own, main, timestamp()),
                )
            if clip is None:
                self._unstored[int(cursor.lastrowid or 0)] = heard.audio.sha256
                while len(self._unstored) > UNSTORED:
                    self._unstored.popitem(last=False)

    def _labels(self, version: ModelVersion, heard: _Heard) -> tuple[str, str]:
        """What the model in use says, and what the version does: of the sound alone where that is what it hears."""
        serving = self.active.serving()
        key = (version.id, *sorted(used.id for used in serving.versions.values()))
        if key not in self._recognizers:
            self._recognizers = {other: kept for other, kept in self._recognizers.items() if other[1:] == key[1:]}
            self._recognizers[key] = self.active.recognizer_of(version)
        recognizer = self._recognizers[key]
        if version.target == "acoustic":
            spoken = trim_to_speech(heard.audio, heard.answer.speech)
            return heard.answer.acoustic.label, recognizer.acoustic.classify(spoken).label
        return heard.answer.fused.label, recognizer.recognize(heard.audio).fused.label
