"""Clips of the store: each recording once, as a file with its row.

The part of `AnnotationStore` that writes files; knows no answer and no vote.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import Connection
from typing import TypeVar

from annotations.errors import ClipNotFoundError, StoreError
from annotations.store.database import StoreDatabase
from annotations.store.media import media_path, save_media
from annotations.store.new_records import NewClip, grant
from annotations.store.records import Clip
from annotations.store.tables import writes
from annotations.store.tables.rows import CLIPS, to_clip
from ser.types import Audio

Result = TypeVar("Result")


class ClipRecords:
    """Clips of one folder and one database."""

    data_dir: Path
    database: StoreDatabase

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection on one consistent state, for `annotations.store.queries`."""
        return self.database.reading()

    def add_clip(
        self,
        audio: Audio,
        *,
        source: str,
        speaker: str | None = None,
        session: str | None = None,
        consent: Sequence[str] = ("research",),
        consent_by: str | None = None,
        consent_wording: str | None = None,
        language: str | None = None,
    ) -> Clip:
        """Store a recording once, however often it comes.

        Args:
            audio: mono at 16 kHz.
            source: `page`, `api`, or the name of what it was imported from.
            speaker: who speaks; fills in what was not known before, never overwrites.
            session: groups clips of one session; likewise.
            consent: purposes of `CONSENT_PURPOSES`; added to those given before.
            consent_by: who consents.
            consent_wording: what was agreed to, in the words that were shown, or the name of their version.
            language: ISO 639-1, if known; likewise.

        Returns:
            The clip, the same one for the same signal.

        Raises:
            ConsentRequiredError: if `consent` is empty or unknown; nothing is written then.
            StoreError: if the disk is full or refuses; nothing is stored then.
        """
        clip = NewClip(source, speaker, session, grant(consent, consent_by, consent_wording), language=language)
        return self.write_clip(audio, lambda connection: writes.insert_clip(connection, audio, clip))

    def get_clip(self, clip_id: int) -> Clip:
        """The clip with that id, or `ClipNotFoundError`."""
        with self.reading() as connection:
            return writes.read_clip(connection, clip_id)

    def find_clip(self, sha256: str) -> Clip | None:
        """The clip of a signal, if it is stored."""
        with self.reading() as connection:
            row = connection.execute(f"{CLIPS} WHERE sha256 = ?", (sha256,)).fetchone()
        return to_clip(row) if row else None

    def clip_path(self, clip: Clip) -> Path:
        """The clip's FLAC file, absolute.

        Raises:
            ClipNotFoundError: if the file is gone.
        """
        path = self.data_dir / clip.path
        if not path.is_file():
            raise ClipNotFoundError(
                f"The recording of clip {clip.id} is missing ({path}). Run `python -m annotations check`."
            )
        return path

    def write_clip(self, audio: Audio, write: Callable[[Connection], Result]) -> Result:
        """Put a recording on the disk, then run a transaction that refers to it.

        The file comes first: a crash in between leaves a file without a row, which does no harm and which
        `annotations check` finds, never a row without its file.

        Args:
            audio: the recording.
            write: makes the rows; run within one transaction.

        Returns:
            What `write` returns.
        """
        with self.database.plain_errors():
            written = save_media(self.data_dir, audio)
        try:
            with self.database.writing() as connection:
                # Under the write lock nobody removes files; what was removed just before it is written again.
                save_media(self.data_dir, audio)
                return write(connection)
        except BaseException:
            if written:
                self._discard_media(audio.sha256)
            raise

    def _discard_media(self, sha256: str) -> None:
        # Another process may have stored the same recording meanwhile: only the write lock makes the look certain.
        try:
            with self.database.writing() as connection:
                if connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (sha256,)).fetchone() is None:
                    (self.data_dir / media_path(sha256)).unlink(missing_ok=True)
        except StoreError:
            return  # The first error is the one to tell; `annotations check` finds the file.
