"""Exports as tables: audiofolder, JSONL and CSV. Knows records and files; knows no store."""

import csv
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from annotations.exchange import OWN_TABLE, TABLE
from annotations.exchange.exports.reading import AUDIO, Exported, Record
from ser.corpora.tables.files import escape_cell
from ser.labels import EMOTIONS

_PLAIN = (
    "file_name",
    "sha256",
    "duration",
    "label",
    "raters",
    "speaker",
    "session",
    "source",
    "language",
    "created_at",
    "transcript",
    "original_label",
    "parent_sha256",
    "parent_start",
    "parent_end",
)


def flat_columns(labels: Sequence[str] = EMOTIONS) -> tuple[str, ...]:
    """The columns of a table with a row a clip."""
    return (*_PLAIN, "consent", "gold", *(f"share_{label}" for label in labels))


def write_audiofolder(clips: Iterable[Exported], folder: Path, labels: Sequence[str] = EMOTIONS) -> None:
    """Write a folder of recordings with a table for `datasets` and one for an import by this program."""
    (folder / AUDIO).mkdir()
    with (
        open(folder / TABLE, "w", encoding="utf-8", newline="") as table,
        open(folder / OWN_TABLE, "w", encoding="utf-8", newline="\n") as own,
    ):
        writer = csv.writer(table)
        writer.writerow(flat_columns(labels))
        for clip in clips:
            _copy_files(clip, folder / AUDIO)
            writer.writerow(flatten(clip.record, labels))
            own.write(json.dumps(clip.record, ensure_ascii=False) + "\n")


def write_jsonl(clips: Iterable[Exported], table: Path, labels: Sequence[str] = EMOTIONS) -> None:
    """Write one line per clip, and the recordings in a folder next to it."""
    audio = table.with_name(f"{table.stem}_{AUDIO}")
    audio.mkdir()
    with open(table, "w", encoding="utf-8", newline="\n") as own:
        for clip in clips:
            _copy_files(clip, audio)
            own.write(json.dumps(_moved(clip.record, audio.name), ensure_ascii=False) + "\n")


def _copy_files(clip: Exported, folder: Path) -> None:
    shutil.copyfile(clip.path, folder / f"{clip.record['sha256']}.flac")
    if clip.picture is not None:
        (folder / f"{clip.record['sha256']}.jpg").write_bytes(clip.picture)


def _moved(record: Record, folder: str) -> Record:
    """Name the files in another folder."""
    face = record.get("face")
    faces = {"face": {**face, "file_name": f"{folder}/{record['sha256']}.jpg"}} if isinstance(face, dict) else {}
    return {**record, "file_name": f"{folder}/{record['sha256']}.flac", **faces}


def write_csv(
    clips: Iterable[Exported], table: Path, labels: Sequence[str] = EMOTIONS, *, for_spreadsheets: bool = False
) -> None:
    """Write one row per clip, and one row per vote in a second table; no recordings.

    Args:
        clips: to write.
        table: of the clips, to make.
        labels: of the store.
        for_spreadsheets: whether text that a spreadsheet takes for a formula gets an apostrophe before it.
    """

    def escaped(cells: Iterable[object]) -> list[object]:
        return [escape_cell(cell, for_spreadsheets) for cell in cells]

    votes_table = table.with_name(f"{table.stem}_votes{table.suffix}")
    names: list[str] = []
    with (
        open(table, "w", encoding="utf-8", newline="") as first,
        open(votes_table, "w", encoding="utf-8", newline="") as second,
    ):
        writer, votes = csv.writer(first), csv.writer(second)
        writer.writerow(flat_columns(labels)[1:])
        for clip in clips:
            writer.writerow(escaped(flatten(clip.record, labels)[1:]))
            for vote in votes_of(clip.record):
                if not names:
                    names = [name for name in vote if name != "prediction"]
                    votes.writerow(("sha256", *names))
                votes.writerow(escaped((clip.record["sha256"], *(_cell(vote[name]) for name in names))))
        if not names:
            votes.writerow(("sha256", "rater", "verdict", "label"))


def flatten(record: Record, labels: Sequence[str] = EMOTIONS) -> list[object]:
    """A clip as the cells of `flat_columns`."""
    shares = record["soft_label"]
    flat = [_cell(record[name]) for name in _PLAIN]
    return [
        *flat,
        " ".join(purposes_in_force(record)),
        gold_label(record),
        *(shares.values() if isinstance(shares, dict) else [None] * len(labels)),
    ]


def votes_of(record: Record) -> list[Mapping[str, object]]:
    """The raw votes."""
    votes = record["votes"]
    assert isinstance(votes, list)
    return votes


def purposes_in_force(record: Record) -> list[str]:
    """The purposes that are consented to now; the newest row of each counts."""
    consents = record["consents"]
    assert isinstance(consents, list)
    newest = {given["purpose"]: given["granted"] for given in consents}
    return sorted(purpose for purpose, granted in newest.items() if granted)


def gold_label(record: Record) -> object:
    """The known answer, if there is one; the newest mark counts."""
    marks = record["gold_marks"]
    assert isinstance(marks, list)
    return marks[-1]["label"] if marks else None


def _cell(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
