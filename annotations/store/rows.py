"""Rows to records and records to rows, within a transaction that the caller holds; opens no connection."""

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

from annotations.errors import ClipNotFoundError, StoreError, VersionNotFoundError
from annotations.masking import mask, mask_transcripts, masking_in_force
from annotations.store.embeddings import insert_embedding
from annotations.store.faces import insert_face
from annotations.store.media import media_path
from annotations.store.new_records import NewClip, NewVersion, NewVote
from annotations.store.records import CONSENT_PURPOSES, Clip, Correction, ModelVersion, Prediction, TrainingRun
from ser.serialization import recognition_to_dict
from ser.types import Audio, Recognition

Record = TypeVar("Record", bound=Any)

CLIPS = """
SELECT clips.*,
    (SELECT group_concat(purpose) FROM consents_in_force AS given WHERE given.clip_id = clips.id) AS consent
FROM clips
"""
"""Columns of a `Clip`; add a WHERE."""

CORRECTIONS = """
SELECT corrections.*, correction_retractions.retracted_at
FROM corrections LEFT JOIN correction_retractions ON correction_retractions.correction_id = corrections.id
"""
"""Columns of a `Correction`; add a WHERE."""

JSON_COLUMNS = frozenset({"scores", "details", "distribution", "metrics", "lineage", "config", "counts"})
"""Columns that hold JSON, in all tables."""

FLAGS = frozenset({"answer_shown", "overrides"})
"""Columns that hold 0 or 1 for false and true."""

STANDING = "NOT EXISTS (SELECT 1 FROM correction_retractions WHERE correction_id = corrections.id)"
"""True of a vote that was not taken back."""


def timestamp() -> str:
    """The time now in ISO 8601, UTC, with microseconds: fixed in width, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def normalise_timestamp(text: str) -> str:
    """Bring a foreign time stamp into the form of `timestamp`; one without a zone counts as UTC.

    Raises:
        ValueError: if the text is no ISO 8601 time.

    >>> normalise_timestamp("2026-01-02T03:04:05+01:00")
    '2026-01-02T02:04:05.000000+00:00'
    """
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")


def to_json(value: Mapping[str, object]) -> str:
    """A mapping as compact JSON text, keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def to_record(row: sqlite3.Row, kind: type[Record], **others: object) -> Record:
    """Make a record of a row whose columns are named as its fields.

    Args:
        row: may have further columns; those of `JSON_COLUMNS` and of `FLAGS` are converted.
        kind: a dataclass.
        others: fields that are no column.
    """
    values = {name: row[name] for name in row.keys() if name in kind.__dataclass_fields__}  # noqa: SIM118
    values |= {name: json.loads(values[name]) for name in JSON_COLUMNS & values.keys() if values[name] is not None}
    values |= {name: bool(values[name]) for name in FLAGS & values.keys() if values[name] is not None}
    return kind(**values | others)


def to_clip(row: sqlite3.Row) -> Clip:
    """Convert a row of `CLIPS`."""
    given = set((row["consent"] or "").split(","))
    consent = tuple(purpose for purpose in CONSENT_PURPOSES if purpose in given)
    return to_record(row, Clip, path=media_path(row["sha256"]).as_posix(), consent=consent)


def to_prediction(row: sqlite3.Row) -> Prediction:
    """Convert a row of the table `predictions`."""
    return to_record(row, Prediction)


def to_correction(row: sqlite3.Row) -> Correction:
    """Convert a row of `CORRECTIONS`."""
    return to_record(row, Correction)


def to_model_version(row: sqlite3.Row) -> ModelVersion:
    """Convert a row of the table `model_versions`."""
    return to_record(row, ModelVersion)


def to_training_run(row: sqlite3.Row) -> TrainingRun:
    """Convert a row of the table `training_runs`."""
    return to_record(row, TrainingRun)


def insert_row(connection: sqlite3.Connection, table: str, **values: object) -> int:
    """Add a row; returns its id. Mappings are stored as JSON.

    Args:
        connection: in a transaction.
        table: of the row.
        values: {column: value}.
    """
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    cursor = connection.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({marks})",
        [to_json(value) if isinstance(value, Mapping) else value for value in values.values()],
    )
    return cursor.lastrowid or 0


def read_clip(connection: sqlite3.Connection, clip_id: int) -> Clip:
    """One clip.

    Raises:
        ClipNotFoundError: if there is none with that id.
    """
    row = connection.execute(f"{CLIPS} WHERE clips.id = ?", (clip_id,)).fetchone()
    if row is None:
        raise ClipNotFoundError(f"There is no clip {clip_id}. It may have been erased; choose another.")
    return to_clip(row)


