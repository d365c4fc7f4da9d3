"""A parquet folder of answers in parts: each part is written whole or not at all, and each recording stands in one.

Knows files and rows; recognises nothing.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ser.errors import SettingsError
from ser.labels import EMOTIONS
from ser.serialization import printable, recognition_to_dict
from ser.types import Recognition

LARGEST_PART = 64
"""Recordings; what a killed worker had begun is recognised again."""

PARTS_EACH = 8
"""Parts for every worker at least, so that none waits long for the last one."""

SCHEMA = pa.schema(
    [
        ("file", pa.string()),
        ("size", pa.int64()),
        ("modified_ns", pa.int64()),
        ("error", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("duration", pa.float64()),
        ("transcript", pa.string()),
        *((label, pa.float64()) for label in EMOTIONS),
        ("answer", pa.string()),
    ]
)
"""A row a recording; `error` says why there is no answer, and all after it is empty then. `answer` is the whole of it
as JSON, as `python -m ser recognize --json` prints it."""


@dataclass(frozen=True, order=True)
class Item:
    """A recording as it was when it was listed; another size or time makes it another one."""

    file: str
    size: int
    modified_ns: int


@dataclass(frozen=True)
class Part:
    """Recordings that are recognised and written together; the name follows from them."""

    items: tuple[Item, ...]

    @property
    def files(self) -> list[str]:
        """Their names."""
        return [item.file for item in self.items]

    @property
    def name(self) -> str:
        """The name of its file.

        >>> Part((Item("a.wav", 1, 2),)).name == Part((Item("a.wav", 1, 2),)).name != Part((Item("a.wav", 1, 3),)).name
        True
        """
        content = json.dumps([[item.file, item.size, item.modified_ns] for item in self.items])
        return f"part-{hashlib.sha256(content.encode()).hexdigest()[:20]}.parquet"


def list_items(paths: Iterable[Path]) -> list[Item]:
    """List each file once, in order; one that is not there has size -1, and its row will say so."""
    items: dict[str, Item] = {}
    for path in paths:
        file = str(path.absolute())
        try:
            facts = path.stat()
            items[file] = Item(file, facts.st_size, facts.st_mtime_ns)
        except OSError:
            items[file] = Item(file, -1, 0)
    return list(items.values())


def plan_parts(items: Sequence[Item], workers: int) -> list[Part]:
    """Divide recordings.

    >>> [len(part.items) for part in plan_parts([Item(str(n), 0, 0) for n in range(20)], 1)]
    [3, 3, 3, 3, 3, 3, 2]
    """
    size = min(LARGEST_PART, max(1, -(-len(items) // (workers * PARTS_EACH))))
    return [Part(tuple(items[first : first + size])) for first in range(0, len(items), size)]


def prepare(folder: Path, items: Sequence[Item]) -> list[Item]:
    """List the recordings without a row, and remove half-written files and rows of recordings that have changed.

    Args:
        folder: of the parts; made where absent.
        items: all that is asked for.

    Raises:
        SettingsError: if the folder is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise SettingsError(f"{folder} is a file; --output names a folder of parquet files. Choose another name.")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {printable(item.file): replace(item, file=printable(item.file)) for item in items}
    done: set[Item] = set()
    sweep(folder)
    for path in sorted(folder.glob("*.parquet")):
        try:
            table = pq.ParquetFile(path).read()
            rows = zip(*(table.column(name).to_pylist() for name in ("file", "size", "modified_ns")), strict=True)
        except (pa.ArrowInvalid, KeyError, OSError) as error:
            raise SettingsError(f"{path} holds no answers of this program ({error}). Choose another folder.") from error
        found = [Item(*row) for row in rows]
        # The same recording twice would be one that a run with other parts has written since.
        keep = [wanted.get(item.file, item) == item and item not in done for item in found]
        done |= {item for item, kept in zip(found, keep, strict=True) if kept}
        if not any(keep):
            path.unlink()
        elif not all(keep):
            _write(table.filter(pa.array(keep)), path)
    return [item for item in items if wanted[printable(item.file)] not in done]


def sweep(folder: Path) -> None:
    """Remove the half-written parts that workers left that died."""
    for left in folder.glob(".part-*"):
        left.unlink(missing_ok=True)


def write_part(folder: Path, part: Part, answers: Sequence[Recognition | Exception]) -> int:
    """Write a part in one go; again, and it is the same file.

    Args:
        folder: that `prepare` has seen.
        part: which recordings.
        answers: of each, or why there is none.

    Returns:
        How many have no answer.
    """
    rows = [_row(item, answer) for item, answer in zip(part.items, answers, strict=True)]
    _write(pa.Table.from_pylist(rows, schema=SCHEMA), folder / part.name)
    return sum(row["error"] is not None for row in rows)


def count_failed(folder: Path, part: Part) -> int | None:
    """Count the recordings of a part that have no answer; None if the part is not written yet."""
    try:
        errors = pq.ParquetFile(folder / part.name).read(columns=["error"]).column("error")
    except FileNotFoundError:
        return None
    return len(errors) - int(errors.null_count)


def _row(item: Item, answer: Recognition | Exception) -> dict[str, object]:
    row: dict[str, object] = {
        "file": printable(item.file),
        "size": item.size,
        "modified_ns": item.modified_ns,
        "error": None,
    }
    if isinstance(answer, Exception):
        return {**row, "error": printable(str(answer))}
    return {
        **row,
        "label": answer.fused.label,
        "confidence": answer.fused.confidence,
        "duration": answer.duration,
        "transcript": answer.transcript.text if answer.transcript else None,
        **answer.fused.as_dict(),
        "answer": printable(json.dumps(recognition_to_dict(answer, item.file), ensure_ascii=False)),
    }


def _write(table: pa.Table, path: Path) -> None:
    building = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, building)
    os.replace(building, path)
