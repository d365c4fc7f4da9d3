"""Recordings read, decoded and put on the disk by several threads, handed on one by one in their order.

Decoders, hashes and file writes let other threads run, so that two cores are kept busy without further processes.
Writes recordings; writes no row.
"""

import os
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from annotations.errors import ExchangeError
from annotations.exchange.imports.incoming import Incoming
from annotations.store import AnnotationStore
from annotations.store.media import media_path, save_media
from ser.errors import AudioError
from ser.types import Audio

MAX_WORKERS = 4
AHEAD = 16
"""Recordings in flight: enough to keep the threads busy, few enough for the memory."""


@dataclass(frozen=True)
class StoredRecording:
    """A recording whose file is on the disk.

    Attributes:
        sha256: of the decoded signal.
        duration: seconds.
        fingerprint: hash of the bytes it was decoded from.
        written: whether its file is new.
        audio: the signal; None if the bytes were known and nothing was decoded.
    """

    sha256: str
    duration: float
    fingerprint: str
    written: bool = False
    audio: Audio | None = None


Outcome = StoredRecording | AudioError | ExchangeError


def store_recordings(
    store: AnnotationStore,
    incoming: Iterable[Incoming],
    max_duration: float | None,
    workers: int = 0,
    abandoned: set[str] | None = None,
) -> Generator[tuple[Incoming, Outcome], None, None]:
    """Read recordings and put them on the disk.

    Args:
        store: whose folder takes the files, and which knows what was decoded before.
        incoming: what to read.
        max_duration: seconds; longer ones are refused.
        workers: threads; 0 for one a core.
        abandoned: takes the hashes of recordings that were written and not handed on, where this is closed early.

    Yields:
        Each recording with where it is stored, or why it cannot be, in their order.

    Raises:
        OSError: if the disk is full or refuses.
    """

    def work(item: Incoming) -> Outcome:
        try:
            return store_recording(store, item, max_duration)
        except (AudioError, ExchangeError) as error:
            return error

    flying: deque[tuple[Incoming, Future[Outcome]]] = deque()
    with ThreadPoolExecutor(workers or min(MAX_WORKERS, os.cpu_count() or 1), "import") as pool:
        try:
            for item in incoming:
                flying.append((item, pool.submit(work, item)))
                if len(flying) >= AHEAD:
                    first, future = flying.popleft()
                    yield first, future.result()
            while flying:
                first, future = flying.popleft()
                yield first, future.result()
        finally:
            for _, future in flying:
                # Nobody knows yet of one that failed, nor needs to: the error that ended this is the one to report.
                if not future.cancel() and abandoned is not None and future.exception() is None:
                    outcome = future.result()
                    if isinstance(outcome, StoredRecording) and outcome.written:
                        abandoned.add(outcome.sha256)


def store_recording(store: AnnotationStore, item: Incoming, max_duration: float | None) -> StoredRecording:
    """Read one recording and put it on the disk, unless its bytes were decoded before.

    Raises:
        AudioError: if it is no usable recording.
        ExchangeError: if it cannot be read at all.
        OSError: if the disk is full or refuses.
    """
    if item.sha256 is not None:
        return _stored_before(store, item.sha256)
    fetched = item.place.fetch(item.name)
    with store.reading() as connection:
        row = connection.execute(
            "SELECT sha256, duration FROM imported_files JOIN clips ON clips.id = clip_id WHERE fingerprint = ?",
            (fetched.fingerprint,),
        ).fetchone()
    # A longer limit may have let in before what this one refuses: then the decoder says so.
    within = row is not None and (max_duration is None or row["duration"] <= max_duration)
    if within and (store.data_dir / media_path(row["sha256"])).is_file():
        return StoredRecording(row["sha256"], row["duration"], fetched.fingerprint)
    audio = fetched.decode(max_duration)
    written = save_media(store.data_dir, audio)
    return StoredRecording(audio.sha256, audio.duration, fetched.fingerprint, written, audio)


def _stored_before(store: AnnotationStore, sha256: str) -> StoredRecording:
    with store.reading() as connection:
        row = connection.execute("SELECT duration FROM clips WHERE sha256 = ?", (sha256,)).fetchone()
    if row is None:
        raise ExchangeError(
            f"The table names the recording {sha256[:12]}... by its hash; it is neither in the table's folder nor in "
            "the store. Import the recordings first."
        )
    return StoredRecording(sha256, row["duration"], "")
