"""Rules on seeing other people's votes and on withdrawing consent.

Decides by role, settings and votes; draws nothing.
"""

from dataclasses import replace
from sqlite3 import Connection

from annotations.raters.people import Person
from annotations.store import AnnotationStore, queries
from annotations.store.records import HistoryEntry
from annotations.store.rows import STANDING
from annotations.store.settings import settings_in_force

MOST_LOOKED_AT = 20
"""Times more entries that are read than shown, where many of them are not for everybody's eyes."""


def visible_history(store: AnnotationStore, person: Person, limit: int = 50) -> list[HistoryEntry]:
    """The last votes and runs, newest first, that a person may see.

    All of them for a maintainer; else one's own votes, and for an annotator those whose voting is over and the runs,
    without who started them.
    """
    if person.may("see other people's votes"):
        return queries.history(store, limit)
    entries = queries.history(store, MOST_LOOKED_AT * limit)
    clips = {entry.correction.clip_id for entry in entries if entry.correction}
    with store.reading() as connection:
        over = {clip_id for clip_id in clips if _is_over(connection, clip_id)}
    others = person.may("review stored clips")
    seen = [
        entry if entry.run is None else replace(entry, run=replace(entry.run, started_by="a maintainer"))
        for entry in entries
        if _is_theirs(entry, person) or (others and _clip_of(entry) in over | {None})
    ]
    return seen[:limit]


def visible_clip_history(store: AnnotationStore, person: Person, clip_id: int) -> list[HistoryEntry]:
    """List the history of a clip that a person may see; in blind mode no prediction before their own vote.

    Raises:
        ClipNotFoundError: if there is no such clip.
    """
    entries = queries.clip_history(store, clip_id)
    if person.may("see other people's votes"):
        return entries
    with store.reading() as connection:
        over = _is_over(connection, clip_id)
        voted = connection.execute(
            f"SELECT 1 FROM corrections WHERE clip_id = ? AND rater = ? AND {STANDING}", (clip_id, person.name)
        ).fetchone()
        blind = settings_in_force(connection).blind and not (voted and person.proved)
    return [
        entry
        for entry in entries
        if (entry.correction is None and not blind) or (entry.correction and (over or _is_theirs(entry, person)))
    ]


def own_consents(store: AnnotationStore, name: str, clip_id: int) -> tuple[str, ...]:
    """The purposes that a person has consented to for a clip, and may withdraw."""
    query = "SELECT purpose FROM consents_in_force WHERE clip_id = ? AND given_by = ?"
    return tuple(row["purpose"] for row in store.fetch(query, (clip_id, name)))


def _is_over(connection: Connection, clip_id: int) -> bool:
    """True if a clip has the votes that were wanted; never if there is no limit."""
    overlap = settings_in_force(connection).overlap
    if overlap is None:
        return False
    row = connection.execute("SELECT judged FROM queue_clips WHERE clip_id = ?", (clip_id,)).fetchone()
    return row is not None and row["judged"] >= overlap


def _is_theirs(entry: HistoryEntry, person: Person) -> bool:
    return person.proved and entry.correction is not None and entry.correction.rater == person.name


def _clip_of(entry: HistoryEntry) -> int | None:
    return entry.correction.clip_id if entry.correction else None
