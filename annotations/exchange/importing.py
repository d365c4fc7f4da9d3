"""Recordings and votes into the store: each recording once, each vote once, the bad ones named and the rest stored.

Knows the store and the forms of `annotations.exchange.sources`; runs no model.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import ExchangeError
from annotations.exchange.sources import Incoming, find_recordings
from annotations.records import Clip
from annotations.rows import STANDING, normalise_timestamp
from annotations.store import AnnotationStore
from annotations.validation import MAX_NAME, check_consent
from annotations.writes import Grant, NewClip, NewVote, grant, insert_clip, insert_correction, insert_retraction
from ser.errors import SerError
from ser.labels import to_emotion
from ser.types import Audio

IMPORTER = "importer"
RATER_PREFIX = "import:"
"""Before the corpus's name: the rater that a corpus's own labels count as."""


@dataclass(frozen=True)
class ImportOptions:
    """How to import.

    Attributes:
        consent: purposes allowed for what carries no consent of its own.
        consent_by: who says so.
        labels: whether a table's label counts as a vote of the corpus.
        max_duration: seconds; longer recordings are refused. None for no limit but the decoder's own.
    """

    consent: tuple[str, ...] = ()
    consent_by: str = IMPORTER
    labels: bool = False
    max_duration: float | None = None


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        added: clips that are new to the store.
        known: recordings that were there before, or came twice.
        votes: votes added.
        failed: (file, reason) of what was not imported.
        unknown_labels: {label: clips} of labels that are none of ours; those clips are stored without a vote.
        unlisted: recordings left out because the table beside them does not name them.
        clip_ids: of every clip met, in order, each once.
    """

    added: int = 0
    known: int = 0
    votes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    unknown_labels: Counter[str] = field(default_factory=Counter)
    unlisted: int = 0
    clip_ids: dict[int, None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """As plain values for JSON."""
        return {
            "added": self.added,
            "known": self.known,
            "votes": self.votes,
            "failed": [{"file": name, "error": reason} for name, reason in self.failed],
            "unknown_labels": dict(self.unknown_labels),
            "unlisted": self.unlisted,
        }


Progress = Callable[[Sequence[Incoming]], Iterable[Incoming]]
"""Wraps the recordings to show how far the import is."""


def import_sources(
    store: AnnotationStore, sources: Sequence[Path], options: ImportOptions, progress: Progress = list
) -> ImportReport:
    """Import recordings, and the votes of own exports.

    Running it again after an interruption goes on where it stopped: what is stored is not stored twice. An own
    export brings its clips' consents, votes and times along unchanged.

    Args:
        store: to write to.
        sources: as in `find_recordings`.
        options: see there.
        progress: shows how far it is.

    Returns:
        What was done; a bad recording is named in it and does not stop the rest.

    Raises:
        ExchangeError: where a source as a whole cannot be read; nothing is stored then.
        ConsentRequiredError: where consent is missing for anything that carries none; nothing is stored then.
        StoreError: where the store cannot be written.
    """
    report = ImportReport()
    with ExitStack() as stack:
        found = [find_recordings(source, stack) for source in sources]
        incoming = [item for findings in found for item in findings.incoming]
        if options.consent or any(item.record is None for item in incoming):
            check_consent(options.consent)
        for findings in found:
            report.failed += findings.refused
            report.unlisted += findings.unlisted
        for item in progress(incoming):
            try:
                audio = item.place.decode(item.name, options.max_duration)
                clip, votes = _describe(item, audio, options, report)
            except SerError as error:
                report.failed.append((item.name, str(error)))
                continue
            _store(store, audio, clip, votes, report)
    return report


def _describe(
    item: Incoming, audio: Audio, options: ImportOptions, report: ImportReport
) -> tuple[NewClip, tuple[NewVote, ...]]:
    if item.record is not None:
        return _from_record(item.record, audio)
    fields = item.fields
    clip = NewClip(
        source=item.corpus,
        speaker=fields.get("speaker"),
        session=fields.get("session"),
        grants=grant(options.consent, options.consent_by),
    )
    label = fields.get("label")
    if not options.labels or label is None:
        return clip, ()
    emotion = to_emotion(label)
    if emotion is None:
        report.unknown_labels[label] += 1
        return clip, ()
    rater = f"{RATER_PREFIX}{item.corpus}"[:MAX_NAME]
    return clip, (NewVote(rater, "correct", emotion, transcript=fields.get("transcript")),)


def _from_record(record: Mapping[str, object], audio: Audio) -> tuple[NewClip, tuple[NewVote, ...]]:
    listed = record.get("sha256")
    if listed is not None and listed != audio.sha256:
        raise ExchangeError(
            "The recording is not the one that was annotated: its content differs from the table's sha256. "
            "Put the exported file back."
        )
    clip = NewClip(
        source=_text(record, "source") or "import",
        speaker=_text(record, "speaker"),
        session=_text(record, "session"),
        grants=tuple(
            Grant(_text(given, "purpose") or "", _text(given, "given_by"), _time(given, "created_at"))
            for given in _objects(record, "consents")
        ),
        created_at=_time(record, "created_at"),
    )
    votes = tuple(
        NewVote(
            rater=_text(vote, "rater") or "",
            verdict=_text(vote, "verdict") or "",
            label=_text(vote, "label"),
            intensity=vote.get("intensity"),  # type: ignore[arg-type]
            transcript=_text(vote, "transcript"),
            created_at=_time(vote, "created_at"),
            retracted_at=_time(vote, "retracted_at"),
        )
        for vote in _objects(record, "votes")
    )
    return clip, votes


def _store(store: AnnotationStore, audio: Audio, clip: NewClip, votes: Sequence[NewVote], report: ImportReport) -> None:
    def write(connection: sqlite3.Connection) -> tuple[Clip, bool, int]:
        known = connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (audio.sha256,)).fetchone() is not None
        stored = insert_clip(connection, audio, clip)
        return stored, known, sum(_add_vote(connection, stored.id, vote) for vote in votes)

    stored, known, added = store.write_clip(audio, write)
    report.known += known
    report.added += not known
    report.votes += added
    report.clip_ids[stored.id] = None


