"""The single rows of the store, each written within a transaction that the caller holds.

Knows SQL; opens no connection and touches no file.
"""

import math
import sqlite3
from collections.abc import Iterable, Mapping

from annotations.errors import ClipNotFoundError, StoreError, VersionNotFoundError
from annotations.store.embeddings import insert_embedding
from annotations.store.new_records import NewClip, NewVersion, NewVote
from annotations.store.records import Clip, Correction, Prediction
from annotations.store.tables.rows import CLIPS, CORRECTIONS, timestamp, to_clip, to_correction, to_json, to_prediction
from ser.serialization import recognition_to_dict
from ser.types import Audio, Recognition


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
    now = clip.created_at or timestamp()
    connection.execute(
        "INSERT INTO clips (sha256, duration, speaker, session, language, source, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (sha256) DO UPDATE SET speaker = coalesce(clips.speaker, excluded.speaker), "
        "session = coalesce(clips.session, excluded.session), language = coalesce(clips.language, excluded.language) "
        "WHERE (clips.speaker IS NULL AND excluded.speaker IS NOT NULL) "
        "OR (clips.session IS NULL AND excluded.session IS NOT NULL) "
        "OR (clips.language IS NULL AND excluded.language IS NOT NULL)",
        (audio.sha256, audio.duration, clip.speaker, clip.session, clip.language, clip.source, now),
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
    cursor = connection.execute(
        "INSERT INTO predictions (clip_id, model_version_id, label, scores, entropy, margin, disagreement, transcript, "
        "details, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            clip_id,
            model_version_id,
            recognition.fused.label,
            to_json(scores),
            min(max(recognition.fused.entropy, 0.0), 1.0),
            margin(recognition.fused.as_dict()),
            disagreement(recognition.acoustic.as_dict(), text.as_dict()) if text else None,
            recognition.transcript.text if recognition.transcript else None,
            to_json(details),
            timestamp(),
        ),
    )
    if recognition.embedding is not None:
        insert_embedding(connection, clip_id, recognition.embedding)
    row = connection.execute("SELECT * FROM predictions WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return to_prediction(row)


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
    created_at = vote.created_at or _after_last_vote(connection, vote.rater)
    cursor = connection.execute(
        "INSERT INTO corrections (clip_id, prediction_id, rater, verdict, label, intensity, transcript, created_at, "
        "distribution, valence, arousal, comment, seconds, answer_shown) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            clip_id,
            prediction_id,
            vote.rater,
            vote.verdict,
            vote.label,
            vote.intensity,
            vote.transcript,
            created_at,
            to_json(vote.distribution) if vote.distribution else None,
            vote.valence,
            vote.arousal,
            vote.comment,
            vote.seconds,
            vote.answer_shown,
        ),
    )
    assert cursor.lastrowid is not None
    if vote.retracted_at:
        insert_retraction(connection, cursor.lastrowid, vote.retracted_at)
    return read_correction(connection, cursor.lastrowid)


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
    cursor = connection.execute(
        "INSERT INTO model_versions (name, sha256, path, training_run_id, metrics, target, parent_id, lineage, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(version.name, version.sha256, version.path or None, version.run_id, to_json(version.metrics)),
            *(target, version.parent_id, to_json(version.lineage), timestamp()),
        ),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


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
    connection.execute(
        "INSERT INTO promotions (model_version_id, promoted_by, reason, overrides, rolls_back, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (version_id, by, reason, overrides, rolls_back, timestamp()),
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
