"""Audio sets of the `datasets` library -> rows: from the Hub, saved to disk, or in Parquet files.

Imported only when such a set is read: the library is slow to load. Recordings are never decoded by it: its decoder
needs FFmpeg's libraries on the machine. For training those that lie inside a set are
written to files once, named by content.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from datasets.exceptions import DatasetsError

from ser.checkpoints.hub import hub_reachable
from ser.corpora.corpus import Broken, Row
from ser.corpora.folders import SPLITS, is_saved_set, set_name
from ser.corpora.tables.columns import Columns
from ser.errors import TrainingDataError
from ser.labels import to_emotion

RECORDING = "recording of the set"
"""In place of the column of recordings: the place of each."""


@dataclass(frozen=True)
class Part:
    """A split of a set.

    Attributes:
        split: its name; empty if the set has none.
        recordings: a `datasets.Dataset` of one column, {bytes, path} of each.
        cells: what else a row holds, class numbers as their names, and its place as `RECORDING`.
    """

    split: str
    recordings: Any
    cells: tuple[dict[str, object], ...]

    def audio(self, number: int) -> Mapping[str, Any]:
        """Bytes and path of a recording."""
        return next(iter(self.recordings[number].values())) or {}

    def rows(self, known: Callable[[str], object] = to_emotion, **chosen: str) -> list[list[Row | Broken]]:
        """Read what the set says of each recording; `file` is the row's place."""
        columns = Columns.of(self.cells, known, **chosen, file=RECORDING)
        return [columns.rows(str(cells[RECORDING]), cells) for cells in self.cells]


def open_set(source: str) -> list[Part]:
    """Open a set without decoding anything.

    Args:
        source: `ID[:CONFIG][:SPLIT]` of the Hub, a folder with Parquet files or what `save_to_disk` left, or a Parquet
            file.

    Raises:
        TrainingDataError: if the set cannot be had, or has no column of recordings.
    """
    # A split may be sliced: train[:10%].
    name, *rest = re.split(r":(?![^\[]*\])", source)
    try:
        parts = _local(Path(name), rest) if Path(name).exists() else _hub(name, rest)
    except (OSError, ValueError, DatasetsError) as error:
        raise TrainingDataError(
            f"The audio set '{source}' cannot be had ({error}). Expected is ID[:CONFIG][:SPLIT] of the Hub, a folder "
            "with Parquet files or of save_to_disk, or a Parquet file."
        ) from error
    return [_part(split, rows, source) for split, rows in parts.items()]


def set_rows(source: str) -> Iterator[Row | Broken]:
    """Rows of a set for training, with absolute paths; see `open_set`."""
    corpus = set_name(source)
    for part in open_set(source):
        for number, rows in enumerate(part.rows()):
            file = _file_of(part.audio(number))
            for row in rows:
                if isinstance(row, Broken) or file is None:
                    yield Broken(f"{part.split or 'row'} {number}", getattr(row, "why", "no recording"))
                    continue
                speaker = f"{corpus}_{row.speaker}" if row.speaker else ""
                yield replace(row, file=file, speaker=speaker, split=SPLITS.get(part.split, part.split) or row.split)


def _local(place: Path, rest: Sequence[str]) -> Mapping[str, Any]:
    if place.is_file():
        return {"": _parquet([place])}
    if is_saved_set(place):
        loaded = datasets.load_from_disk(str(place))
        parts = loaded if isinstance(loaded, dict) else {"": loaded}
        return {rest[0]: parts[rest[0]]} if rest and rest[0] in parts else parts
    files: dict[str, list[Path]] = {}
    for path in sorted(place.rglob("*.parquet")):
        # The Hub names files train-00000-of-00002.parquet.
        files.setdefault(path.stem.split("-")[0], []).append(path)
    if not files:
        raise ValueError("there are no Parquet files in it")
    return {split: _parquet(paths) for split, paths in files.items()}


def _hub(name: str, rest: Sequence[str]) -> Mapping[str, Any]:
    # Where the Hub is out of reach, this switches the library to what is in its cache, without minutes of retries.
    hub_reachable()
    if len(rest) > 1:
        config, split = rest[0] or None, rest[1] or None
    else:
        first = rest[0] if rest else None
        is_split = first is not None and first.partition("[")[0].split("+")[0] in (*SPLITS, "all")
        config, split = (None, first) if is_split else (first, None)
    loaded = datasets.load_dataset(name, config, split=split)
    return {split: loaded} if split else dict(loaded)


def _parquet(paths: Sequence[Path]) -> Any:
    """Rows of Parquet files, read by Arrow: `datasets` would copy them to its cache first."""
    described = pq.read_schema(paths[0]).metadata or {}
    if b"huggingface" not in described:
        raise ValueError(f"{paths[0].name} does not say which column holds recordings")
    tables = [datasets.table.InMemoryTable(pq.read_table(path, memory_map=True)) for path in paths]
    return datasets.Dataset(datasets.table.concat_tables(tables))


def _part(split: str, rows: Any, source: str) -> Part:
    audio = [name for name, kind in rows.features.items() if isinstance(kind, datasets.Audio)]
    if not audio:
        raise TrainingDataError(
            f"The audio set '{source}' has the columns {', '.join(rows.features)}; none holds recordings "
            "(Audio), and one is needed. Choose another set."
        )
    classes = {name: kind.names for name, kind in rows.features.items() if isinstance(kind, datasets.ClassLabel)}
    cells = []
    for number, row in enumerate(rows.remove_columns(audio) if len(rows.features) > 1 else [{}] * len(rows)):
        named = {
            name: row[name] if row[name] is None or row[name] < 0 else names[row[name]]
            for name, names in classes.items()
        }
        cells.append({**row, **named, RECORDING: f"{split or 'row'} {number}"})
    plain = rows.select_columns(audio[:1]).cast_column(audio[0], datasets.Audio(decode=False))
    return Part(split, plain, tuple(cells))


def _file_of(audio: Mapping[str, Any]) -> str | None:
    """The path of a recording; one that lies inside the set is written to a file first."""
    path, data = audio.get("path"), audio.get("bytes")
    if data is None:
        return str(Path(path).resolve()) if path else None
    suffix = Path(path or "").suffix or ".wav"
    name = hashlib.sha256(data).hexdigest()
    file = recordings_dir() / name[:2] / f"{name}{suffix}"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        building = file.with_suffix(f".{os.getpid()}.tmp")
        building.write_bytes(data)
        os.replace(building, file)
    return str(file)


def recordings_dir() -> Path:
    """The folder of recordings out of audio sets; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "recordings"
