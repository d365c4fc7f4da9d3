"""Turns of a conversation, and how they are read from a transcript: CSV, JSON, or lines with names in front."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser.errors import SerError
from ser.types import EmotionScores

TRANSCRIPTS = (".csv", ".tsv", ".json", ".jsonl", ".txt")
"""Endings of files that are read as transcripts."""

MOST_TURNS = 2000
MOST_LETTERS = 4000
"""Of a turn; longer ones are no speech but a document."""

SPEAKER_COLUMNS = ("speaker", "who", "name", "channel", "role")
TEXT_COLUMNS = ("text", "words", "transcript", "utterance", "content")
START_COLUMNS, END_COLUMNS = ("start", "begin"), ("end", "stop")
LISTS = ("turns", "regions", "segments", "messages")
"""Keys of a JSON object under which its turns may stand."""

NAMED_LINE = re.compile(r"^(?:\[?\d{1,2}(?::\d{2}){1,2}(?:[.,]\d+)?\]?\s+)?([^\W\d][^:：\n]{0,39}?)\s*[:：]\s*(.*)$")
"""A name of up to 40 characters, a colon and words; a time may stand in front."""

MOST_NAME_WORDS = 4


class TranscriptError(SerError):
    """A transcript that cannot be read as turns."""


@dataclass(frozen=True)
class Turn:
    """Words of one person until another speaks.

    Attributes:
        speaker: who.
        words: what is said; empty if it is not known.
        start: seconds from the beginning of the recording; None for a text.
        end: the same.
        voice: the feeling by voice alone; None for a text.
        confidence: of the words as recognised, 0..1; None if a person wrote them or it is not known.
    """

    speaker: str
    words: str
    start: float | None = None
    end: float | None = None
    voice: EmotionScores | None = None
    confidence: float | None = None


def read_turns(path: Path) -> list[Turn]:
    """Read the turns of a transcript file: `.csv`, `.tsv`, `.json`, `.jsonl`, or text with a name before each turn.

    Raises:
        TranscriptError: if it cannot be read, or holds no turns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise TranscriptError(f"{path} cannot be read as text in UTF-8: {error}.") from error
    return parse_turns(text, path.suffix.lower())


def parse_turns(text: str, ending: str = "") -> list[Turn]:
    r"""Read turns from a text.

    Args:
        text: of the transcript.
        ending: of the file's name, such as `.csv`; empty if it was typed, and its form is then seen by its beginning.

    Raises:
        TranscriptError: if it holds no turns, or more than `MOST_TURNS`.

    >>> [(turn.speaker, turn.words) for turn in parse_turns("A: I lost my job.\nB: Oh no!\nWhen?")]
    [('A', 'I lost my job.'), ('B', 'Oh no! When?')]
    """
    readers: dict[str, Callable[[str], list[Turn]]] = {".csv": _from_table, ".tsv": _from_table}
    readers |= {".json": _from_json, ".jsonl": _from_json_lines}
    turns = readers.get(ending or _guess(text), _from_lines)(text)
    turns = [turn for turn in turns if turn.words]
    if not turns:
        raise TranscriptError(f"No turns were found. {EXPECTED}")
    if len(turns) > MOST_TURNS:
        raise TranscriptError(f"The transcript has {len(turns)} turns; at most {MOST_TURNS} are read. Split it.")
    for number, turn in enumerate(turns, 1):
        if len(turn.words) > MOST_LETTERS:
            raise TranscriptError(
                f"Turn {number} has {len(turn.words)} characters; at most {MOST_LETTERS} are read as one. Split it."
            )
    return turns


EXPECTED = (
    "Expected are lines such as “Anna: I got the job!”, a CSV with the columns speaker and text, or a JSON list of "
    "objects with speaker and text."
)


def _guess(text: str) -> str:
    begin = text.lstrip()[:1]
    if begin in ("[", "{"):
        return ".json"
    columns = {name.strip().lower() for name in re.split(r"[,;\t]", text.lstrip().split("\n", 1)[0])}
    return ".csv" if columns & set(TEXT_COLUMNS) and columns & set(SPEAKER_COLUMNS) else ""


def _from_lines(text: str) -> list[Turn]:
    turns: list[Turn] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = NAMED_LINE.match(line.strip())
        if found and len(found[1].split()) <= MOST_NAME_WORDS:
            turns.append(Turn(found[1].strip(), found[2].strip()))
        elif turns:
            last = turns[-1]
            turns[-1] = Turn(last.speaker, f"{last.words} {line.strip()}".strip())
        else:
            raise TranscriptError(f"Line {number} names nobody: “{line.strip()[:60]}”. {EXPECTED}")
    return turns


def _from_table(text: str) -> list[Turn]:
    try:
        dialect: Any = csv.Sniffer().sniff(text.split("\n", 1)[0], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), dialect=dialect))
    except csv.Error as error:
        raise TranscriptError(f"The table cannot be read: {error}. {EXPECTED}") from error
    return [_turn(row, number) for number, row in enumerate(rows, 1)]


def _from_json(text: str) -> list[Turn]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise TranscriptError(f"This is no JSON: {error}. {EXPECTED}") from error
    if isinstance(found, Mapping):
        found = next((found[name] for name in LISTS if isinstance(found.get(name), list)), None)
    if not isinstance(found, list):
        raise TranscriptError(f"The JSON holds no list of turns. {EXPECTED}")
    return [_turn(row, number) for number, row in enumerate(found, 1)]


def _from_json_lines(text: str) -> list[Turn]:
    return _from_json(f"[{','.join(line for line in text.splitlines() if line.strip())}]")


def _turn(row: object, number: int) -> Turn:
    if not isinstance(row, Mapping):
        raise TranscriptError(f"Turn {number} is of type {type(row).__name__}; expected an object. {EXPECTED}")
    values = {str(name).strip().lower(): value for name, value in row.items() if name is not None}
    words, speaker = _first(values, TEXT_COLUMNS), _first(values, SPEAKER_COLUMNS)
    if words is None and not set(values) & set(TEXT_COLUMNS):
        raise TranscriptError(f"Turn {number} has {', '.join(values) or 'nothing'}, and no text. {EXPECTED}")
    if speaker is None or not str(speaker).strip():
        raise TranscriptError(f"Turn {number} names no speaker. {EXPECTED}")
    start, end = (_seconds(_first(values, names), number) for names in (START_COLUMNS, END_COLUMNS))
    if start is not None and end is not None and end < start:
        raise TranscriptError(f"Turn {number} ends at {end:g} s, before it starts at {start:g} s.")
    return Turn(" ".join(str(speaker).split())[:60], " ".join(str(words or "").split()), start, end)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) not in (None, "")), None)


def _seconds(value: object, number: int) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise TranscriptError(f"Turn {number} has the time “{str(value)[:30]}”; expected seconds from 0 on.")
    return seconds
