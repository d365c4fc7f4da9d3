"""Corpus folders -> Examples. Reads tables, opens no audio, knows nothing of features or training.

A corpus folder holds `metadata.csv` with `file_name,label` and, where known, `speaker`, `transcript`, `language`,
`gender`, `intensity` (normal, strong, or a number from 0 to 1), `split` and `weight`; file names are relative to
the folder.
"""

import csv
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import TrainingDataError
from ser.labels import EMOTIONS, to_label
from ser.types import Example

METADATA_FILE = "metadata.csv"
REQUIRED_COLUMNS = ("file_name", "label")

INTENSITIES: Mapping[str, float] = {"normal": 0.0, "strong": 1.0}
"""RAVDESS's two levels. Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Corpus:
    """What a corpus folder gave.

    Attributes:
        name: of the folder.
        examples: with a label we know and a file that is there.
        unknown_labels: {label: clips} that mean none of our emotions; those clips are left out.
        missing_files: named in the table, absent from the folder.
        speakers_known: False where every file counts as a speaker of its own.
        label_set: the labels that were asked for.
    """

    name: str
    examples: tuple[Example, ...]
    unknown_labels: Mapping[str, int]
    missing_files: tuple[str, ...]
    speakers_known: bool
    label_set: tuple[str, ...] = EMOTIONS

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of it, as sentences."""
        notes = []
        if self.unknown_labels:
            counts = ", ".join(f"{label} ({count})" for label, count in self.unknown_labels.items())
            notes.append(f"{self.name}: labels that mean none of the {len(self.label_set)} wanted, left out: {counts}.")
        if self.missing_files:
            first = ", ".join(self.missing_files[:3])
            notes.append(f"{self.name}: {len(self.missing_files)} file(s) of the table are missing, such as {first}.")
        if not self.speakers_known:
            notes.append(f"{self.name}: no speakers are given, so each file counts as a speaker of its own.")
        return tuple(notes)


def read_corpus(folder: Path | str, label_set: Sequence[str] = EMOTIONS) -> Corpus:
    """Read a corpus folder.

    Args:
        folder: with `metadata.csv`.
        label_set: the labels wanted; with `ser.labels.RAVDESS_EIGHT`, calm stays apart from neutral.

    Returns:
        Its examples, and what was left out by name and number.

    Raises:
        TrainingDataError: where the table is absent or unreadable, lacks a column, or gives no usable example.
    """
    folder = Path(folder)
    rows = _read_rows(folder)
    unknown: Counter[str] = Counter()
    missing: list[str] = []
    examples: list[Example] = []
    for row in rows:
        emotion = to_label(row["label"], label_set)
        path = folder / row["file_name"]
        if emotion is None:
            unknown[row["label"].strip() or "(empty)"] += 1
        elif not path.is_file():
            missing.append(row["file_name"])
        else:
            examples.append(
                Example(
                    path=path,
                    label=emotion,
                    speaker=row.get("speaker") or f"{folder.name}/{row['file_name']}",
                    corpus=folder.name,
                    transcript=row.get("transcript") or None,
                    language=row.get("language") or None,
                    weight=_weight(row.get("weight"), folder),
                    intensity=_intensity(row.get("intensity"), folder),
                    gender=row.get("gender") or None,
                    split=row.get("split") or None,
                )
            )
    corpus = Corpus(
        folder.name,
        tuple(examples),
        dict(sorted(unknown.items())),
        tuple(missing),
        all(row.get("speaker") for row in rows),
        tuple(label_set),
    )
    if not examples:
        reasons = " ".join(corpus.notes) or "The table has no rows."
        raise TrainingDataError(f"{folder / METADATA_FILE} gives no usable example. {reasons}")
    return corpus


def load_corpus(folder: Path | str, label_set: Sequence[str] = EMOTIONS) -> list[Example]:
    """The examples of a corpus folder; what was left out is logged as a warning.

    Raises:
        TrainingDataError: as `read_corpus`.
    """
    corpus = read_corpus(folder, label_set)
    for note in corpus.notes:
        logger.warning(note)
    return list(corpus.examples)


def _read_rows(folder: Path) -> list[dict[str, str]]:
    path = folder / METADATA_FILE
    if not path.is_file():
        raise TrainingDataError(
            f"There is no {METADATA_FILE} in {folder}; a table with the columns {','.join(REQUIRED_COLUMNS)},speaker "
            "is expected there."
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path} could not be read: {error}. A UTF-8 table with commas is expected.") from error
    lacking = [column for column in REQUIRED_COLUMNS if column not in columns]
    if lacking:
        raise TrainingDataError(
            f"{path} has the columns {', '.join(columns) or '(none)'}; {' and '.join(lacking)} is missing. "
            f"Expected at least {', '.join(REQUIRED_COLUMNS)}."
        )
    return rows


def _weight(text: str | None, folder: Path) -> float:
    if not text:
        return 1.0
    try:
        weight = float(text)
    except ValueError as error:
        raise TrainingDataError(f"{folder / METADATA_FILE}: the weight '{text}' is no number.") from error
    if not 0.0 < weight < float("inf"):
        raise TrainingDataError(f"{folder / METADATA_FILE}: the weight {weight} must be above 0.")
    return weight


def _intensity(text: str | None, folder: Path) -> float | None:
    if not text:
        return None
    try:
        intensity = INTENSITIES.get(text.strip().lower())
        intensity = float(text) if intensity is None else intensity
    except ValueError:
        intensity = -1.0
    if not 0.0 <= intensity <= 1.0:
        raise TrainingDataError(
            f"{folder / METADATA_FILE}: the intensity '{text}' is neither {', nor '.join(INTENSITIES)}, "
            "nor a number from 0 to 1."
        )
    return intensity