def _add_vote(connection: sqlite3.Connection, clip_id: int, vote: NewVote) -> bool:
    """Add a vote unless it is there; a corpus's label is there if the corpus said the same last time."""
    if vote.created_at is None:
        last = connection.execute(
            f"SELECT label FROM corrections WHERE clip_id = ? AND rater = ? AND {STANDING} ORDER BY id DESC LIMIT 1",
            (clip_id, vote.rater),
        ).fetchone()
        if last is not None and last["label"] == vote.label:
            return False
    else:
        same = connection.execute(
            "SELECT id, (SELECT retracted_at FROM correction_retractions WHERE correction_id = id) AS retracted_at "
            "FROM corrections WHERE clip_id = ? AND rater = ? AND created_at = ? AND verdict = ? AND label IS ?",
            (clip_id, vote.rater, vote.created_at, vote.verdict, vote.label),
        ).fetchone()
        if same is not None:
            if vote.retracted_at and same["retracted_at"] is None:
                insert_retraction(connection, same["id"], vote.retracted_at)
            return False
    insert_correction(connection, clip_id, vote)
    return True


def _text(record: Mapping[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ExchangeError(f"'{key}' is {value!r} in the table; expected text. Export it again.")
    return value


def _time(record: Mapping[str, object], key: str) -> str | None:
    text = _text(record, key)
    try:
        return normalise_timestamp(text) if text else None
    except (ValueError, OverflowError) as error:
        raise ExchangeError(f"'{key}' is '{text}' in the table; expected an ISO 8601 time. Export it again.") from error


def _objects(record: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ExchangeError(f"'{key}' is no list of objects in the table. Export it again.")
    return value
