"""Names of the files at a place, and what they say: the store's own, snapshots, fragments, recordings, versions.

Reads and writes no database but the one it is given.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from annotations.elsewhere import journal
from annotations.elsewhere.places import Content, Place
from annotations.errors import StoreError
from annotations.store.media import FOLDER, SUFFIX
from annotations.store.rows import timestamp

STORE = "store.json"
"""Names the store; the first file of each."""

SNAPSHOTS, FRAGMENTS, MODELS = "snapshots", "fragments", "models"


@dataclass(frozen=True, order=True)
class Entry:
    """A snapshot or a fragment.

    Attributes:
        position: number of the last change in it.
        disk: that wrote it.
        path: of its file.
    """

    position: int
    disk: str
    path: str

    @property
    def name(self) -> str:
        """The name that what follows refers to it by."""
        return entry_name(self.position, self.disk)

    @property
    def is_snapshot(self) -> bool:
        """True for a snapshot, False for a fragment."""
        return self.path.startswith(SNAPSHOTS)


def entry_name(position: int, disk: str) -> str:
    """Build the name of a snapshot or fragment; no two are the same, and names sort by position.

    >>> entry_name(42, "5f1d")
    '000000000042-5f1d'
    """
    return f"{position:012d}-{disk}"


def list_entries(files: Mapping[str, int]) -> list[Entry]:
    """The snapshots and fragments among some files, by position.

    >>> [entry.position for entry in list_entries({"snapshots/000000000007-ab.db": 1, "store.json": 1})]
    [7]
    """
    found = []
    for path in files:
        folder, _, name = path.partition("/")
        number, _, disk = name.rpartition(".")[0].partition("-")
        if folder in (SNAPSHOTS, FRAGMENTS) and number.isdecimal() and disk:
            found.append(Entry(int(number), disk, path))
    return sorted(found)


def read_manifest(place: Place) -> str | None:
    """The id of the store that a place holds; None if it holds none.

    Raises:
        StoreError: if its file is damaged, or of a later version of the program.
    """
    content = place.read(STORE)
    if content is None:
        return None
    try:
        manifest = json.loads(content)
        number, store_id = int(manifest["format"]), str(manifest["store"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{STORE} at {place.url} is damaged ({error!r}). Name another store.") from error
    if number > journal.FORMAT:
        raise StoreError(f"The store at {place.url} was written by a later version of the program. Update this one.")
    return store_id


def begin_store(store_id: str) -> dict[str, Content]:
    """The first file of a new store."""
    return {STORE: json.dumps({"format": journal.FORMAT, "store": store_id, "created_at": timestamp()}).encode()}


def list_folders(connection: sqlite3.Connection) -> dict[str, bool]:
    """{folder of a model version: whether its weights are kept}."""
    rows = connection.execute("SELECT path, weights_removed_at FROM model_versions WHERE path IS NOT NULL")
    return {row["path"]: row["weights_removed_at"] is None for row in rows}


def is_recording(path: str) -> bool:
    """Tell if a file elsewhere is a recording."""
    return path.startswith(f"{FOLDER}/") and path.endswith(SUFFIX)
