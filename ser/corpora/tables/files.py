"""Tables of recordings in CSV, JSON, JSON Lines or Parquet -> rows, whatever their encoding and separator. Pure."""

import csv
import importlib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Row
from ser.corpora.tables.columns import Cells, Columns, NoRecordingColumnError, find_columns, read_json
from ser.corpora.tables.tasks import is_task, task_rows
from ser.errors import TrainingDataError
from ser.labels import to_emotion

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
SEPARATORS = ",;\t|"
EXPECTED = (
    "a column of recordings (file_name, path, audio, ...), and where known label, speaker, transcript, rater and others"
)

_ESCAPED = re.compile(r"'+[=+\-@\t\r\n＝＋－＠]")
"""Text that a spreadsheet must not take for a formula, behind an apostrophe."""


@dataclass(frozen=True)
class Table:
    """Contents of a table.

    Attributes:
        rows: and what cannot be read of it.
        notes: on what was left aside, as sentences.
        headers: of its columns, in order.
        named: {one of `columns.COLUMNS`: its header}.
    """

    rows: tuple[Row | Broken, ...]
    notes: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)


def read_table(content: bytes, name: str, known: Callable[[str], object] = to_emotion, **chosen: str) -> Table:
    """Read a table of recordings.

    Args:
        content: of the file.
        name: of the file; its ending tells the form.
        known: tells if a text names a label.
        chosen: {one of `columns.COLUMNS`: header} that a person named.

    Raises:
        NoRecordingColumnError: if it has no column of recordings.
        TrainingDataError: if it is no table.
    """
    lines = list(read_lines(content, name))
    if not lines:
        raise TrainingDataError(f"{name} has no rows. Expected a header with {EXPECTED}; and a row for each clip.")
    answers, aside = task_rows([line for line in lines if is_task(line[1])])
    lines = [line for line in lines if not is_task(line[1])]
    if not lines:
        return Table(tuple(answers), tuple(aside))
    columns = Columns.of([cells for _, cells in lines], known, **chosen)
    headers = tuple(dict.fromkeys(header.strip() for _, cells in lines for header in cells if header.strip()))
    if "file" not in columns.named and "sha256" not in columns.named:
        if answers:  # Of tasks some are damaged.
            odd = [Broken(where, "it is no task and names no recording; export it again") for where, _ in lines]
            return Table((*answers, *odd), tuple(aside))
        raise NoRecordingColumnError(f"{name} has the columns {', '.join(headers)}. Expected {EXPECTED}.", headers)
    rows, repeated = _tell_raters([row for where, cells in lines for row in columns.rows(where, cells)])
    notes = [f"{name}: columns that were not read: {', '.join(columns.unread)}."] if columns.unread else []
    if repeated:
        notes.append(
            f"{name}: {repeated} {'row repeats' if repeated == 1 else 'rows repeat'} others; each counts once."
        )
    return Table((*answers, *rows), (*aside, *notes), headers, columns.named)


def _tell_raters(rows: Sequence[Row | Broken]) -> tuple[list[Row | Broken], int]:
    """Number the raters of rows on one recording that name none, if some contradict each other; else merge them.

    Returns:
        The rows, and how many said nothing new.
    """
    labels: dict[str, set[str]] = {}
    nameless = [row for row in rows if isinstance(row, Row) and row.rater is None and (row.label or row.shares)]
    for said in nameless:
        labels.setdefault(said.file or str(said.sha256), set()).add(said.label)
    several = any(len(given) > 1 for given in labels.values())
    met: Counter[str] = Counter()
    kept: list[Row | Broken] = []
    for row in rows:
        if not isinstance(row, Row) or row.rater is not None or not (row.label or row.shares):
            kept.append(row)
            continue
        key = row.file or str(row.sha256)
        met[key] += 1
        if met[key] == 1:
            kept.append(row)
        elif several:
            kept.append(replace(row, rater=f"#{met[key]}"))
    return kept, len(rows) - len(kept)


