"""Saves a store elsewhere in the background, on a thread of its own that blocks nobody."""

import random
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from annotations.elsewhere import journal
from annotations.elsewhere.copying import Copier
from annotations.elsewhere.layout import FRAGMENTS, SNAPSHOTS
from annotations.elsewhere.lease import HEARTBEAT
from annotations.elsewhere.places import Place, open_place
from annotations.elsewhere.restoring import RestoreReport, holds_store, is_empty, take_over
from annotations.errors import ElsewhereError, MovedOnError, TakenOverError
from annotations.store import AnnotationStore
from annotations.store.rows import timestamp
from ser.errors import SerError

WINDOW = 60.0
"""Seconds that an acknowledged change may have to wait until it is safe elsewhere."""

EARLY = 2 / 3
"""Share of the window after which a save begins: the rest is for the transfer."""

POLL = (0.05, 1.0)
"""Least and most seconds between looks at the journal, which are a twentieth of the window."""

SNAPSHOT_EVERY = 6 * 3600.0
"""Seconds between snapshots of a store that changes."""

MOST_FRAGMENTS = 300
"""Fragments after which a snapshot is made: each costs a request when the store is restored."""

LONGEST_PAUSE = 300.0
"""Seconds between tries while the place is out of reach."""

FINISHING = 30.0
"""Seconds that an erasure in progress may take before what is left of the rows is saved."""

FINISHING_TRIES = 3
"""Tries at the end, when there is no time for pauses."""

START_PATIENCE = 120.0
"""Seconds that a start on an empty disk waits for a place that is out of reach."""


@dataclass(frozen=True)
class SaveStatus:
    """State of the saving, for the page and for metrics.

    Attributes:
        url: of the place, without secrets.
        saved_at: when everything up to then was safe elsewhere, ISO 8601, UTC; None before the first save.
        age: seconds since then; None likewise.
        waiting: changes that are not safe yet.
        failures: tries that failed since the last one that succeeded.
        retries: tries that failed since the start.
        error: why the last try failed; None if it succeeded.
        snapshot_at: when the last snapshot of this process was made; None if there was none.
        fragments: that lie there.
        taken_over: whether another program writes there now, and nothing more is saved from here.
    """

    url: str
    saved_at: str | None = None
    age: float | None = None
    waiting: int = 0
    failures: int = 0
    retries: int = 0
    error: str | None = None
    snapshot_at: str | None = None
    fragments: int = 0
    taken_over: bool = False


