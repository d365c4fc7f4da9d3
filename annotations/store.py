"""The store of clips, answers, votes, model versions and training runs: its write side.

Recordings lie as files beside one SQLite database. Knows no model and no page; reading is in `annotations.queries`.
"""

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType

import numpy as np
import numpy.typing as npt

from annotations import writes
from annotations.clip_records import ClipRecords
from annotations.database import StoreDatabase
from annotations.errors import NothingToUndoError
from annotations.media import sync_folder
from annotations.queue_index import QueueIndex
from annotations.records import Clip, Correction, Prediction
from annotations.rows import CORRECTIONS, timestamp
from annotations.sounds import insert_sound
from annotations.training_records import TrainingRecords, read_active_version
from annotations.validation import check_rater
from annotations.writes import NewClip, NewVote, grant
from ser.types import Audio, Recognition

DATABASE = "annotations.db"


class AnnotationStore(ClipRecords, TrainingRecords):
    """Clips and what was said of them, under one folder.

    What a method has returned is on the disk: it survives a killed process and a power loss. What it has not
    returned is there wholly or not at all. Methods may be called from any thread, and any number of processes
    may open the same folder.

    Args:
        data_dir: the folder; made where it is missing.
        journal_mode: `wal`; on a network disk `delete`.
        database: another database file for the same recordings, such as a `snapshot`.

    Attributes:
        queue_index: what the review queue keeps in memory, filled when it is first asked for a clip.

    Raises:
        StoreError: where the folder cannot be used or its database is newer than this code.
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
            ClipNotFoundError, VersionNotFoundError: where one of the two is not there.
        """
        with self.database.writing() as connection:
            writes.read_clip(connection, clip_id)
            return writes.insert_prediction(connection, clip_id, recognition, model_version_id)

    def add_sound(self, clip_id: int, vector: npt.NDArray[np.floating]) -> None:
        """Store what was measured of a clip's sound, for the queue's most informative order.

        Args:
            clip_id: of the clip.
            vector: shape (size,), finite; replaces the clip's earlier one.

        Raises:
            ClipNotFoundError: where the clip is not there.
            StoreError: where the vector is none.
        """
        with self.database.writing() as connection:
            writes.read_clip(connection, clip_id)
            insert_sound(connection, clip_id, vector)

    def add_correction(
        self,
        clip_id: int,
        *,
        rater: str,
        verdict: str,
        label: str | None = None,
        intensity: float | None = None,
        transcript: str | None = None,
        prediction_id: int | None = None,
        distribution: Mapping[str, float] | None = None,
        valence: float | None = None,
        arousal: float | None = None,
        comment: str | None = None,
        seconds: float | None = None,
        answer_shown: bool | None = None,
    ) -> Correction:
        """Store one person's vote on a clip; it takes the place of their earlier one, which stays on record.

        Args:
            clip_id: of the clip.
            rater: who votes, 1 to 80 characters.
            verdict: one of `VERDICTS`; accept and correct need a label, skip and unsure take none.
            label: one of `EMOTIONS`; may be left out beside a distribution, whose largest share it is.
            intensity: 0..100.
            transcript: what was said, as the rater heard it, where they changed it.
            prediction_id: the answer that was on the page, or kept from it in blind mode.
            distribution: {label: weight} of any sum, as sliders give them; stored as shares that sum to 1.
            valence: 0..100, from unpleasant to pleasant; 50 is neutral.
            arousal: 0..100, from calm to excited.
            comment: anything else.
            seconds: the time the vote took.
            answer_shown: False in blind mode; None where not known.

        Raises:
            InvalidVoteError: where one of these cannot be.
            ClipNotFoundError: where there is no such clip.
        """
        vote = NewVote(
            rater,
            verdict,
            label,
            intensity,
            transcript,
            distribution=distribution,
            valence=valence,
            arousal=arousal,
            comment=comment,
            seconds=seconds,
            answer_shown=answer_shown,
        )
        with self.database.writing() as connection:
            writes.read_clip(connection, clip_id)
            return writes.insert_correction(connection, clip_id, vote, prediction_id)

    def save_feedback(
        self,
        audio: Audio,
        recognition: Recognition | None,
        *,
        rater: str,
        verdict: str,
        label: str | None,
        intensity: float | None,
        transcript: str | None,
        consent: Sequence[str],
        source: str,
        speaker: str | None = None,
        session: str | None = None,
        model_version_id: int | None = None,
        language: str | None = None,
        distribution: Mapping[str, float] | None = None,
        valence: float | None = None,
        arousal: float | None = None,
        comment: str | None = None,
        seconds: float | None = None,
        answer_shown: bool | None = None,
        consent_wording: str | None = None,
        sound: npt.NDArray[np.floating] | None = None,
    ) -> tuple[Clip, Correction]:
        """Store a recording, the answer given for it and a vote on that answer, all or nothing.

        Args:
            audio: mono at 16 kHz.
            recognition: what the page showed; None where no model answered.
            rater: as in `add_correction`, like verdict, label, intensity, transcript, distribution, valence, arousal,
                comment, seconds and answer_shown; also who consents.
            verdict: see there.
            label: see there.
            intensity: see there.
            transcript: see there.
            consent: as in `add_clip`, like source, speaker and session.
            source: see there.
            speaker: see there.
            session: see there.
            model_version_id: the version that answered; by default the one in use now.
            language: as in `add_clip`.
            distribution: as in `add_correction`.
            valence: see there.
            arousal: see there.
            comment: see there.
            seconds: see there.
            answer_shown: see there.
            consent_wording: as in `add_clip`.
            sound: as in `add_sound`, where it was measured.

        Raises:
            ConsentRequiredError, InvalidVoteError: where something given cannot be; nothing is written then.
            StoreError: where the disk is full or refuses; nothing is stored then.
        """
        vote = NewVote(
            rater,
            verdict,
            label,
            intensity,
            transcript,
            distribution=distribution,
            valence=valence,
            arousal=arousal,
            comment=comment,
            seconds=seconds,
            answer_shown=answer_shown,
        )
        clip = NewClip(source, speaker, session, grant(consent, vote.rater, consent_wording), language=language)

        def write(connection: Connection) -> tuple[Clip, Correction]:
            stored = writes.insert_clip(connection, audio, clip)
            if sound is not None:
                insert_sound(connection, stored.id, sound)
            prediction_id = None
            if recognition is not None:
                version_id = model_version_id or read_active_version(connection).id
                prediction_id = writes.insert_prediction(connection, stored.id, recognition, version_id).id
            return stored, writes.insert_correction(connection, stored.id, vote, prediction_id)

        return self.write_clip(audio, write)

    def undo_last_correction(self, rater: str) -> Correction:
        """Take back a rater's last vote that stands; the vote stays on record, marked.

        Raises:
            NothingToUndoError: where no vote of theirs stands.
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
            path: the copy; replaced whole where it is there. Recordings are not copied: open the copy with
                `AnnotationStore(data_dir, database=path)`.

        Raises:
            StoreError: where the copy cannot be written.
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