def insert_clip(connection: sqlite3.Connection, audio: Audio, clip: NewClip) -> Clip:
    """Add a clip, or what is new about one that is there: a speaker, a session, consent to more."""
    now, parent = clip.created_at or timestamp(), clip.parent
    lies = (parent.sha256, parent.start, parent.end) if parent is not None else (None, None, None)
    connection.execute(
        "INSERT INTO clips (sha256, duration, speaker, session, language, source, created_at, parent_sha256, "
        "parent_start, parent_end) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (sha256) DO UPDATE SET speaker = coalesce(clips.speaker, excluded.speaker), "
        "session = coalesce(clips.session, excluded.session), language = coalesce(clips.language, excluded.language) "
        "WHERE (clips.speaker IS NULL AND excluded.speaker IS NOT NULL) "
        "OR (clips.session IS NULL AND excluded.session IS NOT NULL) "
        "OR (clips.language IS NULL AND excluded.language IS NOT NULL)",
        (audio.sha256, audio.duration, clip.speaker, clip.session, clip.language, clip.source, now, *lies),
    )
    clip_id = connection.execute("SELECT id FROM clips WHERE sha256 = ?", (audio.sha256,)).fetchone()["id"]
    in_force = connection.execute("SELECT purpose FROM consents_in_force WHERE clip_id = ?", (clip_id,))
    given = {row["purpose"] for row in in_force}
    connection.executemany(
        "INSERT INTO consents (clip_id, purpose, given_by, wording, created_at) VALUES (?, ?, ?, ?, ?)",
        [
            (clip_id, new.purpose, new.given_by, new.wording, new.created_at or now)
            for new in clip.grants
            if new.purpose not in given
        ],
    )
    if clip.face is not None:
        insert_face(connection, clip_id, clip.face, now)
    return read_clip(connection, clip_id)


def insert_prediction(
    connection: sqlite3.Connection, clip_id: int, recognition: Recognition, model_version_id: int
) -> Prediction:
    """Add what a model answered, and the embedding that the answer came from.

    Raises:
        VersionNotFoundError: if there is no such model version.
    """
    require_version(connection, model_version_id)
    text = recognition.text
    scores: Mapping[str, object] = {
        "fused": recognition.fused.as_dict(),
        "acoustic": recognition.acoustic.as_dict(),
        "text": text.as_dict() if text else None,
    }
    details = {key: value for key, value in recognition_to_dict(recognition).items() if key != "file"}
    said = recognition.transcript.text if recognition.transcript else None
    if masking_in_force(connection) == "store":
        details, said = mask_transcripts(details), mask(said) if said else said
    words = text.over_labels_of(recognition.acoustic)[0] if text else None
    prediction_id = insert_row(
        connection,
        "predictions",
        clip_id=clip_id,
        model_version_id=model_version_id,
        label=recognition.fused.label,
        scores=scores,
        entropy=min(max(recognition.fused.entropy, 0.0), 1.0),
        margin=margin(recognition.fused.as_dict()),
        disagreement=disagreement(recognition.acoustic.as_dict(), words.as_dict()) if words else None,
        transcript=said,
        details=details,
        created_at=timestamp(),
    )
    if recognition.embedding is not None:
        insert_embedding(connection, clip_id, recognition.embedding)
    return to_prediction(connection.execute("SELECT * FROM predictions WHERE id = ?", (prediction_id,)).fetchone())


def insert_correction(
    connection: sqlite3.Connection, clip_id: int, vote: NewVote, prediction_id: int | None = None
) -> Correction:
    """Add a vote.

    Raises:
        StoreError: if the prediction is another clip's, or the vote would replace one that it may not.
    """
    if not vote.may_replace:
        standing = "SELECT 1 FROM judgements WHERE clip_id = ? AND rater = ? AND verdict IS NOT NULL"
        if connection.execute(standing, (clip_id, vote.rater)).fetchone():
            raise StoreError(
                f"{vote.rater} has voted on clip {clip_id}, and nothing proves that it was you: the vote stays. Vote "
                "under another name, or get a key from /register first and send it as the header X-Rater-Key."
            )
    if prediction_id is not None:
        row = connection.execute("SELECT clip_id FROM predictions WHERE id = ?", (prediction_id,)).fetchone()
        if row is None or row["clip_id"] != clip_id:
            raise StoreError(f"Prediction {prediction_id} is none of clip {clip_id}. Load the clip again and vote.")
    said = {name: value for name, value in asdict(vote).items() if name not in ("retracted_at", "may_replace")}
    if vote.transcript and masking_in_force(connection) == "store":
        said["transcript"] = mask(vote.transcript)
    said["created_at"] = vote.created_at or _after_last_vote(connection, vote.rater)
    correction_id = insert_row(connection, "corrections", clip_id=clip_id, prediction_id=prediction_id, **said)
    if vote.retracted_at:
        insert_retraction(connection, correction_id, vote.retracted_at)
    return read_correction(connection, correction_id)


