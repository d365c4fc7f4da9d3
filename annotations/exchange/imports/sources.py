"""Finds the recordings in a file, a folder or an archive, and what tables and names say of them.

Tables are read by `ser.corpora`, as for training; decodes nothing and stores nothing.
"""

import importlib
import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath

from annotations.errors import ExchangeError, UnmappedTableError
from annotations.exchange import OWN_TABLE
from annotations.exchange.imports.incoming import Findings, Incoming
from annotations.exchange.imports.options import ImportOptions
from annotations.exchange.imports.places import FolderPlace, Place, ZipPlace
from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora import LAYOUTS
from ser.corpora.corpus import Broken, Row
from ser.corpora.folders import is_sorted_by_label, rows_by_folder
from ser.corpora.tables.columns import NoRecordingColumnError, read_json
from ser.corpora.tables.files import TABLE_SUFFIXES, decode_text
from ser.corpora.tables.trees import Description, describe, find_tables
from ser.errors import TrainingDataError

FILE_COLUMN = "file_name"
OWN_KEYS = frozenset(("sha256", "votes", "consents"))
"""Keys of every line of an own export."""

OF_ANYBODY = frozenset(("metadata", "table", "datasets", "folders"))
"""Layouts that an import reads by their files' names alone, out of archives too."""


def find_recordings(source: Path | str, stack: ExitStack, options: ImportOptions | None = None) -> Findings:
    """List what a source holds.

    Args:
        source: a recording, a folder (with tables in it or not), a table, an own `.jsonl`, a zip of these, a Parquet
            file, or `datasets:ID[:CONFIG][:SPLIT]`.
        stack: closes archives once the recordings have been read.
        options: say which columns and which parts of names hold what.

    Raises:
        UnmappedTableError: if a table has no column that is known to name recordings.
        ExchangeError: if there is nothing there, or nothing that could be imported, or a table is malformed.
    """
    options = options or ImportOptions()
    try:
        return _with_speakers(_find(source, stack, options), options)
    except NoRecordingColumnError as error:
        raise UnmappedTableError(str(error), error.headers) from error
    except TrainingDataError as error:
        raise ExchangeError(str(error)) from error


def _find(source: Path | str, stack: ExitStack, options: ImportOptions) -> Findings:
    if str(source).startswith("datasets:") or _holds_recordings(Path(source)):
        return _find_in_set(str(source), options)
    source = Path(source)
    suffix = source.suffix.lower()
    if source.is_dir():
        return _search(FolderPlace(source), options)
    if not source.is_file():
        raise ExchangeError(f"{source} does not exist. Name a recording, a folder, a zip archive or a table.")
    if suffix in TABLE_SUFFIXES:
        place = FolderPlace(source.parent)
        if _is_own(place, source.name):
            return _read_own(place, source.name)
        return _read_tables(place, [source.name, *_partners(place, source.name)], options)
    if suffix == ".zip":
        archive = ZipPlace(source)
        stack.callback(archive.close)
        return _search(archive, options)
    return Findings((Incoming(FolderPlace(source.parent, source.name), source.name, "file"),))


def _find_in_set(source: str, options: ImportOptions) -> Findings:
    # By name, because it brings slow libraries in.
    rows = importlib.import_module("annotations.exchange.imports.row_places")
    found: Findings = rows.find_in_set(source, options)
    return found


def _holds_recordings(source: Path) -> bool:
    """True for a Parquet file with recordings inside, as `datasets` writes them."""
    if source.suffix.lower() != ".parquet" or not source.is_file():
        return False
    parquet = importlib.import_module("pyarrow.parquet")
    try:
        return b"huggingface" in (parquet.read_schema(source).metadata or {})
    except (OSError, ValueError) as error:
        raise ExchangeError(f"{source} is no Parquet file ({error}). Write it again.") from error


def _search(place: Place, options: ImportOptions) -> Findings:
    own = [n for n in place.names if PurePosixPath(n).name == OWN_TABLE and _is_own(place, n)]
    parts = [_read_own(place, name) for name in own]
    folders = {PurePosixPath(name).parent for name in own}
    tables = [name for name in find_tables(place.names) if PurePosixPath(name).parent not in folders]
    layout = _read_layout(place) if not tables and not own else None
    if layout is not None:
        parts.append(layout)
    elif tables or not own:
        described = _describe(place, tables, options)
        parts.append(_taken(place, described))
        folders |= described.folders
    listed = {item.name for part in parts for item in part.incoming}
    loose: list[str] = []
    unlisted: list[str] = []
    for name in place.names:
        if PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES and name not in listed:
            below = any(folder in folders for folder in PurePosixPath(name).parents)
            (unlisted if below else loose).append(name)
    said = rows_by_folder(loose) if is_sorted_by_label(loose, options.label_of) else ()
    rows = {row.file: (row,) for row in said if isinstance(row, Row)}
    corpus = next((item.corpus for item in layout.incoming), place.name) if layout else place.name
    parts.append(Findings(tuple(Incoming(place, name, corpus, rows.get(name, ())) for name in loose)))
    found = _together(parts)
    refused = (*place.refused, *found.refused)
    if not found.incoming and isinstance(place, FolderPlace) and LAYOUTS["datasets"].recognises(place.root):
        return _find_in_set(str(place.root), options)
    if not found.incoming and not refused:
        raise ExchangeError(
            f"There is no recording in {place.name}. Expected audio files, or a table such as metadata.csv that names "
            "them."
        )
    return replace(found, refused=refused, unlisted=tuple(unlisted))


