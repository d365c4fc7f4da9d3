"""Dialogues with labels and causes from CSV files. Knows nothing of models."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import TrainingDataError
from ser.labels import EMOTIONS, to_emotion
from ser.text.recipe import MIN_UNIQUE_WORDS, join_punctuation

COLUMNS = ("dialogue", "turn", "speaker", "text", "label")
CAUSES = "cause_turns"


@dataclass(frozen=True)
class Dialogue:
    """A labelled dialogue.

    Attributes:
        name: of the dialogue.
        texts: of the turns.
        speakers: of the turns.
        labels: index in `EMOTIONS` of each turn.
        causes: for each turn the places of those that caused its feeling, itself and earlier ones; None if causes were
            not annotated.
        later: causes in later turns, which are left out.
    """

    name: str
    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    labels: tuple[int, ...]
    causes: tuple[frozenset[int], ...] | None
    later: int = 0


def read_dialogues(path: Path) -> list[Dialogue]:
    """Read a CSV of turns in order: `dialogue, turn, speaker, text, label` and, if annotated, `cause_turns`.

    Raises:
        TrainingDataError: if the file cannot be read, lacks a column, or has a turn without a known label.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise TrainingDataError(f"{path} lacks the columns {', '.join(missing)}; needed are {COLUMNS}.")
            groups: dict[str, list[dict[str, str]]] = {}
            for row in reader:
                groups.setdefault(row["dialogue"], []).append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error
    return [_dialogue(path, name, rows) for name, rows in groups.items()]


def _dialogue(path: Path, name: str, rows: Sequence[dict[str, str]]) -> Dialogue:
    labels = [to_emotion(row["label"]) for row in rows]
    unknown = [row["label"] for row, label in zip(rows, labels, strict=True) if label is None]
    if unknown:
        raise TrainingDataError(f"{path}, dialogue {name}: unknown labels {', '.join(sorted(set(unknown)))}.")
    places = {row["turn"]: place for place, row in enumerate(rows)}
    causes, later = [], 0
    for place, row in enumerate(rows):
        named = {places[cause] for cause in (row.get(CAUSES) or "").split() if cause in places}
        later += sum(cause > place for cause in named)
        causes.append(frozenset(cause for cause in named if cause <= place))
    return Dialogue(
        name,
        tuple(join_punctuation(row["text"]) for row in rows),
        tuple(row["speaker"] for row in rows),
        tuple(EMOTIONS.index(label) for label in labels if label is not None),
        tuple(causes) if CAUSES in rows[0] else None,
        later,
    )


def unlike(dialogues: Sequence[Dialogue], others: Sequence[Dialogue]) -> list[Dialogue]:
    """Keep the dialogues that have no turn of more than a few words in common with others."""
    known = {text for dialogue in others for text in dialogue.texts if len(text.split()) >= MIN_UNIQUE_WORDS}
    return [dialogue for dialogue in dialogues if not known & set(dialogue.texts)]