def read_correction(connection: sqlite3.Connection, correction_id: int) -> Correction:
    """One vote that is known to exist."""
    return to_correction(connection.execute(f"{CORRECTIONS} WHERE corrections.id = ?", (correction_id,)).fetchone())


def insert_retraction(connection: sqlite3.Connection, correction_id: int, retracted_at: str) -> None:
    """Mark a vote as taken back; the vote itself stays."""
    connection.execute("INSERT INTO correction_retractions VALUES (?, ?)", (correction_id, retracted_at))


def require_version(connection: sqlite3.Connection, version_id: int) -> sqlite3.Row:
    """The row of a model version.

    Raises:
        VersionNotFoundError: if there is none with that id.
    """
    row: sqlite3.Row | None = connection.execute("SELECT * FROM model_versions WHERE id = ?", (version_id,)).fetchone()
    if row is None:
        raise VersionNotFoundError(f"There is no model version {version_id}. Choose one of the list of versions.")
    return row


def insert_version(connection: sqlite3.Connection, version: NewVersion, target: str = "acoustic") -> int:
    """Add a model version; its name must be new. Returns its id."""
    if connection.execute("SELECT 1 FROM model_versions WHERE name = ?", (version.name,)).fetchone():
        raise StoreError(f"A model version named '{version.name}' exists already. Give the new one another name.")
    return insert_row(
        connection,
        "model_versions",
        name=version.name,
        sha256=version.sha256,
        path=version.path or None,
        training_run_id=version.run_id,
        metrics=version.metrics,
        target=target,
        parent_id=version.parent_id,
        lineage=version.lineage,
        created_at=timestamp(),
    )


def insert_promotion(
    connection: sqlite3.Connection,
    version_id: int,
    by: str,
    reason: str,
    *,
    overrides: bool = False,
    rolls_back: int | None = None,
) -> None:
    """Promote a version.

    Args:
        connection: in a transaction.
        version_id: of the version.
        by: who decides.
        reason: a sentence for the record.
        overrides: whether the comparison had refused it.
        rolls_back: the promotion that this one undoes.
    """
    insert_row(
        connection,
        "promotions",
        model_version_id=version_id,
        promoted_by=by,
        reason=reason,
        overrides=overrides,
        rolls_back=rolls_back,
        created_at=timestamp(),
    )


def link_corrections(connection: sqlite3.Connection, run_id: int, correction_ids: Iterable[int]) -> None:
    """Record which votes a run trains on."""
    connection.executemany(
        "INSERT INTO training_run_corrections VALUES (?, ?)",
        [(run_id, number) for number in sorted(set(correction_ids))],
    )


def _after_last_vote(connection: sqlite3.Connection, rater: str) -> str:
    # A clock that was set back must not make a rater's newer vote the older one; the id breaks a tie.
    last = connection.execute("SELECT max(created_at) FROM corrections WHERE rater = ?", (rater,)).fetchone()[0]
    return max(timestamp(), last or "")


def margin(scores: Mapping[str, float]) -> float:
    """Compute the lead of the most probable label over the next one, 0..1.

    Source: "best versus second best", Scheffer, Decomain and Wrobel, Active hidden Markov models for information
    extraction, IDA 2001.

    >>> margin({"fear": 0.5, "anger": 0.25, "neutral": 0.25})
    0.25
    """
    first, second, *_ = [*sorted(scores.values(), reverse=True), 0.0, 0.0]
    return min(max(first - second, 0.0), 1.0)


def disagreement(sound: Mapping[str, float], words: Mapping[str, float]) -> float:
    """Compute the disagreement of voice and words: their Jensen-Shannon divergence in bits, 0..1.

    Source: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37, 1991.

    >>> disagreement({"fear": 1.0}, {"anger": 1.0}), disagreement({"fear": 1.0}, {"fear": 1.0})
    (1.0, 0.0)
    """
    bits = 0.0
    for label in sound.keys() | words.keys():
        p, q = sound.get(label, 0.0), words.get(label, 0.0)
        bits += sum(share * math.log2(2 * share / (p + q)) for share in (p, q) if share > 0) / 2
    return min(max(bits, 0.0), 1.0)
