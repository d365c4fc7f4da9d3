"""Recordings that lie in the rows of a table: own Parquet exports, other Parquet files, and sets of `datasets`.

Imported only when such a source is named: the libraries are slow to load. Recordings are taken as bytes and decoded by
`ser.audio.decoding`, even if the set names a decoding of its own.
"""

import threading
from pathlib import Path

from annotations.errors import ExchangeError
from annotations.exchange.exports.parquet import RECORD
from annotations.exchange.imports.incoming import Findings, Incoming
from annotations.exchange.imports.options import ImportOptions
from annotations.exchange.imports.places import Fetched, FolderPlace, fetched_bytes
from ser.corpora.audio_sets import Part, open_set
from ser.corpora.corpus import Broken, Row
from ser.corpora.folders import set_name
from ser.corpora.tables.columns import read_json

PREFIX = "datasets:"


class SetPlace:
    """The recordings of one split, taken by the number of their row.

    Args:
        name: of the set, as the corpus's name.
        part: the split.
    """

    refused: tuple[tuple[str, str], ...] = ()

    def __init__(self, name: str, part: Part) -> None:
        self.name = name
        self.names = tuple(f"{part.split or 'row'} {number}" for number in range(len(part.cells)))
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._part = part
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        """True if there is such a row."""
        return name in self._numbers

    def read(self, name: str) -> bytes:
        """The bytes of a recording.

        Raises:
            ExchangeError: if the row has none.
        """
        with self._lock:
            content = self._part.audio(self._numbers[name]).get("bytes")
        if not content:
            raise ExchangeError(f"{name} of {self.name} holds no recording. Take it out, or load the set again.")
        return bytes(content)

    def size(self, name: str) -> int:
        """Zero: rows are not read before they are wanted."""
        return 0

    def fetch(self, name: str) -> Fetched:
        """A recording, ready to be decoded; one that the set names by its path is read from there."""
        with self._lock:
            audio = self._part.audio(self._numbers[name])
        if not audio.get("bytes") and audio.get("path"):
            path = Path(audio["path"])
            return FolderPlace(path.parent, path.name).fetch(path.name)
        return fetched_bytes(self.read(name), name)

    def close(self) -> None:
        """Do nothing: no file is held open."""


def find_in_set(source: str, options: ImportOptions) -> Findings:
    """List the recordings of a set.

    Args:
        source: `datasets:ID[:CONFIG][:SPLIT]`, ID a name on the Hub or a folder; or the path of a Parquet file.
        options: say which columns hold what.

    Raises:
        ExchangeError: if the set has no rows.
        TrainingDataError: if the set cannot be had, or has no recordings.
    """
    named = source.removeprefix(PREFIX)
    corpus = set_name(named)
    incoming: list[Incoming] = []
    refused: list[tuple[str, str]] = []
    for part in open_set(named):
        place = SetPlace(corpus, part)
        if part.cells and RECORD in part.cells[0]:
            for name, cells in zip(place.names, part.cells, strict=True):
                record = read_json(str(cells[RECORD]))
                incoming.append(Incoming(place, name, str(record.get("source") or corpus), record=record))
            continue
        for name, rows in zip(place.names, part.rows(options.label_of, **options.columns), strict=True):
            incoming.append(Incoming(place, name, corpus, tuple(row for row in rows if isinstance(row, Row))))
            refused += [(name, row.why) for row in rows if isinstance(row, Broken)]
    if not incoming:
        raise ExchangeError(f"'{named}' has no rows.")
    return Findings(tuple(incoming), tuple(refused))
