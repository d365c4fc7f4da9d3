"""The read side of the store: what to review next, what happened, what training learns from, how much there is.

Every function takes the store, opens a read-only connection of its own and sees one state of the database.
"""

from collections import Counter
from collections.abc import Collection
from sqlite3 import Connection

from annotations.feedback import (
    effective_corrections,
    feedback_summary,
    label_counts,
    training_examples,
)
from annotations.records import (
    CONSENT_PURPOSES,
    VERDICTS,
    Clip,
    Correction,
    FeedbackExample,
    HistoryEntry,
    ModelVersion,
    Prediction,
    ReviewItem,
    TrainingRun,
)
from annotations.rows import (
    CLIPS,
    CORRECTIONS,
    STANDING,
    to_clip,
    to_correction,
    to_model_version,
    to_prediction,
    to_training_run,
)
from annotations.store import AnnotationStore
from annotations.training_records import find_active_version
from annotations.validation import check_rater
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

MAX_EXCLUDED = 500
"""Clips that a page may ask to leave out; SQLite limits the parameters of a statement."""


def next_clip(store: AnnotationStore, rater: str, *, exclude: Collection[int] = ()) -> ReviewItem | None:
    """The clip that a rater should hear next: the least certain one that they have not judged.

    Least certain is the highest entropy of the newest prediction; clips that no model has heard come last. A
    skip and an unsure count as judged; a vote taken back does not, so that its clip comes again.

    Args:
        store: to read.
        rater: who asks.
        exclude: ids of clips not to give, such as the one on the page now.

    Returns:
        The clip with its newest prediction, or None where the rater has judged all.
    """
    rater = check_rater(rater)
    left_out = list(exclude)[-MAX_EXCLUDED:]
    marks = ",".join("?" * len(left_out))
    with store.reading() as connection:
        row = connection.execute(
            f"""
            SELECT id FROM clips
            WHERE id NOT IN ({marks}) AND NOT EXISTS (
                SELECT 1 FROM corrections WHERE rater = ? AND clip_id = clips.id AND {STANDING}
            )
            ORDER BY uncertainty DESC, id LIMIT 1
            """,
            (*left_out, rater),
        ).fetchone()
        return _read_item(store, connection, row["id"]) if row else None


def queue_length(store: AnnotationStore, rater: str) -> int:
    """How many clips a rater has not judged yet."""
    rater = check_rater(rater)
    with store.reading() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM clips) "
            f"- (SELECT count(DISTINCT clip_id) FROM corrections WHERE rater = ? AND {STANDING}) AS waiting",
            (rater,),
        ).fetchone()
    return int(row["waiting"])


def get_review_item(store: AnnotationStore, clip_id: int) -> ReviewItem:
    """A clip as it is put before a rater.

    Raises:
        ClipNotFoundError: where there is no such clip.
    """
    with store.reading() as connection:
        return _read_item(store, connection, clip_id)


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


def clip_history(store: AnnotationStore, clip_id: int) -> list[Correction]:
    """Every vote ever given on a clip, oldest first, those taken back included."""
    with store.reading() as connection:
        return [
            to_correction(row)
            for row in connection.execute(f"{CORRECTIONS} WHERE clip_id = ? ORDER BY created_at, id", (clip_id,))
        ]


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


def _read_item(store: AnnotationStore, connection: Connection, clip_id: int) -> ReviewItem:
    clip = read_clip(connection, clip_id)
    raters = connection.execute(
        f"SELECT count(DISTINCT rater) FROM corrections WHERE clip_id = ? AND label IS NOT NULL AND {STANDING}",
        (clip_id,),
    ).fetchone()[0]
    return ReviewItem(clip, _newest_prediction(connection, clip_id), store.data_dir / clip.path, raters)


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
