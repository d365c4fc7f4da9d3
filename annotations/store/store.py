"""The store of clips, answers, votes, model versions and training runs: its write side.

Recordings lie as files beside one SQLite database. Knows no model and no page; reading is in `store.queries`.
"""

import os
import uuid
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType

from annotations.errors import NothingToUndoError
from annotations.store.database import StoreDatabase
from annotations.store.media import sync_folder
from annotations.store.new_records import NewClip, NewVote
from annotations.store.records import Clip, Correction, Prediction
from annotations.store.tables import writes
from annotations.store.tables.clip_records import ClipRecords
from annotations.store.tables.queue_index import QueueIndex
from annotations.store.tables.rows import CORRECTIONS, timestamp
from annotations.store.training_records import TrainingRecords, read_active_version
from annotations.store.validation import check_rater
from ser.types import Audio, Recognition

DATABASE = "annotations.db"


class AnnotationStore(ClipRecords, TrainingRecords):
    """Clips and what was said of them, under one folder.

    What a method has returned is on the disk: it survives a killed process and a power loss. What it has not
    returned is there wholly or not at all. Methods may be called from any thread, and any number of processes
    may open the same folder.

    Args:
        data_dir: the folder; made if it is missing.
        journal_mode: `wal`; on a network disk `delete`.
        database: another database file for the same recordings, such as a `snapshot`.

    Attributes:
        queue_index: what the review queue keeps in memory, filled when it is first asked for a clip.

    Raises:
        StoreError: if the folder cannot be used or its database is newer than this code.
    """

    def __init__(self, data_dir: Path, *, journal_mode: str = "wal", database: Path | None = None) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.database = StoreDatabase(database or self.data_dir / DATABASE, journal_mode)
        self.queue_index = QueueIndex()

    def __enter__(self) -> "AnnotationStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database file."""
        self.database.close()

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
            writes.read_clip(connection, clip_id)
            return writes.insert_prediction(connection, clip_id, recognition, model_version_id)

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
            writes.read_clip(connection, clip_id)
            return writes.insert_correction(connection, clip_id, vote, prediction_id)

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
            stored = writes.insert_clip(connection, audio, clip)
            prediction_id = None
            if recognition is not None:
                version_id = model_version_id or read_active_version(connection).id
                prediction_id = writes.insert_prediction(connection, stored.id, recognition, version_id).id
            return stored, writes.insert_correction(connection, stored.id, vote, prediction_id)

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
            writes.insert_retraction(connection, row["id"], timestamp())
            return writes.read_correction(connection, row["id"])

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
