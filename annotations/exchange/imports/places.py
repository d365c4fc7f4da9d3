"""Places to import from: a folder or a zip archive, read alike and never left.

A zip is read in place and nothing of it is unpacked to the disk, so that no member can name a place outside.
Knows no formats of tables.
"""

import functools
import hashlib
import os
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from annotations.errors import ExchangeError
from ser.audio.decoding import decode_bytes, decode_file
from ser.corpora.tables.files import TABLE_SUFFIXES
from ser.types import Audio

MAX_MEMBER = 512 * 2**20
"""Bytes of one unpacked file in a zip; an hour of 16-bit stereo at 44.1 kHz is 635 MB, a clip a few."""

MAX_MEMBERS = 500_000
BOMB_RATIO = 100
"""Unpacked bytes a byte of the archive. Recordings seldom pass 3, tables of text 20; bombs reach thousands."""

BOMB_FREE = 256 * 2**20
"""Unpacked bytes that are let through at any ratio: silence packs well."""

TABLE_FREE = 16 * 2**20
"""Unpacked bytes of a table from which on the ratio counts for it alone: reading rows takes longer than unpacking."""


@dataclass(frozen=True)
class Fetched:
    """A file at hand.

    Attributes:
        fingerprint: SHA-256 of its bytes.
        decode: makes a recording of it, given the longest accepted duration in seconds; AudioError if it is none.
    """

    fingerprint: str
    decode: Callable[[float | None], Audio]


def fetched_bytes(content: bytes, name: str) -> Fetched:
    """A file whose bytes are in memory."""
    return Fetched(hashlib.sha256(content).hexdigest(), functools.partial(decode_bytes, content, name))


class Place(Protocol):
    """A tree of files.

    Attributes:
        name: of the whole, for messages and as the corpus's name.
        names: of the files in it, relative, with forward slashes, sorted.
        refused: (name, reason) of what was found but will not be read.
    """

    name: str
    names: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]

    def has(self, name: str) -> bool:
        """True if there is such a file in it."""
        ...

    def read(self, name: str) -> bytes:
        """The content of a file."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file that there is, as far as that is known without reading it; else 0."""
        ...

    def fetch(self, name: str) -> Fetched:
        """A file, ready to be decoded; safe to call from several threads."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class FolderPlace:
    """A folder, without what links lead out of it to.

    Args:
        root: the folder.
        only: if given, the one file of it that counts.
    """

    def __init__(self, root: Path, only: str | None = None) -> None:
        self.root = root.resolve()
        self.name = self.root.name
        refused: list[tuple[str, str]] = []
        self.names = (only,) if only else tuple(sorted(self._walk(refused)))
        self.refused = tuple(refused)

    def has(self, name: str) -> bool:
        """True if there is such a file in it."""
        try:
            return self._inside(name).is_file()
        except ExchangeError:
            return False

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            ExchangeError: if it cannot be read or lies outside.
        """
        try:
            return self._inside(name).read_bytes()
        except OSError as error:
            raise ExchangeError(f"{self.root / name} cannot be read ({error.strerror}). Check the path.") from error

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return self._inside(name).stat().st_size

    def fetch(self, name: str) -> Fetched:
        """A file, ready to be decoded; of a long one only a part at a time is in memory."""
        path = self._inside(name)
        try:
            with open(path, "rb") as file:
                fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ExchangeError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from error
        return Fetched(fingerprint, functools.partial(decode_file, path))

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _inside(self, name: str) -> Path:
        try:
            # Unlike Path.resolve it lets a link that leads to itself be.
            path = Path(os.path.realpath(self.root / name))
            outside, found = not path.is_relative_to(self.root), path.is_file()
        except (OSError, ValueError) as error:  # Too long a name, or a null character in it.
            raise ExchangeError(f"{name[:80]!r} cannot be a file name ({error}). Correct it.") from error
        if outside:
            raise ExchangeError(f"{name} lies outside of {self.root}. Only files inside are imported; move it there.")
        if not found:
            raise ExchangeError(f"{name} is not in {self.root}. Put it there, or remove its row from the table.")
        return path

    def _walk(self, refused: list[tuple[str, str]]) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root, followlinks=False):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in files:
                path = Path(folder, file)
                name = path.relative_to(self.root).as_posix()
                if file.startswith("."):
                    continue
                if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(self.root):
                    refused.append((name, "it is a link to somewhere outside of the folder"))
                    continue
                yield name


class ZipPlace:
    """A zip archive, read member by member within bounds.

    Raises:
        ExchangeError: if it is no zip, or holds absurdly many members.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ExchangeError(f"{path} cannot be read as a zip archive ({error}). Pack it again.") from error
        if len(self._archive.infolist()) > MAX_MEMBERS:
            raise ExchangeError(f"{path} holds more than {MAX_MEMBERS} files. Unpack it and import the folder.")
        self._allowance = max(BOMB_FREE, BOMB_RATIO * path.stat().st_size)
        refused: list[tuple[str, str]] = []
        self.names = tuple(sorted(self._list(refused)))
        self._members = frozenset(self.names)
        self._lock = threading.Lock()
        self.refused = tuple(refused)

    def has(self, name: str) -> bool:
        """True if there is such a member."""
        return name in self._members

    def read(self, name: str) -> bytes:
        """The content of a member.

        Raises:
            ExchangeError: if it is damaged or encrypted, or unpacks to more than a recording could hold.
        """
        if name not in self._members:
            raise ExchangeError(f"{name} is not in {self._path.name}. Put it there, or remove its row from the table.")
        # One at a time, so that the allowance is kept; unpacking is quick compared with decoding.
        with self._lock:
            return self._unpack(name)

    def _unpack(self, name: str) -> bytes:
        info = self._archive.getinfo(name)
        limit = min(MAX_MEMBER, self._allowance)
        packed_table = PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES and info.file_size > TABLE_FREE
        if info.file_size > limit or (packed_table and info.file_size > BOMB_RATIO * info.compress_size):
            raise self._bomb(name)
        # Counted before it is known whether it can be read: members that fail cost as much work as others.
        self._allowance -= info.file_size
        try:
            with self._archive.open(name) as member:
                # What the header says of the size is not to be trusted: reading stops by itself.
                content = member.read(limit + 1)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            raise ExchangeError(
                f"{name} cannot be unpacked from {self._path.name} ({error}). Pack it again."
            ) from error
        if len(content) > limit:
            raise self._bomb(name)
        return content

    def _bomb(self, name: str) -> ExchangeError:
        return ExchangeError(
            f"{name} unpacks to far more than its archive could plausibly hold; it was not read. "
            "Unpack it yourself and import the folder, if you trust it."
        )

    def size(self, name: str) -> int:
        """Bytes of a member once it is unpacked, as the archive says."""
        return self._archive.getinfo(name).file_size

    def fetch(self, name: str) -> Fetched:
        """A member, ready to be decoded."""
        return fetched_bytes(self.read(name), name)

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()

    def _list(self, refused: list[tuple[str, str]]) -> Iterator[str]:
        for info in self._archive.infolist():
            path = PurePosixPath(info.filename)
            if info.is_dir() or any(part.startswith(".") and part != ".." for part in path.parts):
                continue
            if path.parts[:1] == ("__MACOSX",):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                refused.append((info.filename, "it is a link, which is not followed"))
            elif path.is_absolute() or ".." in path.parts or "\\" in info.filename or ":" in path.parts[0]:
                refused.append((info.filename, "its name leads out of the archive"))
            else:
                yield info.filename
