"""The single rows of the store, each written within a transaction that the caller holds.

Knows SQL; opens no connection and touches no file.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from annotations.errors import ClipNotFoundError, StoreError, VersionNotFoundError
from annotations.records import Clip, Correction, Prediction
from annotations.rows import CLIPS, CORRECTIONS, timestamp, to_clip, to_correction, to_json, to_prediction
from annotations.uncertainty import disagreement, margin
from annotations.validation import (
    MAX_SOURCE,
    check_consent,
    check_distribution,
    check_intensity,
    check_name,
    check_rater,
    check_seconds,
    check_text,
    check_transcript,
    check_verdict,
)
from ser.serialization import recognition_to_dict
from ser.types import Audio, Recognition

MAX_WORDING = 2000
"""Characters; the words of a consent that do not fit are better named by their version."""


@dataclass(frozen=True)
class Grant:
    """Consent to one purpose.

    Attributes:
        purpose: one of `CONSENT_PURPOSES`.
        given_by: who consents; None where it was not said.
        created_at: for imports that carry their own time; None is now.
        wording: what was agreed to, in the words that were shown, or the name of their version; None where not known.
    """

    purpose: str
    given_by: str | None = None
    created_at: str | None = None
    wording: str | None = None


def grant(consent: Iterable[str], given_by: str | None, wording: str | None = None) -> tuple[Grant, ...]:
    """Consent of one person to some purposes, now.

    Raises:
        ConsentRequiredError: where there is none, or one that is not known.
    """
    given_by = check_name("The name of who consents", given_by)
    wording = check_name("The wording of the consent", wording, MAX_WORDING)
    return tuple(Grant(purpose, given_by, wording=wording) for purpose in check_consent(consent))


@dataclass(frozen=True)
class NewClip:
    """What is known of a recording about to be stored; checked and cleaned when it is made.

    Attributes:
        grants: what was consented to, at least one purpose.
        created_at: for imports that carry their own time; None is now.
    """

    source: str
    speaker: str | None = None
    session: str | None = None
    grants: tuple[Grant, ...] = ()
    created_at: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        source = check_name("The source", self.source, MAX_SOURCE)
        if source is None:
            raise StoreError("The clip's source is empty; say where it comes from, such as 'page'.")
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "speaker", check_name("The speaker", self.speaker))
        object.__setattr__(self, "session", check_name("The session", self.session))
        object.__setattr__(self, "language", check_name("The language", self.language))
        check_consent(given.purpose for given in self.grants)


@dataclass(frozen=True)
class NewVote:
    """A vote about to be stored, as in `annotations.records.Correction`; checked and cleaned when it is made.

    Attributes:
        label: may be left out beside a distribution, whose largest share it then is.
        distribution: {label: weight} of any sum; stored as shares.
        created_at: for imports that carry their own time; None is now.
        retracted_at: when an imported vote was taken back, or None.
    """

    rater: str
    verdict: str
    label: str | None = None
    intensity: float | None = None
    transcript: str | None = None
    created_at: str | None = None
    retracted_at: str | None = None
    distribution: Mapping[str, float] | None = None
    valence: float | None = None
    arousal: float | None = None
    comment: str | None = None
    seconds: float | None = None
    answer_shown: bool | None = None

    def __post_init__(self) -> None:
        shares = check_distribution(self.verdict, self.label, self.distribution)
        largest = max(shares, key=lambda label: shares[label]) if shares else None
        verdict, label = check_verdict(self.verdict, self.label or largest)
        object.__setattr__(self, "distribution", shares)
        object.__setattr__(self, "valence", check_intensity(self.valence, "valence"))
        object.__setattr__(self, "arousal", check_intensity(self.arousal, "arousal"))
        object.__setattr__(self, "comment", check_text("comment", self.comment))
        object.__setattr__(self, "seconds", check_seconds(self.seconds))
        object.__setattr__(self, "rater", check_rater(self.rater))
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "verdict", verdict)
        object.__setattr__(self, "intensity", check_intensity(self.intensity))
        object.__setattr__(self, "transcript", check_transcript(self.transcript))


def read_clip(connection: sqlite3.Connection, clip_id: int) -> Clip:
    """One clip.

    Raises:
        ClipNotFoundError: where there is none with that id.
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
    """Add what a model answered.

    Raises:
        VersionNotFoundError: where there is no such model version.
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
    row = connection.execute("SELECT * FROM predictions WHERE id = ?", (cursor.lastrowid,)).fetchone()
    return to_prediction(row)


def insert_correction(
    connection: sqlite3.Connection, clip_id: int, vote: NewVote, prediction_id: int | None = None
) -> Correction:
    """Add a vote."""
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
        VersionNotFoundError: where there is none with that id.
    """
    row: sqlite3.Row | None = connection.execute("SELECT * FROM model_versions WHERE id = ?", (version_id,)).fetchone()
    if row is None:
        raise VersionNotFoundError(f"There is no model version {version_id}. Choose one of the list of versions.")
    return row


def insert_version(
    connection: sqlite3.Connection,
    name: str,
    sha256: str,
    path: str | None,
    training_run_id: int | None,
    metrics: Mapping[str, object],
    *,
    target: str = "acoustic",
    parent_id: int | None = None,
    lineage: Mapping[str, object] | None = None,
) -> int:
    """Add a model version; its name must be new."""
    if connection.execute("SELECT 1 FROM model_versions WHERE name = ?", (name,)).fetchone():
        raise StoreError(f"A model version named '{name}' exists already. Give the new one another name.")
    cursor = connection.execute(
        "INSERT INTO model_versions (name, sha256, path, training_run_id, metrics, target, parent_id, lineage, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(name, sha256, path, training_run_id, to_json(metrics)),
            *(target, parent_id, to_json(lineage or {}), timestamp()),
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
    """Put a version to use.

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


def insert_shadow(connection: sqlite3.Connection, version_id: int, by: str, hours: float | None) -> None:
    """Let a version answer on the side; after so many hours, where they are given, it is to be put to use."""
    end = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    connection.execute(
        "INSERT OR IGNORE INTO shadows (version_id, started_by, started_at, takes_over_at) VALUES (?, ?, ?, ?)",
        (version_id, by, timestamp(), end and end.isoformat(timespec="microseconds")),
    )


def link_corrections(connection: sqlite3.Connection, run_id: int, correction_ids: Iterable[int]) -> None:
    """Record which votes a run learns from."""
    connection.executemany(
        "INSERT INTO training_run_corrections VALUES (?, ?)",
        [(run_id, number) for number in sorted(set(correction_ids))],
    )


def _after_last_vote(connection: sqlite3.Connection, rater: str) -> str:
    # A clock that was set back must not make a rater's newer vote the older one; the id breaks a tie.
    last = connection.execute("SELECT max(created_at) FROM corrections WHERE rater = ?", (rater,)).fetchone()[0]
    return max(timestamp(), last or "")