class Saver:
    """Saves from `start` to `stop`.

    Args:
        store: to save.
        place: where to.
        window: seconds that a change may wait.
    """

    def __init__(self, store: AnnotationStore, place: Place, *, window: float = WINDOW) -> None:
        self.store = store
        self.place = place
        self.window = window
        self._poll = min(max(window / 20, POLL[0]), POLL[1])
        self._copier = Copier(store, place)
        self._status = SaveStatus(place.url)
        self._saved = self._beat = self._shot = self._since = time.monotonic()
        self._schema: int | None = None
        self._joined = self._dirty = self._left = False
        self._stop, self._asked, self._wake = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="saver", daemon=True)

    def start(self) -> "Saver":
        """Join the place now if it can be reached, else as soon as it can; then save in the background.

        Raises:
            TakenOverError: if another program writes there.
            StoreError: if it holds another store, or a newer state of this one, or cannot be reached and was never
                written to from this disk.
        """
        try:
            self._join()
        except ElsewhereError as error:
            with self.store.reading() as connection:
                known = journal.read_state(connection).get("url") == self.place.url
            if not known:
                raise
            journal.begin_journal(self.store)
            self._fail(error)
        self._thread.start()
        return self

    def stop(self, patience: float = 25.0) -> None:
        """Save what waits, then a snapshot, and let go of the place.

        Args:
            patience: seconds to wait for that; changes go first, so that a snapshot that takes longer loses nothing.
        """
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=patience)

    def ask(self) -> None:
        """Save now instead of when the window calls for it."""
        self._asked.set()
        self._wake.set()

    def status(self) -> SaveStatus:
        """The state of the saving; costs one look at the database."""
        with self.store.reading() as connection:
            waiting = journal.count_waiting(connection)
        age = None if self._status.saved_at is None else time.monotonic() - self._saved
        return replace(self._status, waiting=waiting, age=age, fragments=self._copier.fragments())

    def _run(self) -> None:
        while not self._stop.is_set():
            pause = self._attempt(self._tend)
            self._wake.wait(pause)
            self._wake.clear()
        for _ in range(FINISHING_TRIES):
            if not (self._left or self._status.taken_over):
                self._attempt(self._finish)

    def _attempt(self, act: Callable[[], None]) -> float:
        """Do something that may fail; returns the seconds to wait before the next try."""
        try:
            act()
            return self._poll
        except TakenOverError as error:
            self._status = replace(self._status, error=str(error), taken_over=True)
            print(error, file=sys.stderr, flush=True)
            self._stop.set()
            return 0.0
        except MovedOnError:
            return self._poll
        except SerError as error:
            return self._fail(error)
        except Exception as error:  # The thread must outlive a mistake: what waits is in the journal.
            traceback.print_exc()
            return self._fail(error)

    def _tend(self) -> None:
        if not self._joined:
            self._join()
        now = time.monotonic()
        with self.store.reading() as connection:
            schema = connection.execute("PRAGMA schema_version").fetchone()[0]
            kept = schema == self._schema or journal.is_kept(connection)
            self._schema = schema
            waiting = journal.count_waiting(connection) > 0
            erased = journal.holds_erasure(connection)
            erasing = connection.execute("SELECT 1 FROM erasures WHERE pending IS NOT NULL").fetchone() is not None
            due = "due" in journal.read_state(connection)
        if not kept:
            journal.begin_journal(self.store)
            due = True
        if not waiting:
            self._since = now
        waited = now - self._since
        asked = self._asked.is_set()
        if erased and erasing and waited < FINISHING:  # Its own notes hold names until it is done.
            return
        old = self._dirty and now - self._shot > SNAPSHOT_EVERY
        if old or self._copier.fragments() >= MOST_FRAGMENTS:
            self._save(snapshot=True)
        elif due or erased or (waiting and (asked or waited >= EARLY * self.window)):
            self._save()
        elif now - self._beat > HEARTBEAT:
            self._copier.greet()
            self._succeed()
        self._asked.clear()

    def _save(self, *, snapshot: bool = False) -> None:
        start, moment = time.monotonic(), timestamp()
        saved = self._copier.save(snapshot=snapshot)
        if saved is None:
            return
        self._dirty = saved == FRAGMENTS
        if saved == SNAPSHOTS:
            self._shot = start
            self._status = replace(self._status, snapshot_at=moment)
        self._saved = self._since = start
        self._status = replace(self._status, saved_at=moment)
        self._succeed()

    def _finish(self) -> None:
        if not self._joined:
            self._join()
        with self.store.reading() as connection:
            waiting = journal.count_waiting(connection) > 0
        if waiting:
            self._save()
        if self._dirty:
            self._save(snapshot=True)
        self._copier.leave()
        self._left = True

    def _join(self) -> None:
        self._copier.join()
        self._joined = True
        # Fragments of an earlier life make a snapshot worth while.
        self._dirty = self._copier.fragments() > 0
        with self.store.reading() as connection:
            whole = not journal.count_waiting(connection) and "due" not in journal.read_state(connection)
        if whole:
            self._saved, self._status = time.monotonic(), replace(self._status, saved_at=timestamp())
        self._succeed()

    def _succeed(self) -> None:
        self._beat = time.monotonic()
        self._status = replace(self._status, failures=0, error=None)

    def _fail(self, error: Exception) -> float:
        failures = self._status.failures + 1
        said = str(error) or type(error).__name__
        if failures == 1:
            print(f"Saving elsewhere: {said} It is tried again.", file=sys.stderr, flush=True)
        self._status = replace(self._status, error=said, failures=failures, retries=self._status.retries + 1)
        asked = getattr(error, "retry_after", None) or 0.0
        return max(asked, min(self._poll * 2.0**failures, LONGEST_PAUSE) * random.uniform(0.5, 1.0))


def connect(url: str, data_dir: Path, *, say: Callable[[str], None] = print) -> tuple[Place, RestoreReport | None]:
    """Find the store elsewhere, and rebuild it here if this disk is empty; before anything opens the store.

    Args:
        url: as `open_place` takes it.
        data_dir: the store's folder.
        say: is told about the steps.

    Returns:
        The place for a `Saver`, and what was restored; None if there was nothing to restore or nothing was needed.

    Raises:
        StoreError: if the disk is empty and the place is out of reach, held by another program or damaged.
        SettingsError: if there is no such place.
    """
    place = open_place(url)
    if not is_empty(data_dir):
        return place, None
    end, pause = time.monotonic() + START_PATIENCE, 1.0
    while True:
        try:
            return place, take_over(place, data_dir, say=say) if holds_store(place) else None
        except ElsewhereError as error:
            # An empty page would be worse than none: people would vote into a store that is lost.
            if time.monotonic() + pause > end:
                raise
            say(f"{error} Trying again in {pause:.0f} s.")
            time.sleep(pause)
            pause = min(2 * pause, 30.0)