def _together(parts: Iterable[Findings]) -> Findings:
    parts = list(parts)
    return Findings(
        tuple(item for part in parts for item in part.incoming),
        tuple(reason for part in parts for reason in part.refused),
        notes=tuple(note for part in parts for note in part.notes),
        headers=tuple(dict.fromkeys(header for part in parts for header in part.headers)),
        columns={name: header for part in reversed(parts) for name, header in part.columns.items()},
    )


def _describe(place: Place, tables: list[str], options: ImportOptions) -> Description:
    """Read tables; if there is none of a well-known name, those of any name that name recordings here."""
    strict = bool(tables)
    tables = tables or find_tables(place.names, any_name=True)
    return describe(place, tables, strict=strict, known=options.label_of, columns=options.columns)


def _read_tables(place: Place, tables: list[str], options: ImportOptions) -> Findings:
    return _taken(place, describe(place, tables, known=options.label_of, columns=options.columns))


def _partners(place: Place, name: str) -> list[str]:
    """The table of votes that an own export in CSV writes next to that of the clips."""
    path = PurePosixPath(name)
    votes = f"{path.stem}_votes{path.suffix}"
    return [votes] if votes in place.names else []


def _taken(place: Place, described: Description) -> Findings:
    incoming = []
    for name, rows in described.rows.items():
        parents = PurePosixPath(name).parents
        folder = next((folder for folder in parents if folder in described.folders), PurePosixPath())
        elsewhere = None if rows[0].file else name
        # Where each vote has a row of its own, the labels of the other rows were made of these.
        single = [row for row in rows if row.vote.get("verdict")]
        if single:
            rows = tuple(replace(row, label="", shares=None) if row.rater is None else row for row in rows)
        incoming.append(Incoming(place, name, folder.name or place.name, rows, sha256=elsewhere))
    refused = [(broken.where, broken.why) for broken in described.broken]
    return Findings(tuple(incoming), tuple(refused), (), described.notes, described.headers, described.columns)


def _is_own(place: Place, table: str) -> bool:
    """True if the first line of a `.jsonl` is one of an own export."""
    if not table.lower().endswith(".jsonl"):
        return False
    try:
        record = read_json(decode_text(place.read(table)).split("\n", 1)[0])
    except json.JSONDecodeError:
        return False
    return isinstance(record, dict) and record.keys() >= OWN_KEYS


def _read_own(place: Place, table: str) -> Findings:
    incoming = []
    for number, line in enumerate(decode_text(place.read(table)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = read_json(line)
        except json.JSONDecodeError as error:
            raise ExchangeError(f"Line {number} of {table} is no JSON ({error}). Export it again.") from error
        if not isinstance(record, dict) or not isinstance(record.get(FILE_COLUMN), str):
            raise ExchangeError(f"Line {number} of {table} is no object with a '{FILE_COLUMN}'. Export it again.")
        name = (PurePosixPath(table).parent / record[FILE_COLUMN].replace("\\", "/")).as_posix()
        corpus = record.get("source")
        corpus = corpus if isinstance(corpus, str) and corpus else place.name
        incoming.append(Incoming(place, name, corpus, record=record))
    return Findings(tuple(incoming))


def _read_layout(place: Place) -> Findings | None:
    """Read the recordings of a corpus by its layout; None if the folder has none that is known."""
    if not isinstance(place, FolderPlace):
        return None
    for layout in LAYOUTS.values():
        if layout.name in OF_ANYBODY or not layout.recognises(place.root):
            continue
        incoming, refused = [], []
        for row in layout.rows(place.root):
            if isinstance(row, Broken):
                refused.append((row.where, row.why))
                continue
            path = (place.root / row.file).resolve()
            if path.is_relative_to(place.root):
                name = path.relative_to(place.root).as_posix()
                incoming.append(Incoming(place, name, layout.name, (row,)))
        # A recording whose name says nothing is stored without what it does not say.
        there = set(place.names)
        return Findings(tuple(incoming), tuple(reason for reason in refused if reason[0] not in there))
    return None


def _with_speakers(found: Findings, options: ImportOptions) -> Findings:
    """Take speakers from the names of files, where nothing else says who speaks."""
    if options.speaker_from is None:
        return found
    try:
        pattern = re.compile(options.speaker_from)
    except re.error as error:
        raise ExchangeError(
            f"The pattern '{options.speaker_from}' for speakers is no regular expression ({error}). Correct it."
        ) from error
    incoming = []
    for item in found.incoming:
        match = pattern.search(PurePosixPath(item.name).name) or pattern.search(item.name)
        if match and item.record is None and not item.fact("speaker"):
            speaker = match[1] if pattern.groups else match[0]
            rows = item.rows or (Row(item.name, ""),)
            item = replace(item, rows=tuple(replace(row, speaker=speaker or "") for row in rows))
        incoming.append(item)
    return replace(found, incoming=tuple(incoming))
