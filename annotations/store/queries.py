"""The read side of the store: clips, answers, versions, runs, and what happened when.

Every function takes the store, opens a read-only connection of its own and sees one state of the database.
"""

from sqlite3 import Connection

from annotations.store.records import (
    Correction,
    HistoryEntry,
    ModelVersion,
    Prediction,
    TrainingRun,
)
from annotations.store.rows import (
    CORRECTIONS,
    STANDING,
    read_clip,
    to_correction,
    to_model_version,
    to_prediction,
    to_training_run,
)
from annotations.store.store import AnnotationStore


def get_prediction(store: AnnotationStore, prediction_id: int) -> Prediction | None:
    """The answer with that id."""
    return next(map(to_prediction, store.fetch("SELECT * FROM predictions WHERE id = ?", (prediction_id,))), None)


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


def has_voted(store: AnnotationStore, rater: str) -> bool:
    """True if a vote of theirs stands, so that there is one to take back."""
    return bool(store.fetch(f"SELECT 1 FROM corrections WHERE rater = ? AND {STANDING} LIMIT 1", (rater,)))


def clip_history(store: AnnotationStore, clip_id: int) -> list[HistoryEntry]:
    """List the history of a clip, oldest first: each prediction with its version, and each vote.

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


def list_versions(store: AnnotationStore) -> list[ModelVersion]:
    """All model versions, newest first."""
    return [to_model_version(row) for row in store.fetch("SELECT * FROM model_versions ORDER BY id DESC")]


def has_weights(store: AnnotationStore, version: ModelVersion) -> bool:
    """Tell if a version's weights are at hand: in its folder, or outside of the store."""
    return version.weights_removed_at is None and (version.path is None or (store.data_dir / version.path).is_dir())


def list_training_runs(store: AnnotationStore, limit: int = -1) -> list[TrainingRun]:
    """The last training runs, newest first; all of them without a limit."""
    return [
        to_training_run(row) for row in store.fetch("SELECT * FROM training_runs ORDER BY id DESC LIMIT ?", (limit,))
    ]


def activity(store: AnnotationStore) -> tuple[int | None, ...]:
    """Return numbers that change with every new prediction, vote, retraction or promotion."""
    query = (
        "SELECT (SELECT max(id) FROM predictions), (SELECT max(id) FROM corrections), "
        "(SELECT count(*) FROM correction_retractions), (SELECT max(id) FROM promotions)"
    )
    return tuple(store.fetch(query)[0])


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
