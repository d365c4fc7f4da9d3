"""Neutral voices that people keep for good: statistics of some sentences, no sound. A voice belongs to its rater.

It is erased with its rater, also where their votes are kept, and with its speaker.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotations.errors import ConsentRequiredError, StoreError
from annotations.store import AnnotationStore
from annotations.store.embeddings import LARGEST
from annotations.store.new_records import MAX_NAME, check_name, check_rater
from annotations.store.rows import timestamp
from ser.encoder.profiles import MAX_CLIPS, NEUTRAL, Profile


@dataclass(frozen=True)
class KeptVoice:
    """A voice that is kept.

    Attributes:
        speaker: whose it is, a pseudonym.
        clips: sentences that it comes from.
        created_at: when it was kept.
    """

    speaker: str
    clips: int
    created_at: str


def keep_voice(store: AnnotationStore, speaker: str, rater: str, profile: Profile, wording: str) -> KeptVoice:
    """Keep a neutral voice, in place of an earlier one of the same speaker and rater.

    Args:
        store: to write to.
        speaker: whose voice it is.
        rater: who keeps it.
        profile: of neutral sentences.
        wording: that was agreed to.

    Raises:
        ConsentRequiredError: if nothing was agreed to.
        StoreError: if nobody is named, or the profile is of something else.
    """
    rater, name = check_rater(rater), check_name("The speaker", speaker, MAX_NAME)
    if name is None:
        raise StoreError("The voice has no name. Say who is speaking; a pseudonym will do.")
    if not wording.strip():
        raise ConsentRequiredError("The voice was not kept: without consent nothing of it stays. Tick that it may be.")
    if profile.kind != NEUTRAL or not profile.clips:
        raise StoreError(
            f"The profile is of {profile.clips} clip{'' if profile.clips == 1 else 's'} of the kind {profile.kind}; a "
            "neutral voice is kept."
        )
    rows = np.asarray(profile.embeddings, dtype=np.float64).clip(-LARGEST, LARGEST).astype("<f2")
    now = timestamp()
    with store.database.writing() as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(
            "INSERT INTO voices (rater, speaker, encoder, clips, vectors, wording, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rater, speaker) DO UPDATE SET encoder = excluded.encoder, "
            "clips = excluded.clips, vectors = excluded.vectors, wording = excluded.wording, "
            "created_at = excluded.created_at",
            (rater, name, profile.encoder, profile.clips, rows.tobytes(), wording, now),
        )
    return KeptVoice(name, profile.clips, now)


def list_voices(store: AnnotationStore, rater: str) -> list[KeptVoice]:
    """List the voices that a rater keeps, by name."""
    rows = store.fetch(
        "SELECT speaker, clips, created_at FROM voices WHERE rater = ? ORDER BY speaker COLLATE NOCASE", (rater,)
    )
    return [KeptVoice(row["speaker"], row["clips"], row["created_at"]) for row in rows]


def find_voice(store: AnnotationStore, speaker: str, rater: str) -> Profile | None:
    """The voice of a speaker that a rater keeps; None if there is none."""
    rows: Sequence[sqlite3.Row] = store.fetch(
        "SELECT encoder, clips, vectors FROM voices WHERE rater = ? AND speaker = ?", (rater, speaker.strip())
    )
    if not rows:
        return None
    clips = int(rows[0]["clips"])
    vectors = np.frombuffer(rows[0]["vectors"], "<f2").astype(np.float32).reshape(min(clips, MAX_CLIPS), -1)
    return Profile(NEUTRAL, rows[0]["encoder"], vectors, clips)


def forget_voice(store: AnnotationStore, speaker: str, rater: str) -> None:
    """Erase a voice that a rater keeps.

    Raises:
        StoreError: if there is none.
    """
    with store.database.writing() as connection:
        connection.execute("PRAGMA secure_delete = ON")
        cursor = connection.execute("DELETE FROM voices WHERE rater = ? AND speaker = ?", (rater, speaker))
        if not cursor.rowcount:
            raise StoreError(f"You keep no voice of '{speaker}'; it was deleted already.")
