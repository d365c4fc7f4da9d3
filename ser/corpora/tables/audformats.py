"""Databases of audformat: the header `db.yaml` and its tables in CSV or Parquet -> rows. Pickled tables are not opened.

Source: https://audeering.github.io/audformat/data-header.html and data-tables.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from ser.corpora.corpus import Broken, Row
from ser.corpora.tables.columns import COLUMNS, Cells, Columns, plain_name, text_of
from ser.corpora.tables.files import Table, read_lines
from ser.errors import TrainingDataError

HEADER = "db.yaml"
MACHINES = ("machine", "vote")
"""Raters whose answers are no person's: models, and what votes were taken together to."""

_TIME = re.compile(r"(\d+) days(?: (\d+):(\d+):([\d.]+))?")


def read_audformat(
    read: Callable[[str], bytes], folder: PurePosixPath, names: Sequence[str], known: Callable[[str], object]
) -> Table:
    """Read the tables of a database: facts of each file, and each column of labels as a rater's votes.

    Args:
        read: the content of a file by its name.
        folder: of the header.
        names: of all files that are there.
        known: tells if a text names a label.

    Raises:
        TrainingDataError: if the header or a table cannot be read.
    """
    try:
        header: Any = yaml.safe_load(read((folder / HEADER).as_posix()))
    except yaml.YAMLError as error:
        raise TrainingDataError(f"{folder / HEADER} is no YAML ({error}). Save the database again.") from error
    if not isinstance(header, Mapping):
        raise TrainingDataError(f"{folder / HEADER} is no header of audformat. Save the database again.")
    rows: list[Row | Broken] = []
    notes: list[str] = []
    tables = {**(header.get("tables") or {}), **(header.get("misc_tables") or {})}
    # Where every vote has a line of its own, what other tables say of labels was made of these.
    single = any({"file", "rater"} <= set(table.get("columns") or {}) for table in tables.values())
    for name, table in tables.items():
        file = next(
            (f for end in (".csv", ".parquet") if (f := (folder / f"db.{name}{end}").as_posix()) in names), None
        )
        if file is None:
            notes.append(f"The table '{name}' of {folder / HEADER} is not there as CSV or Parquet and was not read.")
            continue
        lines = list(read_lines(read(file), file))
        if not lines or "file" not in lines[0][1]:
            notes += [f"{file} was not read: it says nothing of files."] if lines else []
            continue
        plain = [(where, _plain_cells(cells, table, header)) for where, cells in lines]
        raters = {} if "rater" in lines[0][1] else _label_columns(plain, table, header, known)
        others = [{key: value for key, value in cells.items() if key not in raters} for _, cells in plain]
        columns = Columns.of(others, known)
        notes += [f"{file}: columns that were not read: {', '.join(columns.unread)}."] if columns.unread else []
        for (where, cells), rest in zip(plain, others, strict=True):
            for row in columns.rows(where, {**rest, **({} if "rater" in cells else {"emotion": None})}):
                votes = [] if single or isinstance(row, Broken) else _votes(row, cells, raters)
                rows += votes or [row if isinstance(row, Broken) or "rater" in cells else replace(row, shares=None)]
    return Table(tuple(rows), tuple(notes))


def _votes(row: Row, cells: Cells, raters: Mapping[str, str | None]) -> list[Row]:
    """The file's row once for each column of labels that has one."""
    given = {column: text_of(cells.get(column)) for column in raters}
    return [replace(row, label=label, rater=raters[column]) for column, label in given.items() if label]


def _label_columns(
    lines: Sequence[tuple[str, Cells]],
    table: Mapping[str, Any],
    header: Mapping[str, Any],
    known: Callable[[str], object],
) -> dict[str, str | None]:
    """{column of labels that people filled: its rater}; None where that is the corpus itself."""
    found: dict[str, str | None] = {}
    for name, column in (table.get("columns") or {}).items():
        scheme = (column or {}).get("scheme_id") or name
        if plain_name(scheme) not in COLUMNS["label"] and plain_name(name.split(".")[0]) not in COLUMNS["label"]:
            continue
        if plain_name(name) in COLUMNS["gold"] or not any(known(text_of(cells.get(name))) for _, cells in lines):
            continue
        rater = (column or {}).get("rater_id")
        if ((header.get("raters") or {}).get(rater) or {}).get("type") not in MACHINES:
            found[name] = None if rater in (None, "gold") else str(rater)
    return found


def _plain_cells(cells: Cells, table: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, object]:
    """The cells of a line with codes replaced by what the header says they mean, and times in seconds."""
    plain = dict(cells)
    for name, column in (table.get("columns") or {}).items():
        scheme = (header.get("schemes") or {}).get((column or {}).get("scheme_id")) or {}
        meanings = scheme.get("labels")
        if isinstance(meanings, Mapping):
            value = text_of(cells.get(name))
            meaning = {str(code): meaning for code, meaning in meanings.items()}.get(value)
            if isinstance(meaning, Mapping):
                plain |= {key: fact for key, fact in meaning.items() if key not in plain}
            elif isinstance(meaning, str):
                plain[name] = meaning
    for name in ("start", "end"):
        time = _TIME.match(str(plain.get(name, "")))
        if time:
            days, hours, minutes, seconds = (float(part or 0) for part in time.groups())
            plain[name] = 86_400 * days + 3600 * hours + 60 * minutes + seconds
    return plain
