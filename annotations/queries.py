"""The read side of the store: what to review next, what happened, what training learns from, how much there is.

Every function takes the store, opens a read-only connection of its own and sees one state of the database.
"""

from collections import Counter
from sqlite3 import Connection

from annotations.learning.feedback import (
    effective_corrections,
    feedback_summary,
    label_counts,
    training_examples,
)
from annotations.queue import next_clip, queue_length
from annotations.records import (
    CONSENT_PURPOSES,
    VERDICTS,
    Clip,
    Correction,
    FeedbackExample,
    HistoryEntry,
    ModelVersion,
    Prediction,
    TrainingRun,
)
from annotations.review_items import get_review_item
from annotations.rows import (
    CLIPS,
    CORRECTIONS,
    to_clip,
    to_correction,
    to_model_version,
    to_prediction,
    to_training_run,
)
from annotations.store import AnnotationStore
from annotations.training_records import find_active_version
from annotations.writes import read_clip

__all__ = [
    "FeedbackExample",
    "clip_history",
    "effective_corrections",
    "feedback_summary",
    "get_prediction",
    "get_review_item",
    "history",
    "label_counts",
    "list_clips",
    "list_training_runs",
    "list_versions",
    "newest_prediction",
    "next_clip",
    "queue_length",
    "stats",
    "training_examples",
]


def newest_prediction(store: AnnotationStore, clip_id: int) -> Prediction | None:
    """The last answer stored for a clip."""
    with store.reading() as connection:
        return _newest_prediction(connection, clip_id)


def get_prediction(store: AnnotationStore, prediction_id: int) -> Prediction | None:
    """The answer with that id."""
    with store.reading() as connection:
        return _read_prediction(connection, prediction_id)


def history(store: AnnotationStore, limit: int = 50) -> list[HistoryEntry]:
    """The last votes and training runs, newest first; votes taken back are among them, marked.

    Args:
        store: to read.
        limit: how many entries at most.
    """
    with store.reading() as connection:
        rows = connection.execute(f"{CORRECTIONS} ORDER BY created_at DESC, id DESC LIMIT ?", (limit,)).fetchall()
        entries = [_correction_entry(connection, to_correction(row)) for row in rows]
        runs = connection.execute("SELECT * FROM training_runs ORDER BY id DESC LIMIT ?", (limit,))
        entries += [HistoryEntry("training_run", run.started_at, run=run) for run in map(to_training_run, runs)]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:limit]


def clip_history(store: AnnotationStore, clip_id: int) -> list[HistoryEntry]:
    """All that was ever said of a clip, oldest first: each answer with the version that gave it, and each vote.

    Votes taken back are among them, marked; a vote has with it the answer that it was given on.
    """
    with store.reading() as connection:
        clip = read_clip(connection, clip_id)
        versions = {row["id"]: to_model_version(row) for row in connection.execute("SELECT * FROM model_versions")}
        rows = connection.execute("SELECT * FROM predictions WHERE clip_id = ? ORDER BY id", (clip_id,))
        answers = {row["id"]: to_prediction(row) for row in rows}
        votes = [
            to_correction(row)
            for row in connection.execute(f"{CORRECTIONS} WHERE clip_id = ? ORDER BY created_at, id", (clip_id,))
        ]
    entries = [
        HistoryEntry("prediction", answer.created_at, None, clip, answer, version=versions[answer.model_version_id])
        for answer in answers.values()
    ]
    for vote in votes:
        seen = answers.get(vote.prediction_id) if vote.prediction_id else None
        version = versions[seen.model_version_id] if seen else None
        entries.append(HistoryEntry("correction", vote.created_at, vote, clip, seen, version=version))
    return sorted(entries, key=lambda entry: entry.at)


def list_clips(store: AnnotationStore) -> list[Clip]:
    """All clips, oldest first."""
    with store.reading() as connection:
        return [to_clip(row) for row in connection.execute(f"{CLIPS} ORDER BY clips.id")]


def list_versions(store: AnnotationStore) -> list[ModelVersion]:
    """All model versions, newest first."""
    with store.reading() as connection:
        return [to_model_version(row) for row in connection.execute("SELECT * FROM model_versions ORDER BY id DESC")]


def list_training_runs(store: AnnotationStore, limit: int = -1) -> list[TrainingRun]:
    """The last training runs, newest first; all of them without a limit."""
    with store.reading() as connection:
        rows = connection.execute("SELECT * FROM training_runs ORDER BY id DESC LIMIT ?", (limit,))
        return [to_training_run(row) for row in rows]


def stats(store: AnnotationStore) -> dict[str, object]:
    """The store in numbers, as plain values for JSON.

    Returns:
        `clips`; their total `duration` in seconds; `predictions`; `votes` (standing, one a rater and clip, with
        a label); `raters`; `labels` {label: votes}; `verdicts` {verdict: standing votes}; `sources` and
        `consent` {name: clips}; `versions` and `runs` as lists; `version_in_use`.
    """
    summary = feedback_summary(store)
    verdicts = Counter(vote.verdict for vote in effective_corrections(store))
    versions = list_versions(store)
    with store.reading() as connection:
        clips, duration = connection.execute("SELECT count(*), total(duration) FROM clips").fetchone()
        predictions = connection.execute("SELECT count(*) FROM predictions").fetchone()[0]
        sources = connection.execute("SELECT source, count(*) FROM clips GROUP BY source ORDER BY source")
        by_source = {source: count for source, count in sources}
        given = connection.execute("SELECT purpose, count(DISTINCT clip_id) FROM consents_in_force GROUP BY purpose")
        consent = {purpose: count for purpose, count in given}
        in_use = find_active_version(connection)
    return {
        "clips": clips,
        "duration": round(duration, 3),
        "predictions": predictions,
        "votes": summary.votes,
        "raters": summary.raters,
        "labels": dict(summary.labels),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "sources": by_source,
        "consent": {purpose: consent.get(purpose, 0) for purpose in CONSENT_PURPOSES},
        "versions": [{"id": v.id, "name": v.name, "created_at": v.created_at, "metrics": v.metrics} for v in versions],
        "version_in_use": in_use.name if in_use else None,
        "runs": [
            {"id": run.id, "status": run.status, "started_at": run.started_at, "reason": run.reason}
            for run in list_training_runs(store)
        ],
    }


def _newest_prediction(connection: Connection, clip_id: int) -> Prediction | None:
    row = connection.execute(
        "SELECT * FROM predictions WHERE clip_id = ? ORDER BY id DESC LIMIT 1", (clip_id,)
    ).fetchone()
    return to_prediction(row) if row else None


def _read_prediction(connection: Connection, prediction_id: int | None) -> Prediction | None:
    row = connection.execute("SELECT * FROM predictions WHERE id = ?", (prediction_id,)).fetchone()
    return to_prediction(row) if row else None


def _correction_entry(connection: Connection, correction: Correction) -> HistoryEntry:
    return HistoryEntry(
        "correction",
        correction.created_at,
        correction=correction,
        clip=read_clip(connection, correction.clip_id),
        prediction=_read_prediction(connection, correction.prediction_id),
    )
