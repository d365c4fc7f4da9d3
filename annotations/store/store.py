"""The store of clips, answers, votes, model versions and training runs: its write side.

Recordings are files in the folder of one SQLite database. Knows no model and no page; reading is in `store.queries`.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from sqlite3 import Connection, Row
from types import TracebackType
from typing import TypeVar

from annotations.errors import ClipNotFoundError, NothingToUndoError, StoreError
from annotations.store.database import StoreDatabase
from annotations.store.media import media_path, save_media, sync_folder
from annotations.store.new_records import NewClip, NewVote, check_rater, grant
from annotations.store.records import Clip, Correction, Prediction
from annotations.store.rows import (
    CLIPS,
    CORRECTIONS,
    insert_clip,
    insert_correction,
    insert_prediction,
    insert_retraction,
    read_clip,
    read_correction,
    timestamp,
    to_clip,
)
from annotations.store.training_records import TrainingRecords, read_active_version
from ser.types import Audio, Recognition

DATABASE = "annotations.db"

Result = TypeVar("Result")


class AnnotationStore(TrainingRecords):
    """Clips and what was said of them, under one folder.

    What a method has returned is on the disk: it survives a killed process and a power loss. What it has not
    returned is there wholly or not at all. Methods may be called from any thread, and any number of processes
    may open the same folder.

    Args:
        data_dir: the folder; made if it is missing.
        journal_mode: `wal`; on a network disk `delete`.
        database: another database file for the same recordings, such as a `snapshot`.

    Raises:
        StoreError: if the folder cannot be used or its database is newer than this code.
    """

    def __init__(self, data_dir: Path, *, journal_mode: str = "wal", database: Path | None = None) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.database = StoreDatabase(database or self.data_dir / DATABASE, journal_mode)

    def __enter__(self) -> "AnnotationStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database file."""
        self.database.close()

    def reading(self) -> AbstractContextManager[Connection]:
        """A read-only connection on one consistent state, for `annotations.store.queries`."""
        return self.database.reading()

    def fetch(self, query: str, parameters: Sequence[object] = ()) -> list[Row]:
        """The rows of one query."""
        with self.reading() as connection:
            return connection.execute(query, parameters).fetchall()

    # Clips: each recording once, as a file with its row

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
            speaker: who speaks; fills in what was not known before, never over
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
        return self.write_clip(audio, lambda connection: insert_clip(connection, audio, clip))

    def get_clip(self, clip_id: int) -> Clip:
        """The clip with that id, or `ClipNotFoundError`."""
        with self.reading() as connection:
            return read_clip(connection, clip_id)

    def find_clip(self, sha256: str) -> Clip | None:
        """The clip of a signal, if it is stored."""
        return next(map(to_clip, self.fetch(f"{CLIPS} WHERE sha256 = ?", (sha256,))), None)

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
            return  # The first error is the one to report; `annotations check` finds the file.

    # Answers and votes

    def add_prediction(
        self,
        clip_id: int,
        recognition: Recognition,
        model_version_id: int,
    ) -> Prediction:
        """Store what a model answered for a clip; earlier answers stay.

        Args:
            clip_id: of the clip.
            recognition: the answer.
            model_version_id: of the model.

        Raises:
            ClipNotFoundError, VersionNotFoundError: if one of the two is not there.
        """
        with self.database.writing() as connection:
            read_clip(connection, clip_id)
            return insert_prediction(connection, clip_id, recognition, model_version_id)

    def add_correction(self, clip_id: int, vote: NewVote, *, prediction_id: int | None = None) -> Correction:
        """Store one person's vote on a clip; it takes the place of their earlier one, which stays on record.

        Args:
            clip_id: of the clip.
            vote: the vote.
            prediction_id: the prediction that was on the page, or kept from it in blind mode.

        Raises:
            ClipNotFoundError: if there is no such clip.
        """
        with self.database.writing() as connection:
            read_clip(connection, clip_id)
            return insert_correction(connection, clip_id, vote, prediction_id)

    def save_feedback(
        self,
        audio: Audio,
        recognition: Recognition | None,
        vote: NewVote,
        clip: NewClip,
        *,
        model_version_id: int | None = None,
    ) -> tuple[Clip, Correction]:
        """Store a recording, the prediction for it with its embedding, and a vote on it, all or nothing.

        Args:
            audio: mono at 16 kHz.
            recognition: the prediction that was on the page; None if no model predicted.
            vote: the vote.
            clip: description of the recording, consent included.
            model_version_id: the version that predicted; by default the current one.

        Raises:
            StoreError: if the disk is full or refuses; nothing is stored then.
        """

        def write(connection: Connection) -> tuple[Clip, Correction]:
            stored = insert_clip(connection, audio, clip)
            prediction_id = None
            if recognition is not None:
                version_id = model_version_id or read_active_version(connection).id
                prediction_id = insert_prediction(connection, stored.id, recognition, version_id).id
            return stored, insert_correction(connection, stored.id, vote, prediction_id)

        return self.write_clip(audio, write)

    def undo_last_correction(self, rater: str) -> Correction:
        """Take back a rater's last vote that stands; the vote stays on record, marked.

        Raises:
            NothingToUndoError: if no vote of theirs stands.
        """
        rater = check_rater(rater)
        with self.database.writing() as connection:
            row = connection.execute(
                f"{CORRECTIONS} WHERE rater = ? AND retracted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 1",
                (rater,),
            ).fetchone()
            if row is None:
                raise NothingToUndoError(f"{rater} has no vote left to undo.")
            insert_retraction(connection, row["id"], timestamp())
            return read_correction(connection, row["id"])

    def retract_votes(self, clip_id: int, rater: str) -> int:
        """Take back all votes of a rater on a clip that stand; they stay on record, marked. Returns how many.

        Raises:
            NothingToUndoError: if none stands.
        """
        rater = check_rater(rater)
        with self.database.writing() as connection:
            standing = connection.execute(
                f"{CORRECTIONS} WHERE clip_id = ? AND rater = ? AND retracted_at IS NULL", (clip_id, rater)
            ).fetchall()
            if not standing:
                raise NothingToUndoError(f"{rater} has no vote on clip {clip_id} to take back.")
            for row in standing:
                insert_retraction(connection, row["id"], timestamp())
            return len(standing)

    # The whole

    def snapshot(self, path: Path) -> Path:
        """Copy the database, as it is at one moment, to one compact file; writers go on meanwhile.

        Args:
            path: the copy; replaced whole if it is there. Recordings are not copied: open the copy with
                `AnnotationStore(data_dir, database=path)`.

        Raises:
            StoreError: if the copy cannot be written.
        """
        path = Path(path).absolute()
        temporary = path.with_name(f".tmp-{os.getpid()}-{uuid.uuid4().hex}.db")
        with self.database.plain_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self.database.vacuum_into(temporary)
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
        return path
