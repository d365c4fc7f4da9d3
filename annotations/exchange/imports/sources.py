"""Finds the recordings in a file, a folder or an archive, and the table rows that describe them.

Reads tables; decodes nothing and stores nothing.
"""

import csv
import importlib
import io
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from annotations.errors import ExchangeError
from annotations.exchange import OWN_TABLE, TABLE
from annotations.exchange.imports.incoming import Findings, Incoming
from annotations.exchange.imports.places import FolderPlace, Place, ZipPlace
from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora import LAYOUTS
from ser.corpora.corpus import Row
from ser.errors import TrainingDataError

FILE_COLUMN = "file_name"


def find_recordings(source: Path | str, stack: ExitStack) -> Findings:
    """List what a source holds.

    Args:
        source: a recording, a folder (with tables in it or not), a `metadata.csv`, an own `.jsonl`, a zip of these,
            a Parquet file, or `datasets:ID[:CONFIG][:SPLIT]`.
        stack: closes archives once the recordings have been read.

    Raises:
        ExchangeError: if there is nothing there, or nothing that could be imported, or a table is malformed.
    """
    if str(source).startswith("datasets:") or (Path(source).suffix.lower() == ".parquet" and Path(source).is_file()):
        # By name, because it brings slow libraries in.
        found: Findings = importlib.import_module("annotations.exchange.imports.row_places").find_in_set(str(source))
        return found
    source = Path(source)
    suffix = source.suffix.lower()
    if source.is_dir():
        return _search(FolderPlace(source))
    if not source.is_file():
        raise ExchangeError(f"{source} does not exist. Name a recording, a folder, a zip archive or a {TABLE}.")
    if suffix in (".csv", ".jsonl"):
        place = FolderPlace(source.parent, source.name)
        read = _read_csv if suffix == ".csv" else _read_own
        return Findings(tuple(read(place, source.name)), (), 0)
    if suffix == ".zip":
        archive = ZipPlace(source)
        stack.callback(archive.close)
        return _search(archive)
    return Findings((Incoming(FolderPlace(source.parent, source.name), source.name, "file"),), (), 0)


def _search(place: Place) -> Findings:
    tables = _choose_tables(place)
    incoming: list[Incoming] = []
    for table in tables.values():
        read = _read_own if PurePosixPath(table).name == OWN_TABLE else _read_csv
        incoming += read(place, table)
    listed = {item.name for item in incoming}
    layout, said = said_by_layout(place.root) if isinstance(place, FolderPlace) and not tables else (None, {})
    unlisted = 0
    for name in place.names:
        if PurePosixPath(name).suffix.lower() not in AUDIO_SUFFIXES or name in listed:
            continue
        if any(folder in tables for folder in PurePosixPath(name).parents):
            unlisted += 1
        else:
            incoming.append(Incoming(place, name, layout or place.name, said.get(name, {})))
    if not incoming and not place.refused:
        raise ExchangeError(
            f"There is no recording in {place.name}. Expected audio files, or a {TABLE} that names them."
        )
    return Findings(tuple(incoming), place.refused, unlisted)


def _choose_tables(place: Place) -> dict[PurePosixPath, str]:
    """The table of each folder that has one; an own one says more than the other."""
    tables: dict[PurePosixPath, str] = {}
    for wanted in (TABLE, OWN_TABLE):
        for name in place.names:
            if PurePosixPath(name).name == wanted:
                tables[PurePosixPath(name).parent] = name
    return tables


def _read_csv(place: Place, table: str) -> list[Incoming]:
    text = _read_text(place, table)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ExchangeError(f"{table} is no CSV table ({error}). Write it with commas and double quotes.") from error
    if not rows:
        raise ExchangeError(f"{table} has no rows. Expected a header with '{FILE_COLUMN}', and a row for each clip.")
    if FILE_COLUMN not in rows[0]:
        columns = ", ".join(str(name) for name in rows[0])
        raise ExchangeError(f"{table} has the columns {columns}; a column '{FILE_COLUMN}' is needed. Add it.")
    corpus = PurePosixPath(table).parent.name or place.name
    return [
        Incoming(
            place,
            _join(table, row[FILE_COLUMN] or ""),
            corpus,
            {key: value.strip() for key, value in row.items() if isinstance(key, str) and value and value.strip()},
        )
        for row in rows
    ]


def _read_own(place: Place, table: str) -> list[Incoming]:
    incoming = []
    for number, line in enumerate(_read_text(place, table).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ExchangeError(f"Line {number} of {table} is no JSON ({error}). Export it again.") from error
        if not isinstance(record, dict) or not isinstance(record.get(FILE_COLUMN), str):
            raise ExchangeError(f"Line {number} of {table} is no object with a '{FILE_COLUMN}'. Export it again.")
        corpus = record.get("source")
        incoming.append(
            Incoming(
                place,
                _join(table, record[FILE_COLUMN]),
                corpus if isinstance(corpus, str) and corpus else place.name,
                record=record,
            )
        )
    return incoming


def _join(table: str, name: str) -> str:
    return (PurePosixPath(table).parent / name.replace("\\", "/")).as_posix()


def _read_text(place: Place, table: str) -> str:
    try:
        return place.read(table).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExchangeError(
            f"{table} is not in UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error


NOT_HERE = frozenset({"metadata", "datasets"})
"""Layouts that an import reads by itself: our own table, and sets of `datasets`."""


def said_by_layout(folder: Path) -> tuple[str | None, dict[str, Mapping[str, str]]]:
    """Label, speaker, language and transcript of each recording that a corpus's layout speaks of.

    Args:
        folder: of the corpus.

    Returns:
        The layout's name, None if the folder has none that is known, and {file relative to the folder: what is
        said of it}.
    """
    root = folder.resolve()
    for layout in LAYOUTS.values():
        if layout.name in NOT_HERE or not layout.recognises(root):
            continue
        try:
            rows = [row for row in layout.rows(root) if isinstance(row, Row)]
        except TrainingDataError:
            return None, {}
        said: dict[str, Mapping[str, str]] = {}
        for row in rows:
            path = (root / row.file).resolve()
            if path.is_relative_to(root):
                fields = {
                    "label": row.label,
                    "speaker": row.speaker,
                    "transcript": row.transcript,
                    "language": row.language,
                }
                said[path.relative_to(root).as_posix()] = {name: value for name, value in fields.items() if value}
        return layout.name, said
    return None, {}
