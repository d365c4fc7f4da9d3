"""Rows of the database to records, and the time stamp that every row carries. Pure: no connection in here."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime

from annotations.store.media import media_path
from annotations.store.records import CONSENT_PURPOSES, Clip, Correction, ModelVersion, Prediction, TrainingRun

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


def to_clip(row: sqlite3.Row) -> Clip:
    """Convert a row of `CLIPS`."""
    given = set((row["consent"] or "").split(","))
    return Clip(
        id=row["id"],
        sha256=row["sha256"],
        path=media_path(row["sha256"]).as_posix(),
        duration=row["duration"],
        speaker=row["speaker"],
        source=row["source"],
        session=row["session"],
        consent=tuple(purpose for purpose in CONSENT_PURPOSES if purpose in given),
        created_at=row["created_at"],
        language=row["language"],
    )


def to_prediction(row: sqlite3.Row) -> Prediction:
    """Convert a row of the table `predictions`."""
    return Prediction(
        id=row["id"],
        clip_id=row["clip_id"],
        model_version_id=row["model_version_id"],
        label=row["label"],
        scores=json.loads(row["scores"]),
        entropy=row["entropy"],
        transcript=row["transcript"],
        created_at=row["created_at"],
        details=json.loads(row["details"]),
        margin=row["margin"],
        disagreement=row["disagreement"],
    )


def to_correction(row: sqlite3.Row) -> Correction:
    """Convert a row of `CORRECTIONS`."""
    return Correction(
        id=row["id"],
        clip_id=row["clip_id"],
        prediction_id=row["prediction_id"],
        rater=row["rater"],
        verdict=row["verdict"],
        label=row["label"],
        intensity=row["intensity"],
        transcript=row["transcript"],
        created_at=row["created_at"],
        retracted_at=row["retracted_at"],
        distribution=json.loads(row["distribution"]) if row["distribution"] else None,
        valence=row["valence"],
        arousal=row["arousal"],
        comment=row["comment"],
        seconds=row["seconds"],
        answer_shown=None if row["answer_shown"] is None else bool(row["answer_shown"]),
    )


def to_model_version(row: sqlite3.Row) -> ModelVersion:
    """Convert a row of the table `model_versions`."""
    return ModelVersion(
        id=row["id"],
        name=row["name"],
        sha256=row["sha256"],
        path=row["path"],
        training_run_id=row["training_run_id"],
        metrics=json.loads(row["metrics"]),
        created_at=row["created_at"],
        target=row["target"],
        parent_id=row["parent_id"],
        lineage=json.loads(row["lineage"]),
        weights_removed_at=row["weights_removed_at"],
    )


def to_training_run(row: sqlite3.Row) -> TrainingRun:
    """Convert a row of the table `training_runs`."""
    return TrainingRun(
        id=row["id"],
        status=row["status"],
        config=json.loads(row["config"]),
        git_commit=row["git_commit"],
        base_version_id=row["base_version_id"],
        new_version_id=row["new_version_id"],
        metrics=json.loads(row["metrics"]),
        reason=row["reason"],
        started_by=row["started_by"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        target=row["target"],
        preset=row["preset"],
        cause=row["cause"],
        snapshot_sha256=row["snapshot_sha256"],
    )
