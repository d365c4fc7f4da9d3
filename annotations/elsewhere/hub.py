"""Places on the Hugging Face Hub: a private data set, which commits write to, or a private bucket without a history.

The token is the machine's own (`HF_TOKEN`); it must be allowed to write.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RemoteEntryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import disable_progress_bars, parse_ratelimit_headers

from annotations.elsewhere.places import Content, Place
from annotations.errors import ElsewhereError, MovedOnError
from annotations.scratch import scratch
from annotations.store.media import TEMPORARY
from ser.checkpoints.hub import look_again
from ser.errors import SettingsError

KIND = "dataset"

_MOVED = (409, 412)
"""Answers to a commit whose parent is the newest one no more."""


class _HubPlace:
    """The half that data sets and buckets share: errors, and files that come through a folder of their own."""

    guarded = False

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self._api = HfApi()
        # The log is for people; a bar for each clip would drown it.
        disable_progress_bars()

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""
        with scratch("read") as folder:
            file = self._fetch(path, folder)
            return None if file is None else file.read_bytes()

    def download(self, path: str, target: Path) -> None:
        """Copy a file to this disk, through a temporary folder next to it."""
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=target.parent) as folder:
            file = self._fetch(path, Path(folder))
            if file is None:
                raise ElsewhereError(f"{path} is gone from {self.url}.")
            os.replace(file, target)

    def _fetch(self, path: str, folder: Path) -> Path | None:
        raise NotImplementedError

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except HfHubHTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in _MOVED:
                raise MovedOnError(
                    f"Something else was written to {self.url} meanwhile; it is looked at again."
                ) from error
            raise ElsewhereError(
                f"The Hub refuses: {_reason(error)} {_advice(status, self.url)}", _pause(error)
            ) from error
        except OfflineModeIsEnabled as error:
            # Another part of the program has found no Hub when it started, and told the library so for good.
            back = "It answers again." if look_again() else "Check the network."
            raise ElsewhereError(f"The Hub is out of reach. {back}") from error
        except (httpx2.HTTPError, OSError, ValueError, RuntimeError) as error:
            raise ElsewhereError(f"The Hub is out of reach ({_reason(error)}). Check the network.") from error


class HubDataset(_HubPlace):
    """A private data set. A save is one commit on top of the one that was seen last, or fails."""

    guarded = True

    def __init__(self, name: str) -> None:
        super().__init__(f"hf://datasets/{name}", name)
        self._head: str | None = None

    def open(self) -> None:
        """Make the data set unless it is there; refuse one that everybody sees."""
        with self._plain_errors():
            self._api.create_repo(self.name, repo_type=KIND, private=True, exist_ok=True)
            info = self._api.repo_info(self.name, repo_type=KIND)
        _require_private(info.private, self.url)
        self._head = info.sha

    def files(self) -> dict[str, int]:
        """List {path: bytes} of the newest commit, and go on from it."""
        with self._plain_errors():
            self._head = self._api.repo_info(self.name, repo_type=KIND).sha
            return {entry.path: entry.size for entry in self._entries()}

    def apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        """Make one commit of it all."""
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(path, content if isinstance(content, bytes) else str(content))
            for path, content in put.items()
        ]
        operations += [CommitOperationDelete(path) for path in delete]
        with self._plain_errors():
            commit = self._api.create_commit(
                self.name, operations, commit_message=message, repo_type=KIND, parent_commit=self._head
            )
        self._head = commit.oid

    def forget(self) -> None:
        """Squash the history, and remove the large files that only it named."""
        with self._plain_errors():
            self._api.super_squash_history(self.name, repo_type=KIND)
            self._head = self._api.repo_info(self.name, repo_type=KIND).sha
            living = {entry.lfs.sha256 for entry in self._entries() if entry.lfs is not None}
            stored = list(self._api.list_lfs_files(self.name, repo_type=KIND))
            gone = [file for file in stored if file.file_oid not in living]
            if not living <= {file.file_oid for file in stored}:
                raise ElsewhereError(f"{self.url} does not say which of its large files are in use; none was removed.")
            if gone:
                self._api.permanently_delete_lfs_files(self.name, gone, repo_type=KIND)
                self._head = self._api.repo_info(self.name, repo_type=KIND).sha

    def _entries(self) -> Iterator[RepoFile]:
        entries = self._api.list_repo_tree(self.name, recursive=True, revision=self._head, repo_type=KIND)
        return (entry for entry in entries if isinstance(entry, RepoFile))

    def _fetch(self, path: str, folder: Path) -> Path | None:
        with self._plain_errors():
            try:
                return Path(self._api.hf_hub_download(self.name, path, repo_type=KIND, local_dir=folder))
            # Not its base class: that one also means that the Hub is out of reach.
            except RemoteEntryNotFoundError:
                return None


class HubBucket(_HubPlace):
    """A private bucket: what is deleted there is gone."""

    def __init__(self, name: str) -> None:
        if not hasattr(HfApi, "batch_bucket_files"):
            raise SettingsError("This huggingface_hub knows no buckets. Update it, or name hf://datasets/USER/NAME.")
        super().__init__(f"hf://buckets/{name}", name)

    def open(self) -> None:
        """Make the bucket unless it is there; refuse one that everybody sees."""
        with self._plain_errors():
            self._api.create_bucket(self.name, private=True, exist_ok=True)
            info = self._api.bucket_info(self.name)
        _require_private(info.private, self.url)

    def files(self) -> dict[str, int]:
        """List {path: bytes}."""
        with self._plain_errors():
            entries = self._api.list_bucket_tree(self.name, recursive=True)
            return {entry.path: entry.size for entry in entries if entry.type == "file"}

    def apply(self, put: Mapping[str, Content], delete: Sequence[str], message: str) -> None:
        """Put files, then delete others."""
        with self._plain_errors():
            # The file that names the writer comes last: with it, all before it are there.
            self._api.batch_bucket_files(self.name, add=[(content, path) for path, content in put.items()])
            if delete:
                self._api.batch_bucket_files(self.name, delete=list(delete))

    def forget(self) -> None:
        """Do nothing: a bucket keeps no history."""

    def _fetch(self, path: str, folder: Path) -> Path | None:
        target = folder / "file"
        with self._plain_errors():
            try:
                self._api.download_bucket_files(self.name, [(path, target)])
            except RemoteEntryNotFoundError:
                return None
        return target if target.is_file() else None


def open_hub(name: str) -> Place:
    """Find the place that comes after `hf://`.

    Raises:
        SettingsError: if it is neither a data set nor a bucket.
    """
    match = re.fullmatch(r"(datasets|buckets)/([\w.-]+/[\w.-]+)", name.rstrip("/"))
    if match is None:
        raise SettingsError(
            f"The store 'hf://{name}' names nothing on the Hub; expected hf://datasets/USER/NAME or "
            "hf://buckets/USER/NAME."
        )
    return HubDataset(match.group(2)) if match.group(1) == "datasets" else HubBucket(match.group(2))


def _require_private(private: bool | None, url: str) -> None:
    if not private:
        raise SettingsError(
            f"{url} is there already and everybody can see it: voices are not saved there. Make it private on the Hub, "
            "or name another."
        )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _advice(status: int, url: str) -> str:
    if status in (401, 403, 404):
        return f"Give the program a token (HF_TOKEN) that may write to {url}."
    return "It is asked again later."


def _pause(error: HfHubHTTPError) -> float | None:
    """The seconds that the Hub asks to be left alone."""
    if error.response is None:
        return None
    limit = parse_ratelimit_headers(error.response.headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    asked = error.response.headers.get("Retry-After", "")
    return float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else None
