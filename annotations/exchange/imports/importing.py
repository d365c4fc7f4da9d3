"""Recordings and votes into the store: each recording once, each vote once, the bad ones named and the rest stored.

Knows the store and the forms of `annotations.exchange.imports.sources`; runs no model.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from annotations.exchange.imports.decoding import Outcome, StoredRecording, store_recordings
from annotations.exchange.imports.incoming import Findings, Incoming
from annotations.exchange.imports.options import ImportOptions, ImportProgress, ImportReport, OnProgress, ShouldStop
from annotations.exchange.imports.rows_in import Prepared, discard_unused, prepare, write_prepared
from annotations.exchange.imports.sources import find_recordings
from annotations.store import AnnotationStore
from annotations.store.database import plain_os_errors
from annotations.store.erasure_log import was_erased
from annotations.store.new_records import check_consent, check_rater
from annotations.store.rows import timestamp
from ser.errors import SerError

__all__ = ["ImportOptions", "ImportProgress", "ImportReport", "import_sources"]

BATCH = 50
"""Clips a transaction: few enough that a vote on the page does not wait, many enough that the disk is not the limit."""


def import_sources(
    store: AnnotationStore,
    sources: Sequence[Path | str],
    options: ImportOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> ImportReport:
    """Import recordings, and all that own exports say of them.

    Running it again after an interruption goes on where it stopped: what is stored is not stored twice, and
    what was decoded is not decoded again. An own export brings its clips' consents, answers, votes and times
    along unchanged.

    Args:
        store: to write to; others may write meanwhile.
        sources: as in `find_recordings`.
        options: see there.
        on_progress: called after every recording, from this thread.
        should_stop: asked after every recording; what was imported so far stays.

    Returns:
        What was done; a bad recording is named in it and does not stop the rest.

    Raises:
        ExchangeError: if a source as a whole cannot be read; nothing is stored then.
        ConsentRequiredError: if consent is missing for anything that carries none; nothing is stored then.
        StoreError: if the store cannot be written; what was imported before stays.
    """
    options = options or ImportOptions()
    if options.labels_as:
        check_rater(options.labels_as)
    report = ImportReport()
    with ExitStack() as stack:
        found = [(str(source), find_recordings(source, stack, options)) for source in sources]
        needing = [item for _, findings in found for item in findings.incoming if not item.brings_consent]
        if options.consent or needing:
            check_consent(options.consent)
        _Import(store, options, report, found, on_progress, should_stop).run()
    return report


class _Import:
    """One import on its way through its sources."""

    def __init__(
        self,
        store: AnnotationStore,
        options: ImportOptions,
        report: ImportReport,
        found: Sequence[tuple[str, Findings]],
        on_progress: OnProgress | None,
        should_stop: ShouldStop | None,
    ) -> None:
        self._store = store
        self._options = options
        self._report = report
        self._found = found
        self._on_progress = on_progress
        self._should_stop = should_stop or (lambda: False)
        self._total = sum(len(findings.incoming) for _, findings in found)
        self._done = 0
        self._met: set[str] = set()
        self._written: set[str] = set()
        self._batch: list[Prepared] = []

    def run(self) -> None:
        """Import every source."""
        for name, findings in self._found:
            before = _finished(self._store, name)
            if before:
                self._report.finished_before[name] = before
            self._report.failed += findings.refused
            self._report.unlisted += len(findings.unlisted)
            self._report.unlisted_names += findings.unlisted
            self._report.notes += findings.notes
            number = self._begin(name)
            try:
                with plain_os_errors(self._store.data_dir):
                    self._import(findings)
                self._flush()
            finally:
                # Of recordings that were refused, or not come to: what was stored is not among them.
                discard_unused(self._store, self._written)
                self._written.clear()
            if self._report.stopped:
                return
            self._end(number)

    def _import(self, findings: Findings) -> None:
        options = self._options
        recordings = store_recordings(
            self._store, findings.incoming, options.max_duration, options.workers, self._written
        )
        with closing(recordings):
            self._take(recordings)

    def _take(self, recordings: Iterable[tuple[Incoming, Outcome]]) -> None:
        for item, outcome in recordings:
            self._done += 1
            if isinstance(outcome, SerError):
                self._report.failed.append((item.name, str(outcome)))
            else:
                self._add(item, outcome)
            if len(self._batch) >= BATCH:
                self._flush()
            if self._on_progress is not None:
                progress = ImportProgress(
                    self._done, self._total, item.name, self._report.added, len(self._report.failed)
                )
                self._on_progress(progress)
            if self._should_stop():
                self._report.stopped = True
                return

    def _add(self, item: Incoming, recording: StoredRecording) -> None:
        if recording.written:
            self._written.add(recording.sha256)
        if not self._options.readmit and was_erased(self._store, recording.sha256):
            self._report.erased += 1
            return
        try:
            self._batch.append(prepare(item, recording, self._options, self._report))
        except SerError as error:
            self._report.failed.append((item.name, str(error)))
            return
        self._report.duplicates += recording.sha256 in self._met
        self._met.add(recording.sha256)

    def _flush(self) -> None:
        if self._batch:
            write_prepared(self._store, self._batch, self._report)
            self._written.difference_update(prepared.recording.sha256 for prepared in self._batch)
            self._batch = []

    def _begin(self, name: str) -> int:
        with self._store.database.writing() as connection:
            cursor = connection.execute("INSERT INTO imports (source, started_at) VALUES (?, ?)", (name, timestamp()))
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def _end(self, number: int) -> None:
        counts = {name: value for name, value in self._report.as_dict().items() if isinstance(value, int)}
        counts["failed"] = len(self._report.failed)
        with self._store.database.writing() as connection:
            connection.execute(
                "UPDATE imports SET counts = ?, finished_at = ? WHERE id = ?", (json.dumps(counts), timestamp(), number)
            )


def _finished(store: AnnotationStore, name: str) -> str | None:
    """Return when a source was imported whole before; None if never."""
    with store.reading() as connection:
        row: sqlite3.Row = connection.execute(
            "SELECT max(finished_at) AS at FROM imports WHERE source = ?", (name,)
        ).fetchone()
    at: str | None = row["at"]
    return at
