"""Rules on seeing other people's votes and on withdrawing consent.

Decides by role, settings and votes; draws nothing.
"""

import json
from collections.abc import Iterable
from sqlite3 import Connection

from annotations.raters.people import Person
from annotations.store import AnnotationStore, queries
from annotations.store.faces import read_face
from annotations.store.records import HistoryEntry
from annotations.store.rows import STANDING
from annotations.store.settings import settings_in_force


def visible_clip_history(store: AnnotationStore, person: Person, clip_id: int) -> list[HistoryEntry]:
    """List the history of a clip that a person may see; in blind mode no prediction before their own vote.

    Raises:
        ClipNotFoundError: if there is no such clip.
    """
    entries = queries.clip_history(store, clip_id)
    if person.may("see other people's votes"):
        return entries
    with store.reading() as connection:
        over = bool(voting_is_over(connection, [clip_id]))
        voted = connection.execute(
            f"SELECT 1 FROM corrections WHERE clip_id = ? AND rater = ? AND {STANDING}", (clip_id, person.name)
        ).fetchone()
        blind = hides_answers(connection, person) and not (voted and person.proved)
    return [
        entry
        for entry in entries
        if (entry.correction is None and not blind) or (entry.correction and (over or _is_theirs(entry, person)))
    ]


def own_consents(store: AnnotationStore, name: str, clip_id: int) -> tuple[str, ...]:
    """The purposes that a person has consented to for a clip, and may withdraw."""
    query = "SELECT purpose FROM consents_in_force WHERE clip_id = ? AND given_by = ?"
    return tuple(row["purpose"] for row in store.fetch(query, (clip_id, name)))


def own_picture(store: AnnotationStore, person: Person, clip_id: int) -> bytes | None:
    """The picture stored with a clip, for those who may erase it: who consented, and all who may erase clips."""
    with store.reading() as connection:
        face = read_face(connection, clip_id)
    theirs = face is not None and person.proved and face.given_by == person.name
    return face.jpeg if face is not None and (theirs or person.may("erase")) else None


def hides_answers(connection: Connection, person: Person) -> bool:
    """True if a person sees the model's answer for a clip only once they have voted on it: in blind mode."""
    return settings_in_force(connection).blind and not person.may("see other people's votes")


def voting_is_over(connection: Connection, clip_ids: Iterable[int]) -> frozenset[int]:
    """Those of some clips that have the votes that were wanted; none of them if there is no limit."""
    overlap = settings_in_force(connection).overlap
    if overlap is None:
        return frozenset()
    rows = connection.execute(
        "SELECT clip_id FROM queue_clips WHERE judged >= ? AND clip_id IN (SELECT value FROM json_each(?))",
        (overlap, json.dumps([int(clip_id) for clip_id in clip_ids])),
    )
    return frozenset(row["clip_id"] for row in rows)


def _is_theirs(entry: HistoryEntry, person: Person) -> bool:
    return person.proved and entry.correction is not None and entry.correction.rater == person.name
