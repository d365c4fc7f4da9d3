"""The record of a clip in an export, from the store's rows: raw votes, aggregated votes, and all else.

Columns are carried by their names, as in `annotations.exchange.imports.restoring`. Writes nothing.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import ClipNotFoundError
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.labels.stored import read_label_set
from annotations.masking import mask_transcripts, masking_in_force
from annotations.raters.votes import hard_label, mix_shares
from annotations.store import AnnotationStore
from annotations.store.faces import NewFace, read_face
from annotations.store.rows import CLIPS, to_clip

AUDIO = "audio"
CHUNK = 500
"""Clips that are read at a time."""

Record = dict[str, object]

JSON_COLUMNS = frozenset({"distribution", "scores", "details"})
"""Columns that hold JSON, which is exported as what it means."""


@dataclass
class ExportReport:
    """Contents of an export.

    Attributes:
        clips: that were exported.
        votes: raw votes on them, those taken back included.
        without_consent: clips left out for lack of consent to the purpose.
        missing: (clip, reason) of clips whose recording is gone.
        pictures: of faces, of those clips.
        clip_ids: of the exported clips.
        published: where it can be seen, of an export to the Hub.
    """

    clips: int = 0
    votes: int = 0
    without_consent: int = 0
    pictures: int = 0
    missing: list[tuple[str, str]] = field(default_factory=list)
    clip_ids: list[int] = field(default_factory=list)
    published: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        missing = [{"clip": name, "error": reason} for name, reason in self.missing]
        numbers = {"clips": self.clips, "votes": self.votes, "without_consent": self.without_consent}
        pictures = {"pictures": self.pictures} if self.pictures else {}
        published = {"published": self.published} if self.published else {}
        return {**numbers, **pictures, "missing": missing, **published}


@dataclass(frozen=True)
class Exported:
    """A clip on its way out: what is said of it, its file, and its picture if that may be passed on.

    `record["face"]` names the file of the picture; forms that hold none leave it out by `without_face`.
    """

    record: Record
    path: Path
    picture: bytes | None = None


def read_clips(
    store: AnnotationStore, purpose: str, report: ExportReport, only: Collection[int] | None = None
) -> Iterator[Exported]:
    """All clips that may be used for a purpose, in the order in which they were stored.

    Args:
        store: read at one moment, however long the export takes.
        purpose: one of `CONSENT_PURPOSES`.
        report: counts what is given out and what is left out.
        only: ids of the clips wanted; None for all.
    """
    with store.reading() as connection:
        labels = read_label_set(connection)
        numbers = [row["id"] for row in connection.execute("SELECT id FROM clips ORDER BY id")]
        chosen = set(numbers if only is None else only)
        wanted = [number for number in numbers if number in chosen]
        for start in range(0, len(wanted), CHUNK):
            yield from _read_chunk(store, connection, wanted[start : start + CHUNK], purpose, report, labels)


def _read_chunk(
    store: AnnotationStore,
    connection: sqlite3.Connection,
    ids: Sequence[int],
    purpose: str,
    report: ExportReport,
    labels: LabelSet,
) -> Iterator[Exported]:
    listed = f"({', '.join(map(str, ids))})"
    masked = masking_in_force(connection) is not None
    related = {
        name: _by_clip(connection.execute(query.format(listed=listed)).fetchall()) for name, query in _RELATED.items()
    }
    for row in connection.execute(f"{CLIPS} WHERE clips.id IN {listed} ORDER BY clips.id").fetchall():
        clip = to_clip(row)
        if purpose not in clip.consent:
            report.without_consent += 1
            continue
        try:
            path = store.clip_path(clip)
        except ClipNotFoundError as error:
            report.missing.append((clip.sha256, str(error)))
            continue
        record = _describe(row, related, labels)
        if masked:
            record = mask_transcripts(record)
        report.clips += 1
        report.clip_ids.append(clip.id)
        votes = record["votes"]
        assert isinstance(votes, list)
        report.votes += len(votes)
        face = read_face(connection, clip.id)
        if face is None or not face.may_export:
            yield Exported(without_face(record), path)
            continue
        record["face"] = {"file_name": f"{AUDIO}/{clip.sha256}.jpg", **_agreed(face)}
        report.pictures += 1
        yield Exported(record, path, face.jpeg)


def without_face(record: Record) -> Record:
    """The record without its picture, and without what that showed."""
    answers = record["predictions"]
    assert isinstance(answers, list)
    plain = [
        {**answer, "details": {name: value for name, value in answer["details"].items() if name != "face"}}
        for answer in answers
    ]
    return {name: value for name, value in record.items() if name != "face"} | {"predictions": plain}


def _agreed(face: NewFace) -> Record:
    return {name: getattr(face, name) for name in ("wording", "given_by", "may_export", "created_at")}


_RELATED = {
    "votes": "SELECT corrections.*, retracted_at FROM corrections LEFT JOIN correction_retractions "
    "ON correction_id = corrections.id WHERE clip_id IN {listed} ORDER BY corrections.id",
    "consents": "SELECT * FROM consents WHERE clip_id IN {listed} ORDER BY id",
    "gold": "SELECT * FROM gold_marks WHERE clip_id IN {listed} ORDER BY id",
    "answers": "SELECT predictions.*, name AS version_name, sha256 AS version_sha256 FROM predictions "
    "JOIN model_versions ON model_versions.id = model_version_id WHERE clip_id IN {listed} ORDER BY predictions.id",
}
"""The rows that belong to some clips."""


def _describe(
    clip: sqlite3.Row, related: Mapping[str, Mapping[int, Sequence[sqlite3.Row]]], labels: LabelSet
) -> Record:
    """One clip with all that belongs to it."""
    own = _columns(clip, {"id", "consent"})
    answers = related["answers"].get(clip["id"], [])
    votes = related["votes"].get(clip["id"], [])
    places = {answer["id"]: place for place, answer in enumerate(answers)}
    taken = take_together([dict(vote) for vote in votes], labels)
    return {
        "file_name": f"{AUDIO}/{clip['sha256']}.flac",
        **{name: value for name, value in own.items() if name != "transcript"},
        "clip_transcript": own.get("transcript"),
        **taken,
        "transcript": taken["transcript"] or own.get("transcript"),
        "consents": [_columns(row, {"id", "clip_id"}) for row in related["consents"].get(clip["id"], [])],
        "gold_marks": [_columns(row, {"id", "clip_id"}) for row in related["gold"].get(clip["id"], [])],
        "predictions": [_describe_answer(answer) for answer in answers],
        "votes": [
            {**_columns(vote, {"id", "clip_id", "prediction_id"}), "prediction": places.get(vote["prediction_id"])}
            for vote in votes
        ],
    }


def take_together(votes: Sequence[Mapping[str, object]], labels: LabelSet = DEFAULT) -> Record:
    """Aggregate the votes on a clip: of each rater the newest that stands counts.

    Args:
        votes: rows, in the order in which they were given.
        labels: of the store; votes that have no place in it do not count.

    Returns:
        `label`, `soft_label`, how many `raters` that is, and the last `transcript` that one of them wrote.

    >>> votes = [{"rater": r, "label": e, "transcript": None, "retracted_at": None, "created_at": r} for r, e in
    ...          (("a", "fear"), ("b", "anger"), ("c", "fear"))]
    >>> take_together(votes)["label"], take_together(votes)["raters"]
    ('fear', 3)
    """
    newest: dict[object, Mapping[str, object]] = {}
    for vote in sorted(votes, key=lambda vote: str(vote["created_at"])):
        if vote["retracted_at"] is None:
            newest[vote["rater"]] = vote
    said = [vote for vote in newest.values() if vote["label"] is not None and labels.shares(_given(vote))]
    said.sort(key=lambda vote: str(vote["created_at"]))
    shares = mix_shares([labels.shares(_given(vote)) for vote in said]) if said else {}
    return {
        "label": hard_label(shares) if shares else None,
        "soft_label": {label: shares.get(label, 0.0) for label in labels.names} if shares else None,
        "raters": len(said),
        "transcript": next((vote["transcript"] for vote in reversed(said) if vote["transcript"]), None),
    }


def _given(vote: Mapping[str, object]) -> dict[str, float]:
    """The vote's distribution, or 1 for its label."""
    return json.loads(str(vote["distribution"])) if vote.get("distribution") else {str(vote["label"]): 1.0}


def _describe_answer(answer: sqlite3.Row) -> Record:
    columns = _columns(answer, {"id", "clip_id", "model_version_id", "version_name", "version_sha256"})
    return {"version": {"name": answer["version_name"], "sha256": answer["version_sha256"]}, **columns}


def _columns(row: sqlite3.Row, without: Collection[str]) -> Record:
    return {
        name: json.loads(row[name]) if name in JSON_COLUMNS and isinstance(row[name], str) else row[name]
        for name in row.keys()  # noqa: SIM118 (a Row iterates over its values)
        if name not in without
    }


def _by_clip(rows: Sequence[sqlite3.Row]) -> dict[int, list[sqlite3.Row]]:
    found: dict[int, list[sqlite3.Row]] = {}
    for row in rows:
        found.setdefault(row["clip_id"], []).append(row)
    return found
