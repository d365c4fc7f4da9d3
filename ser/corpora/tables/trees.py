"""Recordings of a folder or an archive with what the tables in it say of each. Opens no audio."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from ser.audio.formats import AUDIO_SUFFIXES
from ser.corpora.corpus import Broken, Row
from ser.corpora.tables.audformats import HEADER, read_audformat
from ser.corpora.tables.columns import MissingColumnError, NoRecordingColumnError
from ser.corpora.tables.files import TABLE_SUFFIXES, Table, read_table
from ser.errors import TrainingDataError
from ser.labels import to_emotion

WELL_KNOWN = ("metadata", "labels", "annotations")
"""Names of tables before the ending: where one of these is, other tables of the folder are not read."""


class Tree(Protocol):
    """A tree of files.

    Attributes:
        name: of the whole.
        names: of its files, relative, with forward slashes.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    def read(self, name: str) -> bytes: ...  # noqa: D102


class FolderTree:
    """A folder of the disk."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, root.resolve().name
        found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        self.names = sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.root / name).read_bytes()


@dataclass(frozen=True)
class Description:
    """Contents of the tables of a tree.

    Attributes:
        rows: {file, or SHA-256 of a recording that lies elsewhere: rows on it}; a file that is not there has its name
            as the table gives it.
        folders: those with tables; what lies below and is named by none of them is not described.
        broken: rows that cannot be understood.
        notes: sentences on what was left aside.
        headers: of the columns of its tables, those that were not read included.
        columns: {one of `columns.COLUMNS`: the header that it was read from}.
    """

    rows: Mapping[str, tuple[Row, ...]]
    folders: frozenset[PurePosixPath] = frozenset()
    broken: tuple[Broken, ...] = ()
    notes: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


def find_tables(names: Iterable[str], *, any_name: bool = False) -> list[str]:
    """The files of a tree that are tables of recordings, by their names: well-known ones, headers of audformat.

    Args:
        names: of files.
        any_name: whether tables under other names count in folders that have none of these.
    """
    tables: defaultdict[PurePosixPath, list[str]] = defaultdict(list)
    for name in names:
        if PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES or PurePosixPath(name).name == HEADER:
            tables[PurePosixPath(name).parent].append(name)
    found = []
    for in_folder in tables.values():
        headers = [name for name in in_folder if PurePosixPath(name).name == HEADER]
        known = [name for name in in_folder if PurePosixPath(name).stem.lower() in WELL_KNOWN]
        others = [name for name in in_folder if not name.endswith(".parquet")] if any_name else []
        found += headers or known or others
    return found


def describe(
    tree: Tree,
    tables: Sequence[str],
    *,
    strict: bool = True,
    known: Callable[[str], object] = to_emotion,
    columns: Mapping[str, str] | None = None,
) -> Description:
    """Read tables, and find the recordings that they name.

    Args:
        tree: that they lie in.
        tables: names of files in it.
        strict: whether a file that is no table of recordings is an error; else it is noted.
        known: tells if a text names a label.
        columns: {one of `columns.COLUMNS`: header} that a person named; of several tables one may have it.

    Raises:
        TrainingDataError: if a table cannot be read.
    """
    files = Files(tree.names)
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    folders, broken, notes = set(), list[Broken](), list[str]()
    refusals: list[MissingColumnError] = []
    headers, named = dict[str, None](), dict[str, str]()
    seen: set[str] = set()
    for name in tables:
        folder = PurePosixPath(name).parent
        try:
            if PurePosixPath(name).name == HEADER:
                table = read_audformat(tree.read, folder, tree.names, known)
            else:
                table = _read_with(tree, name, known, columns or {}, refusals)
        except TrainingDataError as error:
            if strict:
                raise
            headers |= dict.fromkeys(error.headers if isinstance(error, NoRecordingColumnError) else ())
            notes.append(f"Not read: {error}")
            continue
        headers |= dict.fromkeys(table.headers)
        named = {**table.named, **named}
        found = _place(table, folder, files)
        if not strict and not any(files.has_recording(row.file) for row in found if isinstance(row, Row)):
            notes.append(f"Not read: {name} names no recording that is here.")
            continue
        folders.add(folder)
        notes += table.notes
        for row in found:
            if isinstance(row, Broken):
                broken.append(row)
            elif (same := _identity(row)) not in seen:
                seen.add(same)
                rows[row.file or str(row.sha256)].append(row)
    times = Counter(refusal.column for refusal in refusals)
    for refusal in refusals:
        if times[refusal.column] == len(tables):
            raise refusal
    said = {name: tuple(rows_of) for name, rows_of in rows.items()}
    return Description(said, frozenset(folders), tuple(broken), tuple(notes), tuple(headers), named)


def _read_with(
    tree: Tree,
    name: str,
    known: Callable[[str], object],
    columns: Mapping[str, str],
    refusals: list[MissingColumnError],
) -> Table:
    """Read a table by those of the chosen columns that it has, and note those that it has not."""
    chosen = dict(columns)
    while True:
        try:
            return read_table(tree.read(name), name, known, **chosen)
        except MissingColumnError as error:
            refusals.append(error)
            del chosen[error.column]


def _place(table: Table, folder: PurePosixPath, files: "Files") -> list[Row | Broken]:
    """The rows of a table, each with the file that it means; two names for one file are no names."""
    meant: defaultdict[str, set[str]] = defaultdict(set)
    placed: list[Row | Broken] = []
    for row in table.rows:
        if isinstance(row, Row):
            file = files.find(folder, row.file) or (files.find(folder, row.sha256) if row.sha256 else None)
            if file is None and row.sha256:
                row = replace(row, file="")
            elif file is not None:
                meant[file].add(row.file)
                row = replace(row, file=file)
            else:
                row = replace(row, file=_join(folder, row.file))
        placed.append(row)
    doubtful = {file for file, names in meant.items() if len(names) > 1 and len({_clean(n) for n in names}) > 1}
    return [
        Broken(
            row.file, f"{' and '.join(sorted(meant[row.file])[:3])} could both be this recording; name it by its path"
        )
        if isinstance(row, Row) and row.file in doubtful
        else row
        for row in placed
    ]


def _identity(row: Row) -> str:
    """A text that rows share which say the same: shares cannot be hashed, and a recording may have many rows."""
    return repr((replace(row, shares=None), sorted((row.shares or {}).items())))


class Files:
    """Files of a tree, found by the names that tables have for them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)
        self._alike: defaultdict[str, list[str]] = defaultdict(list)
        for name in sorted(self._names):
            path = PurePosixPath(name)
            if path.suffix.lower() in AUDIO_SUFFIXES:
                for key in {_key(path.name), _key(path.stem)}:
                    self._alike[key].append(name)

    def has_recording(self, name: str) -> bool:
        """True if a file of that name is there, and a recording by its ending."""
        return name in self._names and PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES

    def find(self, folder: PurePosixPath, given: str) -> str | None:
        """The file that a table means: of that path from the table's folder, else the one whose path is an end of it.

        Args:
            folder: of the table.
            given: a relative path, a path or an address of another machine, or a name without its ending.
        """
        if not given:
            return None
        exact = _join(folder, given)
        if exact in self._names:
            return exact
        wanted = PurePosixPath(_clean(given))
        # Label Studio puts eight digits before the name of a file that was uploaded.
        for name in (wanted.name, re.sub(r"^[0-9a-f]{8}-", "", wanted.name)):
            alike = [file for file in self._alike.get(_key(name), ()) if PurePosixPath(file).is_relative_to(folder)]
            alike = [file for file in alike if _is_end(wanted.parts[:-1], PurePosixPath(file).parts[:-1], folder)]
            if alike:
                deepest = max(file.count("/") for file in alike)
                longest = [file for file in alike if file.count("/") == deepest]
                return longest[0] if len(longest) == 1 and (len(alike) == 1 or len(wanted.parts) > 1) else None
        return None


def _clean(given: str) -> str:
    """A path or an address as a path, without what another machine put before it."""
    local = re.search(r"[?&]d=([^&]+)", given)
    path = unquote(local[1] if local else given.split("?")[0] if "://" in given else given).replace("\\", "/")
    uploaded = not local and ("://" in given or path.startswith("/data/upload/"))
    return PurePosixPath(path).name if uploaded else path


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_end(wanted: Sequence[str], there: Sequence[str], folder: PurePosixPath) -> bool:
    """True if the folders that a table names end with those of a file below the table, or the other way round."""
    below = there[len(folder.parts) :]
    shorter, longer = sorted((tuple(wanted), tuple(below)), key=len)
    return not shorter or longer[-len(shorter) :] == shorter


def _join(folder: PurePosixPath, given: str) -> str:
    return (folder / given.replace("\\", "/")).as_posix()
