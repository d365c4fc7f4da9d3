"""Search for recordings that are the same sound: identical, or a copy that was worked upon.

Decodes each file once and keeps its fingerprint in a cache; knows nothing of the parts of a split.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser.audio.decoding import decode_file
from ser.corpora.fingerprints import Fingerprint, find_matches, fingerprint
from ser.corpora.splits import LeakReport, NearCopy, Split, report_leaks
from ser.errors import AudioError, DataLeakError
from ser.types import Example

CACHE_VERSION = 1
"""To be raised with every change of `ser.corpora.fingerprints` that changes a word."""


@dataclass(frozen=True)
class Copies:
    """Copies among recordings.

    Attributes:
        hashes: {path: hash of the decoded audio} of each recording that could be read.
        near: pairs that are the same sound without being identical; one pair for any number of identical files.
        unreadable: a sentence on each recording that could not be compared.
    """

    hashes: Mapping[str, str]
    near: tuple[NearCopy, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Printed:
    """The hash of a recording's decoded audio, and its fingerprint."""

    digest: str
    fingerprint: Fingerprint


def default_cache_dir() -> Path:
    """Folder for fingerprints between runs; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "fingerprints"


def find_copies(
    examples: Sequence[Example],
    *,
    cache_dir: Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Copies:
    """Compare the recordings of examples, each with each.

    Args:
        examples: whose files are read.
        cache_dir: keeps fingerprints between runs; None to keep nothing.
        on_progress: called with the recordings done and their number; may raise to stop the work.

    Returns:
        Hashes and near copies. Ten thousand clips take about two minutes of one core, and seconds from the cache.
    """
    hashes: dict[str, str] = {}
    prints: dict[str, tuple[str, Fingerprint]] = {}
    unreadable: list[str] = []
    paths = sorted({str(example.path) for example in examples})
    for number, path in enumerate(paths, start=1):
        try:
            found = take_fingerprint(Path(path), cache_dir)
        except (AudioError, OSError) as error:
            unreadable.append(f"{path} was not compared: {error}")
        else:
            hashes[path] = found.digest
            prints.setdefault(found.digest, (path, found.fingerprint))
        if on_progress is not None:
            on_progress(number, len(paths))
    names = [path for path, _ in prints.values()]
    matches = find_matches([print_ for _, print_ in prints.values()])
    near = tuple(NearCopy(names[m.first], names[m.second], m.error_rate) for m in matches)
    return Copies(hashes, near, tuple(unreadable))


def refuse_leaks(split: Split, copies: Copies) -> LeakReport:
    """Refuse a split that has speakers or recordings in two of its parts.

    Args:
        split: train, dev and test.
        copies: of the recordings of all of them.

    Returns:
        A report of no leak, with the copies within one part.

    Raises:
        DataLeakError: if there are any; it says which.
    """
    leaks = report_leaks(split, copies.hashes, copies.near, copies.unreadable)
    if not leaks.clean:
        raise DataLeakError(f"{leaks} Remove the copies, or put them in one part.")
    return leaks


def cached_file(cache_dir: Path, content: str) -> Path:
    """Path of the fingerprint of a file with that SHA-256, so that it can be found when it is to be erased."""
    key = hashlib.sha256(f"{CACHE_VERSION} {content}".encode()).hexdigest()
    return cache_dir / key[:2] / f"{key}.npz"


def take_fingerprint(path: Path, cache_dir: Path | None) -> Printed:
    """Decode a recording and take its fingerprint, or look both up by the file's content.

    Raises:
        AudioError: if it is no usable recording.
    """
    if cache_dir is None:
        return _decoded(path)
    file = cached_file(cache_dir, hashlib.sha256(path.read_bytes()).hexdigest())
    if file.is_file():
        with np.load(file) as stored:
            return Printed(str(stored["digest"]), Fingerprint(stored["words"], stored["loud"]))
    found = _decoded(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and moved, so that a killed run leaves no half a file behind.
    building = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with building.open("wb") as out:
        np.savez(out, digest=found.digest, words=found.fingerprint.words, loud=found.fingerprint.loud)
    os.replace(building, file)
    return found


def _decoded(path: Path) -> Printed:
    audio = decode_file(path)
    return Printed(audio.sha256, fingerprint(audio.signal))
