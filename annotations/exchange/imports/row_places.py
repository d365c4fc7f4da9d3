"""Recordings that lie in the rows of a table: own Parquet exports, other Parquet files, and sets of `datasets`.

Imported only when such a source is named: the libraries are slow to load. Recordings are taken as bytes and decoded by
`ser.audio.decoding`, whatever the set says of its own decoding.
"""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError

from annotations.errors import ExchangeError
from annotations.exchange.exports.parquet import RECORD
from annotations.exchange.imports.incoming import Findings, Incoming
from annotations.exchange.imports.places import Fetched, FolderPlace, fetched_bytes
from ser.checkpoints.hub import hub_reachable
from ser.corpora.audio_sets import LABEL_COLUMNS, SPEAKER_COLUMNS, TEXT_COLUMNS

PREFIX = "datasets:"
SPLITS = ("train", "validation", "valid", "dev", "test", "all")
OTHER_COLUMNS = {"language": ("language", "lang", "locale"), "session": ("session",), "consent": ("consent",)}


class SetPlace:
    """The recordings of one split, taken by the number of their row.

    Args:
        name: of the set, as the corpus's name.
        rows: a `datasets.Dataset` whose column of recordings is not decoded.
        column: of the recordings.
    """

    refused: tuple[tuple[str, str], ...] = ()

    def __init__(self, name: str, rows: Any, column: str, names: Sequence[str]) -> None:
        self.name = name
        self.names = tuple(names)
        self._numbers = {name: number for number, name in enumerate(self.names)}
        self._rows = rows.select_columns([column])
        self._column = column
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        """The bytes of a recording.

        Raises:
            ExchangeError: if the row has none.
        """
        with self._lock:
            audio = self._rows[self._numbers[name]][self._column]
        content = (audio or {}).get("bytes")
        if not content:
            raise ExchangeError(f"{name} of {self.name} holds no recording. Take it out, or load the set again.")
        return bytes(content)

    def fetch(self, name: str) -> Fetched:
        """A recording, ready to be decoded; one that the set names by its path is read from there."""
        with self._lock:
            audio = self._rows[self._numbers[name]][self._column] or {}
        if not audio.get("bytes") and audio.get("path"):
            path = Path(audio["path"])
            return FolderPlace(path.parent, path.name).fetch(path.name)
        return fetched_bytes(self.read(name), name)

    def close(self) -> None:
        """Do nothing: no file is held open."""


def find_in_set(source: str) -> Findings:
    """List the recordings of a set.

    Args:
        source: `datasets:ID[:CONFIG][:SPLIT]`, ID a name on the Hub or a folder; or the path of a Parquet file.

    Raises:
        ExchangeError: if the set cannot be had, or has no recordings.
    """
    named = source.removeprefix(PREFIX)
    name, *rest = re.split(r":(?![^\[]*\])", named)
    corpus = Path(name).name if Path(name).exists() else name
    try:
        parts = _load(name, rest) if source.startswith(PREFIX) else {"row": _parquet([Path(source)])}
    except (OSError, ValueError, DatasetsError) as error:
        raise ExchangeError(
            f"'{named}' cannot be had ({error}). Expected ID[:CONFIG][:SPLIT] of the Hub, a folder of save_to_disk, or "
            "Parquet files."
        ) from error
    incoming: list[Incoming] = []
    for split, rows in parts.items():
        incoming += _list(rows, Path(corpus).stem if not rest and corpus.endswith(".parquet") else corpus, split)
    if not incoming:
        raise ExchangeError(f"'{named}' has no rows.")
    return Findings(tuple(incoming), (), 0)


def _load(name: str, rest: Sequence[str]) -> Mapping[str, Any]:
    """{split: rows} of a set on this machine or on the Hub."""
    folder = Path(name)
    if folder.is_file():
        return {"row": _parquet([folder])}
    if folder.is_dir():
        if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = {"row": _parquet(sorted(folder.rglob("*.parquet")))}
        parts = loaded if isinstance(loaded, dict) else {"row": loaded}
        return {rest[0]: parts[rest[0]]} if rest and rest[0] in parts else parts
    # Where the Hub is out of reach, this switches the library to what is in its cache, without minutes of retries.
    hub_reachable()
    config, split = _config_and_split(rest)
    loaded = datasets.load_dataset(name, config, split=split)
    return {split: loaded} if split else dict(loaded)


def _config_and_split(rest: Sequence[str]) -> tuple[str | None, str | None]:
    if len(rest) > 1:
        return rest[0] or None, rest[1] or None
    if not rest:
        return None, None
    return (None, rest[0]) if rest[0].partition("[")[0].split("+")[0] in SPLITS else (rest[0], None)


def _parquet(paths: Sequence[Path]) -> Any:
    """Rows of Parquet files, read by Arrow: `datasets` would copy them to its cache first."""
    if not paths:
        raise ValueError("there are no Parquet files in it")
    schema = pq.read_schema(paths[0])
    described = schema.metadata and schema.metadata.get(b"huggingface")
    if not described:
        raise ValueError(f"{paths[0].name} does not say which column holds recordings")
    return datasets.Dataset(datasets.table.concat_tables([_mapped(path) for path in paths]))


def _mapped(path: Path) -> Any:
    return datasets.table.InMemoryTable(pq.read_table(path, memory_map=True))


def _list(rows: Any, corpus: str, split: str) -> list[Incoming]:
    audio = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Audio)]
    if not audio:
        raise ExchangeError(
            f"'{corpus}' has the columns {', '.join(rows.features)}; none holds recordings (Audio). Choose another set."
        )
    plain = rows.cast_column(audio[0], datasets.Audio(decode=False))
    names = [f"{split} {number}" for number in range(len(plain))]
    place = SetPlace(corpus, plain, audio[0], names)
    said = plain.remove_columns(audio)
    if RECORD in said.features:
        records = [json.loads(text) for text in said[RECORD]]
        return [
            Incoming(place, name, str(record.get("source") or corpus), record=record)
            for name, record in zip(names, records, strict=True)
        ]
    columns = _columns(said.features)
    classes = {name: getattr(said.features[column], "names", None) for name, column in columns.items()}
    return [
        Incoming(place, name, corpus, _fields(row, columns, classes)) for name, row in zip(names, said, strict=True)
    ]


def _columns(features: Mapping[str, Any]) -> dict[str, str]:
    """{what we call it: the set's column} of what the set says."""
    wanted = {"label": LABEL_COLUMNS, "speaker": SPEAKER_COLUMNS, "transcript": TEXT_COLUMNS, **OTHER_COLUMNS}
    lower = {name.lower(): name for name in features}
    return {
        name: next(lower[other.lower()] for other in others if other.lower() in lower)
        for name, others in wanted.items()
        if any(other.lower() in lower for other in others)
    }


def _fields(
    row: Mapping[str, Any], columns: Mapping[str, str], classes: Mapping[str, Sequence[str] | None]
) -> dict[str, str]:
    fields = {}
    for name, column in columns.items():
        value, names = row[column], classes[name]
        if names is not None and isinstance(value, int):
            value = names[value] if 0 <= value < len(names) else None
        if isinstance(value, list):
            value = " ".join(map(str, value))
        if value not in (None, ""):
            fields[name] = str(value).strip()
    return fields
