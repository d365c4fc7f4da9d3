"""Pictures of faces that came with recordings. A picture goes with its clip's rows, so that it is erased with them."""

import sqlite3
from dataclasses import dataclass

from annotations.errors import ConsentRequiredError, StoreError

LARGEST = 2_000_000
"""Bytes of a picture."""


@dataclass(frozen=True)
class NewFace:
    """A picture about to be stored.

    Attributes:
        jpeg: the face alone.
        wording: of the consent to keep it, as it was shown; the consent to keep the recording is another.
        given_by: who consents; None if it was not said.
    """

    jpeg: bytes
    wording: str
    given_by: str | None = None

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
        "INSERT INTO faces (clip_id, jpeg, given_by, wording, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (clip_id) DO UPDATE SET jpeg = excluded.jpeg, given_by = excluded.given_by, "
        "wording = excluded.wording, created_at = excluded.created_at",
        (clip_id, face.jpeg, face.given_by, face.wording, now),
    )


def read_face(connection: sqlite3.Connection, clip_id: int) -> bytes | None:
    """The picture of a clip as JPEG; None if there is none."""
    row = connection.execute("SELECT jpeg FROM faces WHERE clip_id = ?", (clip_id,)).fetchone()
    return None if row is None else bytes(row["jpeg"])
