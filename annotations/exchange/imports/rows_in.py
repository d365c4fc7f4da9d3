"""The rows of imported recordings: what a table or an own export says of them, written some at a time.

Knows the store's tables; reads no source.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from annotations.errors import ExchangeError
from annotations.exchange.imports.decoding import StoredRecording
from annotations.exchange.imports.incoming import Incoming, listed_purposes
from annotations.exchange.imports.labels_in import Labels, read_labels
from annotations.exchange.imports.options import IMPORTER, ImportOptions, ImportReport
from annotations.exchange.imports.restoring import OwnRecord, check_record, insert_row, restore_record
from annotations.store import AnnotationStore
from annotations.store.media import media_path, save_media
from annotations.store.new_records import MAX_SOURCE, Grant, NewClip, NewVote, check_name, check_transcript, grant
from annotations.store.rows import STANDING, insert_correction, timestamp, to_json

FILLED_IN = ("speaker", "session", "language", "transcript", "original_label", "original_name")
"""Columns of a clip that a later import may fill if nothing was known; none is overwritten."""


@dataclass(frozen=True)
class Prepared:
    """A recording on the disk with everything that will be written of it, checked.

    Attributes:
        item: what it was read from.
        clip: columns of the clip.
        grants: consent, for what is no own export.
        labels: of tables, as votes and as the known answer.
        own: the line of an own export.
    """

    item: Incoming
    recording: StoredRecording
    clip: Mapping[str, object]
    grants: tuple[Grant, ...] = ()
    labels: Labels = Labels()
    own: OwnRecord | None = None


def prepare(item: Incoming, recording: StoredRecording, options: ImportOptions, report: ImportReport) -> Prepared:
    """Check what a source says of a recording.

    Raises:
        SerError: if something of it cannot be stored.
    """
    if item.record is not None:
        own = check_record(item.record, recording.sha256, options.label_set.accepted, item.read_near)
        return Prepared(item, recording, own.clip, own=own)
    checked = NewClip(
        source=item.corpus,
        speaker=item.fact("speaker"),
        session=item.fact("session"),
        grants=grant(_purposes(item, options), options.consent_by, options.consent_wording),
    )
    labels = read_labels(item, options, report)
    clip = {
        "source": checked.source,
        "speaker": checked.speaker,
        "session": checked.session,
        "language": check_name("The language", item.fact("language")),
        "transcript": check_transcript(item.fact("transcript")),
        "original_label": labels.original,
        "original_name": printable_name(item.name),
    }
    return Prepared(item, recording, clip, checked.grants, labels)


def printable_name(name: str) -> str | None:
    r"""Shorten the name of a file, or its path in its folder, to its end, without characters that are no text.

    >>> printable_name("actor\n1/a.wav"), printable_name("\0")
    ('actor1/a.wav', None)
    """
    return "".join(one for one in name if one.isprintable())[-MAX_SOURCE:].strip() or None


def _purposes(item: Incoming, options: ImportOptions) -> tuple[str, ...]:
    return listed_purposes(item.fact("consent")) or options.consent


def write_prepared(store: AnnotationStore, batch: Sequence[Prepared], report: ImportReport) -> None:
    """Write the rows of some recordings in one transaction; one that the tables refuse is named, the rest stay.

    Raises:
        StoreError: if the disk is full or refuses; nothing of the batch is stored then.
    """
    outcomes: list[tuple[int, bool, int, int] | str] = []
    with store.database.writing() as connection:
        for prepared in batch:
            connection.execute("SAVEPOINT clip")
            try:
                _keep_media(store, prepared.recording)
                outcomes.append(_write(connection, prepared))
            except (ExchangeError, sqlite3.IntegrityError) as error:
                connection.execute("ROLLBACK TO clip")
                outcomes.append(str(error))
            connection.execute("RELEASE clip")
    for prepared, outcome in zip(batch, outcomes, strict=True):
        if isinstance(outcome, str):
            report.failed.append((prepared.item.name, f"The store refuses what is said of it ({outcome})."))
            continue
        clip_id, new, votes, answers = outcome
        report.added += new
        report.known += not new
        report.votes += votes
        report.predictions += answers
        report.gold += prepared.labels.gold is not None
        report.speakers[str(prepared.clip.get("speaker") or "")] += 1
        report.clip_ids[clip_id] = None


def discard_unused(store: AnnotationStore, hashes: Collection[str]) -> None:
    """Delete recordings that no row came to; what an import leaves that is stopped or fails."""
    for sha256 in hashes:
        with store.database.writing() as connection:
            if connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (sha256,)).fetchone() is None:
                (store.data_dir / media_path(sha256)).unlink(missing_ok=True)


def _keep_media(store: AnnotationStore, recording: StoredRecording) -> None:
    # Under the write lock nobody removes files; what a repair or an erasure removed just before is written again.
    if recording.audio is not None:
        save_media(store.data_dir, recording.audio)
    elif not (store.data_dir / media_path(recording.sha256)).is_file():
        raise ExchangeError("its recording was removed meanwhile; import it again")


def _write(connection: sqlite3.Connection, prepared: Prepared) -> tuple[int, bool, int, int]:
    recording = prepared.recording
    row = connection.execute("SELECT * FROM clips WHERE sha256 = ?", (recording.sha256,)).fetchone()
    if row is None:
        clip = {name: value for name, value in prepared.clip.items() if value is not None}
        clip |= {"sha256": recording.sha256, "duration": recording.duration}
        clip.setdefault("created_at", timestamp())
        clip_id = insert_row(connection, "clips", clip)
    else:
        clip_id = row["id"]
        for name in FILLED_IN:
            if row[name] is None and prepared.clip.get(name) is not None:
                connection.execute(f"UPDATE clips SET {name} = ? WHERE id = ?", (prepared.clip[name], clip_id))
    if recording.fingerprint:
        values = (recording.fingerprint, clip_id, timestamp())
        connection.execute("INSERT OR IGNORE INTO imported_files VALUES (?, ?, ?)", values)
    connection.execute("DELETE FROM missing_media WHERE clip_id = ?", (clip_id,))
    if prepared.own is not None:
        restored = restore_record(connection, clip_id, prepared.own)
        return clip_id, row is None, restored.votes, restored.predictions
    _add_consent(connection, clip_id, prepared)
    votes = sum(_add_vote(connection, clip_id, vote) for vote in prepared.labels.votes)
    if prepared.labels.gold is not None:
        by = prepared.labels.votes[0].rater if prepared.labels.votes else IMPORTER
        _mark_gold(connection, clip_id, prepared.labels.gold, by)
    return clip_id, row is None, votes, 0


def _add_consent(connection: sqlite3.Connection, clip_id: int, prepared: Prepared) -> None:
    in_force = connection.execute("SELECT purpose FROM consents_in_force WHERE clip_id = ?", (clip_id,))
    given = {row["purpose"] for row in in_force}
    connection.executemany(
        "INSERT INTO consents (clip_id, purpose, given_by, wording, created_at) VALUES (?, ?, ?, ?, ?)",
        [
            (clip_id, new.purpose, new.given_by, new.wording, timestamp())
            for new in prepared.grants
            if new.purpose not in given
        ],
    )


def _add_vote(connection: sqlite3.Connection, clip_id: int, vote: NewVote) -> bool:
    """Add a vote unless it is there: of that time, or if it has none, as the last that stands."""
    where = f"clip_id = ? AND rater = ? AND {STANDING}"
    values: tuple[object, ...] = (clip_id, vote.rater)
    if vote.created_at:
        where, values = "clip_id = ? AND rater = ? AND created_at = ?", (*values, vote.created_at)
    last = connection.execute(
        f"SELECT verdict, label, distribution FROM corrections WHERE {where} ORDER BY id DESC LIMIT 1", values
    ).fetchone()
    shares = to_json(vote.distribution) if vote.distribution else None
    if last is not None and (last["label"], last["distribution"]) == (vote.label, shares):
        if vote.label is not None or last["verdict"] == vote.verdict:
            return False
    insert_correction(connection, clip_id, vote)
    return True


def _mark_gold(connection: sqlite3.Connection, clip_id: int, label: str, by: str) -> None:
    """Let a corpus's label be the known answer, unless it is that already."""
    last = connection.execute(
        "SELECT label FROM gold_marks WHERE clip_id = ? ORDER BY id DESC LIMIT 1", (clip_id,)
    ).fetchone()
    if last is None or last["label"] != label:
        row = {"clip_id": clip_id, "label": label, "marked_by": by, "created_at": timestamp()}
        insert_row(connection, "gold_marks", row)