def read_lines(content: bytes, name: str) -> Iterator[tuple[str, Cells]]:
    """The lines of a table with their places, for messages.

    Args:
        content: of the file.
        name: of the file; its ending tells the form.

    Raises:
        TrainingDataError: if it is none.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".parquet":
        yield from _parquet_lines(content, name)
    elif suffix in (".json", ".jsonl", ".ndjson"):
        yield from _json_lines(decode_text(content), name)
    else:
        yield from _separated_lines(decode_text(content), name)


def decode_text(content: bytes) -> str:
    """Text in UTF-8 or UTF-16, else in Windows-1252, of which Latin-1 is a part.

    >>> [decode_text("wütend".encode(encoding)) for encoding in ("latin-1", "utf-16", "utf-8-sig")]
    ['wütend', 'wütend', 'wütend']
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) and len(content) % 2 == 0:
        return content.decode("utf-16", errors="replace")
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(content) % 2 == 0 and content[start::2].count(0) > len(content) // 4:
            return content.decode(encoding, errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _separated_lines(text: str, name: str) -> Iterator[tuple[str, Cells]]:
    first, _, rest = text.partition("\n")
    said = re.fullmatch(r"sep=(.)\r?", first)
    text = rest if said else text
    separator = said[1] if said else _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        headers: list[str] | None = None
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if headers is None:
                headers = _headers_of(cells)
                if find_columns(cells) or headers == cells:
                    headers = [name if name not in cells[:n] else f"{name}_{n}" for n, name in enumerate(cells)]
                    continue
            where = f"{name}, line {reader.line_num + bool(said)}"
            if any(cell.strip() for cell in cells[len(headers) :]):
                yield where, {"": f"{len(cells)} cells, where the header has {len(headers)}"}
                continue
            yield where, dict(zip(headers, map(restore_cell, cells), strict=False))
    except csv.Error as error:
        raise TrainingDataError(
            f"{name} is no table of text ({error}). Close its quotes, or export it again."
        ) from error


def _separator(text: str) -> str:
    """The separator that makes the most of the first line: `csv.Sniffer` fails on tables of one column."""
    first = next((line for line in text.splitlines() if line.strip()), "")

    def value(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
        return len(find_columns(cells)), len(cells)

    return max(SEPARATORS, key=value)


def _headers_of(cells: Sequence[str]) -> list[str]:
    """Headers for a table that has none: what is a recording's name there, and what is a label."""
    file = next((n for n, cell in enumerate(cells) if PurePosixPath(cell.strip()).suffix.lower() in AUDIO_SUFFIXES), -1)
    if file < 0:
        return list(cells)
    label = next((n for n, cell in enumerate(cells) if n != file and to_emotion(cell)), -1)
    return [{file: "file", label: "label"}.get(number, f"column {number + 1}") for number in range(len(cells))]


def restore_cell(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from calculating.

    >>> restore_cell("'=1+1"), restore_cell("''-x"), restore_cell("'tis")
    ('=1+1', "'-x", "'tis")
    """
    return cell[1:] if _ESCAPED.match(cell) else cell


def escape_cell(cell: object, for_spreadsheets: bool = True) -> object:
    """Put an apostrophe before text that a spreadsheet takes for a formula; `restore_cell` takes it off.

    Args:
        cell: of a table; numbers stay.
        for_spreadsheets: if not, only text that `restore_cell` would change is escaped.

    >>> escape_cell("=1+1"), escape_cell(-1), escape_cell("=1+1", False), escape_cell("'=1", False)
    ("'=1+1", -1, '=1+1', "''=1")
    """
    if isinstance(cell, str) and (_ESCAPED.match(cell) or for_spreadsheets and _ESCAPED.match(f"'{cell}")):
        return f"'{cell}"
    return cell


def _json_lines(text: str, name: str) -> Iterator[tuple[str, Cells]]:
    if not text.strip():
        return
    try:
        whole = read_json(text)
    except json.JSONDecodeError as error:
        if not name.lower().endswith(("jsonl", "ndjson")):
            raise TrainingDataError(f"{name} is no JSON ({error}). Export it again.") from error
        whole = None
    if isinstance(whole, dict):
        whole = next((part for part in whole.values() if _is_listing(part)), [whole])
    if whole is not None:
        if not isinstance(whole, list) or not any(isinstance(one, dict) for one in whole):
            raise TrainingDataError(f"{name} is no list of objects. Expected one object for each clip.")
        for number, cells in enumerate(whole, start=1):
            yield f"{name}, item {number}", cells if isinstance(cells, dict) else {"": "no JSON object"}
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                cells = read_json(line)
            except json.JSONDecodeError as error:
                yield f"{name}, line {number}", {"": f"no JSON ({error.msg})"}
                continue
            yield f"{name}, line {number}", cells if isinstance(cells, dict) else {"": "no JSON object"}


def _is_listing(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _parquet_lines(content: bytes, name: str) -> Iterator[tuple[str, Cells]]:
    # By name, because it is slow to load.
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{name} is no Parquet file ({error}). Write it again.") from error
    yield from ((f"{name}, row {number}", cells) for number, cells in enumerate(rows, start=1))
