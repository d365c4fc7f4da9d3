"""Places that a store can be saved to: a folder, what `fsspec` can write to, and (in `hub`) the Hugging Face Hub.

A place holds files by relative paths. It knows nothing of what is in them.
"""

import importlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from annotations.errors import ElsewhereError
from annotations.store.media import TEMPORARY, sync_folder, write_atomically
from ser.errors import SettingsError

Content = bytes | Path
"""A file to put somewhere: its bytes, or where it lies."""


class Place(Protocol):
    """A place for files. Each method raises `ElsewhereError` if the place is out of reach or refuses.

    Attributes:
        url: its address, without secrets.
        guarded: whether `apply` itself fails where another program has written since the last look.
    """

    url: str
    guarded: bool

    def open(self) -> None:
        """Make the place unless it is there, and make sure that strangers cannot read it."""

    def files(self) -> dict[str, int]:
        """List {path: bytes} of all files."""

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None if there is none."""

    def download(self, path: str, target: Path) -> None:
        """Copy a file to this disk; whole or not at all."""

    def apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        """Put files, in this order, then delete others; all at once where the place can do that."""

    def forget(self) -> None:
        """Remove for good what was deleted, where a place keeps a history."""


class FolderPlace:
    """A folder of a disk that stays: a mounted volume, a network disk."""

    guarded = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.url = str(self.folder)

    def open(self) -> None:
        """Make the folder."""
        with self._plain_errors():
            self.folder.mkdir(parents=True, exist_ok=True)

    def files(self) -> dict[str, int]:
        """List {path: bytes}."""
        with self._plain_errors():
            # Without this look an unmounted disk would seem to be an empty place.
            self.folder.stat()
            return {
                path.relative_to(self.folder).as_posix(): path.stat().st_size
                for path in sorted(self.folder.rglob("*"))
                if path.is_file() and not path.name.startswith(TEMPORARY)
            }

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""
        with self._plain_errors():
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                self.folder.stat()
                return None

    def download(self, path: str, target: Path) -> None:
        """Copy a file."""
        with self._plain_errors():
            copy_atomically(self.folder / path, target)

    def apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        """Put files, each whole and on the disk, then delete others."""
        with self._plain_errors():
            self.folder.stat()
            for path, content in put.items():
                target = self.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, bytes):
                    write_atomically(target, content)
                else:
                    copy_atomically(content, target)
            for path in delete:
                (self.folder / path).unlink(missing_ok=True)
            for folder in {(self.folder / path).parent for path in delete} - {self.folder}:
                if folder.is_dir():
                    sync_folder(folder)
                    if not any(folder.iterdir()):
                        folder.rmdir()

    def forget(self) -> None:
        """A folder has no history; what a killed program left half written goes."""
        with self._plain_errors():
            for path in self.folder.rglob(f"{TEMPORARY}*"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ElsewhereError(
                f"The folder {self.url} cannot be used ({error.strerror or error}). Check that its disk is there, "
                "has space and may be written to."
            ) from error


class FsspecPlace:
    """A place of any protocol that `fsspec` has a package for: s3, gs, abfs, sftp...

    Keys and passwords come from the environment, as the package of the protocol says.
    """

    guarded = False

    def __init__(self, url: str) -> None:
        self.url = without_secrets(url)
        protocol = url.partition("://")[0]
        fsspec = importlib.import_module("fsspec")
        try:
            self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise SettingsError(
                f"The store {self.url} needs a package that is not installed: {error}. Install it, or name a folder."
            ) from error
        except ValueError as error:
            raise SettingsError(
                f"The store {self.url} is of an unknown kind ('{protocol}'). Name a folder, hf://datasets/USER/NAME, "
                "hf://buckets/USER/NAME, or an address that fsspec knows, such as s3://BUCKET/FOLDER."
            ) from error
        self._root = str(root).rstrip("/")

    def open(self) -> None:
        """Make the folder where the protocol has folders."""
        self._do(lambda: self._fs.makedirs(self._root, exist_ok=True))

    def files(self) -> dict[str, int]:
        """List {path: bytes}."""
        found: dict[str, dict[str, Any]] = self._do(lambda: self._fs.find(self._root, detail=True)) or {}
        skip = len(self._fs._strip_protocol(self._root).rstrip("/")) + 1
        return {path[skip:]: int(entry.get("size") or 0) for path, entry in found.items()}

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""

        def read() -> bytes | None:
            try:
                return bytes(self._fs.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

        return self._do(read)

    def download(self, path: str, target: Path) -> None:
        """Copy a file to this disk."""
        temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{target.name}")
        try:
            self._do(lambda: self._fs.get_file(self._at(path), str(temporary)))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        """Put files, then delete others."""

        def put_one(path: str, content: Content) -> None:
            parent = self._at(path).rpartition("/")[0]
            self._fs.makedirs(parent, exist_ok=True)
            if isinstance(content, bytes):
                self._fs.pipe_file(self._at(path), content)
            else:
                self._fs.put_file(str(content), self._at(path))

        def remove(path: str) -> None:
            if self._fs.exists(self._at(path)):
                self._fs.rm_file(self._at(path))

        for path, content in put.items():
            self._do(lambda path=path, content=content: put_one(path, content))  # type: ignore[misc]
        for path in delete:
            self._do(lambda path=path: remove(path))  # type: ignore[misc]

    def forget(self) -> None:
        """Do nothing: a bucket that keeps versions has to be told so by its owner."""

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _do(self, act: Callable[[], Any]) -> Any:
        # Each protocol has errors of its own, and all of them mean that this try has failed.
        try:
            return act()
        except Exception as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ElsewhereError(
                f"The store at {self.url} cannot be used ({reason}). Check its address, keys and network."
            ) from error


def open_place(url: str) -> Place:
    """Find the place that an address names; nothing is asked of it yet.

    Args:
        url: a folder, `file://` and a folder, `hf://datasets/USER/NAME`, `hf://buckets/USER/NAME`, or an address that
            `fsspec` knows.

    Raises:
        SettingsError: if no place has such an address, or its package is missing.
    """
    protocol, sign, rest = url.strip().partition("://")
    if not sign:
        if not protocol:
            raise SettingsError("The store's address is empty. Name a folder, or hf://datasets/USER/NAME.")
        return FolderPlace(Path(protocol).expanduser())
    if protocol == "file":
        return FolderPlace(Path(rest if rest.startswith("/") else f"/{rest}"))
    if protocol == "hf":
        place: Place = importlib.import_module("annotations.elsewhere.hub").open_hub(rest)
        return place
    return FsspecPlace(url.strip())


def copy_atomically(source: Path, target: Path) -> None:
    """Copy a file, of any size, whole or not at all."""
    temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex}")
    try:
        shutil.copyfile(source, temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def without_secrets(url: str) -> str:
    """An address as it may be shown.

    >>> without_secrets("sftp://ann:secret@disk.example/studio?key=1")
    'sftp://disk.example/studio'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, re.sub(r"^.*@", "", parts.netloc), parts.path, "", ""))
