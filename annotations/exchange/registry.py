"""Registry of exports, so that an erasure reaches them: their places, their clips, and writing them anew.

Knows places and clip ids; the writer of exports is handed in.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import ExchangeError, StoreError
from annotations.store import AnnotationStore
from annotations.store.rows import insert_row, timestamp, to_record

HUB = "hub"
"""The form of an export that was published: its place is the name of a data set."""


@dataclass(frozen=True)
class RememberedExport:
    """An export that was made.

    Attributes:
        path: absolute; of form `hub` the name of the data set.
        form: one of `exporting.FORMATS`, or `hub`.
        purpose: one of `CONSENT_PURPOSES`.
    """

    id: int
    path: str
    form: str
    purpose: str
    created_at: str


@dataclass
class Remade:
    """Outcome for the exports that held something erased; see `ErasureReport`."""

    remade: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)


def remember_export(store: AnnotationStore, path: str, form: str, purpose: str, clip_ids: Iterable[int]) -> int:
    """Note an export before it is put in its place; an earlier one of that place is forgotten.

    Returns:
        Its number, for `forget_export` where it is not made after all.
    """
    with store.database.writing() as connection:
        for row in connection.execute("SELECT id FROM exports WHERE path = ? AND form = ?", (path, form)).fetchall():
            _forget(connection, row["id"])
        number = insert_row(connection, "exports", path=path, form=form, purpose=purpose, created_at=timestamp())
        connection.executemany(
            "INSERT INTO export_clips SELECT ?, id FROM clips WHERE id = ?", ((number, clip_id) for clip_id in clip_ids)
        )
        return number


def is_whole(store: AnnotationStore, number: int, clips: int) -> bool:
    """True if none of an export's clips was erased since it was read, or its consent withdrawn."""
    query = (
        "SELECT count(DISTINCT clip_id) AS clips FROM exports JOIN export_clips ON export_id = exports.id "
        "JOIN consents_in_force USING (clip_id, purpose) WHERE exports.id = ?"
    )
    return bool(store.fetch(query, (number,))[0]["clips"] == clips)


def forget_export(store: AnnotationStore, number: int) -> None:
    """Forget an export that was not made, or that is gone."""
    with store.database.writing() as connection:
        _forget(connection, number)


def list_exports(store: AnnotationStore) -> list[RememberedExport]:
    """All exports that are remembered, oldest first."""
    return [to_record(row, RememberedExport) for row in store.fetch("SELECT * FROM exports ORDER BY id")]


def exports_with_clips(connection: sqlite3.Connection, clip_ids: Sequence[int], purposes: Sequence[str]) -> list[int]:
    """The exports for some purposes that hold any of some clips."""
    rows = connection.execute(
        "SELECT DISTINCT exports.id FROM exports JOIN export_clips ON export_id = exports.id "
        "WHERE clip_id IN (SELECT value FROM json_each(?)) AND purpose IN (SELECT value FROM json_each(?)) ORDER BY 1",
        (json.dumps(list(clip_ids)), json.dumps(list(purposes))),
    )
    return [row["id"] for row in rows]


def exports_with_rater(connection: sqlite3.Connection, rater: str) -> list[int]:
    """The exports that hold a clip on which a rater has voted, or whose recording or picture they have agreed to."""
    rows = connection.execute(
        "SELECT DISTINCT export_id AS id FROM export_clips WHERE clip_id IN ("
        "SELECT clip_id FROM corrections WHERE rater = ? UNION SELECT clip_id FROM consents WHERE given_by = ? "
        "UNION SELECT clip_id FROM gold_marks WHERE marked_by = ? "
        "UNION SELECT clip_id FROM faces WHERE given_by = ?) ORDER BY 1",
        (rater, rater, rater, rater),
    )
    return [row["id"] for row in rows]


def remake_exports(
    store: AnnotationStore, numbers: Iterable[int], remake: Callable[[RememberedExport, Sequence[int]], object]
) -> Remade:
    """Make exports anew from what the store holds now, as far as they are still in their places.

    Args:
        store: after the erasure.
        numbers: of the exports.
        remake: writes one over itself, with those of the clips that may still be in it.
    """
    outcome, wanted = Remade(), set(numbers)
    for export in (export for export in list_exports(store) if export.id in wanted):
        if export.form == HUB:
            outcome.elsewhere.append(
                f"The data set {export.path} was published with it on {export.created_at[:10]}: publish it anew with "
                f"`export --push-to-hub {export.path}`, and delete its older revisions there."
            )
        elif not Path(export.path).exists():
            forget_export(store, export.id)
        else:
            rows = store.fetch("SELECT clip_id FROM export_clips WHERE export_id = ?", (export.id,))
            clip_ids = [row["clip_id"] for row in rows]
            try:
                remake(export, clip_ids)
                outcome.remade.append(export.path)
            except (StoreError, ExchangeError) as error:
                outcome.remains.append(f"The export {export.path} could not be made anew ({error}). Delete it.")
    return outcome


def _forget(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM export_clips WHERE export_id = ?", (number,))
    connection.execute("DELETE FROM exports WHERE id = ?", (number,))
