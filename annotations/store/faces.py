"""Pictures of faces that came with recordings. A picture goes with its clip's rows, so that it is erased with them."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from annotations.errors import ConsentRequiredError, StoreError

LARGEST = 2_000_000
"""Bytes of a picture."""


@dataclass(frozen=True)
class NewFace:
    """A picture with the consent to keep it.

    Attributes:
        jpeg: the face alone.
        wording: of the consent to keep it, as it was shown; the consent to keep the recording is another.
        given_by: who consents; None if it was not said.
        may_export: whether it may be passed on with the recording, for what that is allowed for.
        created_at: for imports that carry their own time; None is now.
    """

    jpeg: bytes
    wording: str
    given_by: str | None = None
    may_export: bool = False
    created_at: str | None = None

    def __post_init__(self) -> None:
        if not self.wording.strip():
            raise ConsentRequiredError(
                "No picture is stored without a consent of its own. Ask for it, or leave it out."
            )
        if not self.jpeg.startswith(b"\xff\xd8") or len(self.jpeg) > LARGEST:
            raise StoreError(f"The picture has {len(self.jpeg)} bytes; a JPEG of at most {LARGEST} is expected.")


def insert_face(connection: sqlite3.Connection, clip_id: int, face: NewFace, now: str) -> None:
    """Store the picture of a clip, in place of an earlier one; in a transaction."""
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "INSERT INTO faces (clip_id, jpeg, given_by, wording, may_export, created_at) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (clip_id) DO UPDATE SET jpeg = excluded.jpeg, given_by = excluded.given_by, "
        "wording = excluded.wording, may_export = excluded.may_export, created_at = excluded.created_at",
        (clip_id, face.jpeg, face.given_by, face.wording, face.may_export, face.created_at or now),
    )


def read_face(connection: sqlite3.Connection, clip_id: int) -> NewFace | None:
    """The picture of a clip, and what was agreed to; None if there is none."""
    row = connection.execute("SELECT * FROM faces WHERE clip_id = ?", (clip_id,)).fetchone()
    if row is None:
        return None
    return NewFace(bytes(row["jpeg"]), row["wording"], row["given_by"], bool(row["may_export"]), row["created_at"])


def delete_faces(connection: sqlite3.Connection, condition: str, values: Sequence[object]) -> int:
    """Delete pictures, and what they showed, out of the predictions of their clips; in a transaction.

    Args:
        connection: of the store, or of a copy of an earlier one, which may know no pictures.
        condition: SQL that is true of their rows.
        values: of that SQL.

    Returns:
        How many there were.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'faces' AND type = 'table'").fetchone():
        return 0
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute(
        "UPDATE predictions SET details = json_remove(details, '$.face') "
        f"WHERE clip_id IN (SELECT clip_id FROM faces WHERE {condition})",
        values,
    )
    return connection.execute(f"DELETE FROM faces WHERE {condition}", values).rowcount
