"""Restores rows from a line of an own export: the clip, its consents, the predictions and the votes with their times.

Columns are carried by their names, so that what a later schema keeps of a vote or a clip travels along. Reads no file.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from annotations.errors import ExchangeError
from annotations.store.faces import NewFace, insert_face, read_face
from annotations.store.new_records import (
    NewClip,
    NewVersion,
    NewVote,
    check_consent,
    check_name,
    check_rater,
    check_verdict,
    grant,
)
from annotations.store.rows import insert_retraction, insert_version, normalise_timestamp, timestamp
from ser.labels import EMOTIONS

Values = dict[str, object]

NOT_OF_A_CLIP = frozenset(
    "file_name sha256 duration label soft_label raters consents gold_marks predictions votes face".split()
)
"""Keys of a line that are no columns of the clip: what the clip is, what follows from its votes, and its parts."""


@dataclass(frozen=True)
class OwnRecord:
    """A line of an own export, checked.

    Attributes:
        clip: columns of the clip.
        consents: rows, oldest first; withdrawals among them.
        gold_marks: rows, oldest first.
        predictions: rows; `version` is a {name, sha256} in each.
        votes: rows, oldest first; `retracted_at`, and `prediction` as a place in `predictions`, in each.
        face: the picture, if there is one.
    """

    clip: Values
    consents: tuple[Values, ...]
    gold_marks: tuple[Values, ...]
    predictions: tuple[Values, ...]
    votes: tuple[Values, ...]
    face: NewFace | None = None


@dataclass(frozen=True)
class Restored:
    """Rows that a line added."""

    clip_id: int
    votes: int
    predictions: int


def check_record(
    record: Mapping[str, object],
    sha256: str,
    labels: Sequence[str] = EMOTIONS,
    read: Callable[[str], bytes] | None = None,
) -> OwnRecord:
    """Check a line of an own export before anything of it is stored.

    Args:
        record: the line.
        sha256: of the recording next to it.
        labels: that votes and known answers may have.
        read: gives a further file that the line names; without it no picture is restored.

    Raises:
        SerError: if a value cannot be, or the recording is another one; the message names the value.
    """
    listed = record.get("sha256")
    if listed is not None and listed != sha256:
        raise ExchangeError(
            "The recording is not the one that was annotated: its content differs from the table's sha256. "
            "Put the exported file back."
        )
    consents = tuple(_check_consent(given) for given in _objects(record, "consents"))
    check_consent({str(given["purpose"]): None for given in consents if given["granted"]})
    clip = {name: value for name, value in record.items() if name not in NOT_OF_A_CLIP}
    clip["created_at"] = _time(record, "created_at")
    clip["transcript"] = _text(record, "clip_transcript")
    clip.pop("clip_transcript", None)
    checked = NewClip(
        source=_text(record, "source") or "import",
        speaker=_text(record, "speaker"),
        session=_text(record, "session"),
        grants=grant([str(given["purpose"]) for given in consents], None),
    )
    clip |= {"source": checked.source, "speaker": checked.speaker, "session": checked.session}
    predictions = tuple(_check_prediction(answer) for answer in _objects(record, "predictions"))
    votes = tuple(_check_vote(vote, len(predictions), labels) for vote in _objects(record, "votes"))
    marks = tuple(_check_mark(mark, labels) for mark in _objects(record, "gold_marks"))
    face = record.get("face")
    return OwnRecord(
        clip, consents, marks, predictions, votes, _check_face(face, read) if isinstance(face, dict) and read else None
    )


def restore_record(connection: sqlite3.Connection, clip_id: int, record: OwnRecord) -> Restored:
    """Add what a line says of a stored clip, without what is there already."""
    for table, rows in (("consents", record.consents), ("gold_marks", record.gold_marks)):
        for row in rows:
            same = {name: value for name, value in row.items() if name in ("purpose", "granted", "label", "created_at")}
            if _find(connection, table, {"clip_id": clip_id, **same}) is None:
                insert_row(connection, table, {"clip_id": clip_id, **row})
    if record.face is not None and read_face(connection, clip_id) is None:
        insert_face(connection, clip_id, record.face, timestamp())
    answers, added = [], 0
    for answer in record.predictions:
        row = {name: value for name, value in answer.items() if name != "version"}
        row |= {"clip_id": clip_id, "model_version_id": _version(connection, answer["version"])}
        known = _find(connection, "predictions", {n: row[n] for n in ("clip_id", "model_version_id", "created_at")})
        answers.append(insert_row(connection, "predictions", row) if known is None else known)
        added += known is None
    votes = sum(_restore_vote(connection, clip_id, vote, answers) for vote in record.votes)
    return Restored(clip_id, votes, added)


def _restore_vote(connection: sqlite3.Connection, clip_id: int, vote: Values, answers: list[int]) -> bool:
    row = {name: value for name, value in vote.items() if name not in ("retracted_at", "prediction")}
    place = vote["prediction"]
    row |= {"clip_id": clip_id, "prediction_id": answers[place] if isinstance(place, int) else None}
    known = _find(
        connection, "corrections", {n: row[n] for n in ("clip_id", "rater", "created_at", "verdict", "label")}
    )
    number = insert_row(connection, "corrections", row) if known is None else known
    if vote["retracted_at"] and _find(connection, "correction_retractions", {"correction_id": number}) is None:
        insert_retraction(connection, number, str(vote["retracted_at"]))
    return known is None


def _version(connection: sqlite3.Connection, version: object) -> int:
    assert isinstance(version, dict)
    known = _find(connection, "model_versions", {"sha256": version["sha256"], "name": version["name"]})
    if known is None:
        known = _find(connection, "model_versions", {"sha256": version["sha256"]})
    if known is not None:
        return known
    taken = _find(connection, "model_versions", {"name": version["name"]}) is not None
    name = f"{version['name']}-{version['sha256'][:8]}" if taken else version["name"]
    # Its weights did not come along: it can be named, not used.
    return insert_version(connection, NewVersion(name, version["sha256"]))


def _find(connection: sqlite3.Connection, table: str, values: Mapping[str, object]) -> int | None:
    where = " AND ".join(f"{name} IS ?" for name in values)
    key = "correction_id" if table == "correction_retractions" else "id"
    row = connection.execute(f"SELECT {key} FROM {table} WHERE {where} LIMIT 1", tuple(values.values())).fetchone()
    return row[0] if row else None


def insert_row(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> int:
    """Add a row by its columns' names; mappings and lists become JSON.

    Raises:
        ExchangeError: if the table has no such column: a newer version of the program wrote it.
    """
    columns = {info["name"] for info in connection.execute(f"PRAGMA table_info({table})")}
    given = {name: _plain(value) for name, value in row.items() if value is not None}
    unknown = sorted(given.keys() - columns)
    if unknown:
        raise ExchangeError(
            f"The table speaks of '{unknown[0]}', which this version of the program does not know. Update the program."
        )
    marks = ", ".join("?" * len(given))
    cursor = connection.execute(f"INSERT INTO {table} ({', '.join(given)}) VALUES ({marks})", tuple(given.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _plain(value: object) -> object:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def _check_consent(given: Mapping[str, object]) -> Values:
    purpose = _text(given, "purpose") or ""
    check_consent([purpose])
    return {
        "purpose": purpose,
        "granted": int(given.get("granted", True) is not False and given.get("granted", True) != 0),
        "given_by": check_name("The name of who consents", _text(given, "given_by")),
        "wording": _text(given, "wording"),
        "created_at": _time(given, "created_at", needed=True),
    }


def _check_face(face: Mapping[str, object], read: Callable[[str], bytes]) -> NewFace:
    return NewFace(
        read(_text(face, "file_name") or ""),
        _text(face, "wording") or "",
        check_name("The name of who consents", _text(face, "given_by")),
        face.get("may_export") is True,
        _time(face, "created_at", needed=True),
    )


def _check_mark(mark: Mapping[str, object], labels: Sequence[str]) -> Values:
    label = _text(mark, "label")
    return {
        "label": check_verdict("correct", label, labels)[1] if label else None,
        "marked_by": check_rater(_text(mark, "marked_by")),
        "created_at": _time(mark, "created_at", needed=True),
    }


def _check_prediction(answer: Mapping[str, object]) -> Values:
    version = answer.get("version")
    if not isinstance(version, dict) or not all(isinstance(version.get(key), str) for key in ("name", "sha256")):
        raise ExchangeError("An answer names no model version by name and sha256. Export it again.")
    entropy = answer.get("entropy")
    if not isinstance(entropy, int | float) or not 0 <= entropy <= 1:
        raise ExchangeError(f"'entropy' is {entropy!r} in the table; expected a number from 0 to 1. Export it again.")
    if not isinstance(answer.get("scores"), dict) or not _text(answer, "label"):
        raise ExchangeError("An answer has no scores or no label. Export it again.")
    return {**answer, "created_at": _time(answer, "created_at", needed=True)}


def _check_vote(vote: Mapping[str, object], answers: int, labels: Sequence[str]) -> Values:
    known = {field.name for field in fields(NewVote)}
    checked = NewVote(
        **{
            **{name: value for name, value in vote.items() if name in known},
            "rater": _text(vote, "rater") or "",
            "verdict": _text(vote, "verdict") or "",
            "label_set": labels,
        }  # type: ignore[arg-type]
    )
    place = vote.get("prediction")
    if place is not None and (not isinstance(place, int) or not 0 <= place < answers):
        raise ExchangeError(f"A vote is on answer {place!r}, which the table does not have. Export it again.")
    cleaned = {name: getattr(checked, name) for name in ("rater", "verdict", "label", "intensity", "transcript")}
    return {
        **vote,
        **cleaned,
        "created_at": _time(vote, "created_at", needed=True),
        "retracted_at": _time(vote, "retracted_at"),
        "prediction": place,
    }


def _text(record: Mapping[str, object], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise ExchangeError(f"'{key}' is {value!r} in the table; expected text. Export it again.")
    return value or None


def _time(record: Mapping[str, object], key: str, *, needed: bool = False) -> str | None:
    text = _text(record, key)
    if needed and text is None:
        raise ExchangeError(f"'{key}' is missing in the table; expected an ISO 8601 time. Export it again.")
    try:
        return normalise_timestamp(text) if text else None
    except (ValueError, OverflowError) as error:
        raise ExchangeError(f"'{key}' is '{text}' in the table; expected an ISO 8601 time. Export it again.") from error


def _objects(record: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = record.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ExchangeError(f"'{key}' is no list of objects in the table. Export it again.")
    return value
