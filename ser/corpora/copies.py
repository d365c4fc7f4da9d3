"""Which recordings of a set of examples are the same sound: identical, or a copy that was worked upon.

Decodes each file once and keeps what it heard in a cache. What lies on which side, `ser.corpora.splits` tells.
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
    """What was found.

    Attributes:
        hashes: {path: hash of the decoded audio} of each recording that could be read.
        near: pairs that are the same sound without being identical; one pair for any number of identical files.
        unreadable: a sentence on each recording that could not be compared.
    """

    hashes: Mapping[str, str]
    near: tuple[NearCopy, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """One recording: the hash of its decoded audio, and its fingerprint."""

    digest: str
    fingerprint: Fingerprint


def default_cache_dir() -> Path:
    """Where fingerprints are kept between runs; safe to delete at any time."""
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
            heard = hear(Path(path), cache_dir)
        except (AudioError, OSError) as error:
            unreadable.append(f"{path} was not compared: {error}")
        else:
            hashes[path] = heard.digest
            prints.setdefault(heard.digest, (path, heard.fingerprint))
        if on_progress is not None:
            on_progress(number, len(paths))
    names = [path for path, _ in prints.values()]
    matches = find_matches([print_ for _, print_ in prints.values()])
    near = tuple(NearCopy(names[m.first], names[m.second], m.error_rate) for m in matches)
    return Copies(hashes, near, tuple(unreadable))


def refuse_leaks(split: Split, copies: Copies) -> LeakReport:
    """Look for speakers and recordings on two sides.

    Args:
        split: the sides.
        copies: of the recordings of all sides.

    Returns:
        A report of no leak, with the copies that lie within one side.

    Raises:
        DataLeakError: where there are any; it says which.
    """
    leaks = report_leaks(split, copies.hashes, copies.near, copies.unreadable)
    if not leaks.clean:
        raise DataLeakError(f"{leaks} Remove the copies, or put them on one side.")
    return leaks


def cached_file(cache_dir: Path, content: str) -> Path:
    """Where the fingerprint of a file with that SHA-256 is kept, so that it can be found when it is to be erased."""
    key = hashlib.sha256(f"{CACHE_VERSION} {content}".encode()).hexdigest()
    return cache_dir / key[:2] / f"{key}.npz"


def hear(path: Path, cache_dir: Path | None) -> Heard:
    """Decode a recording and take its fingerprint, or look both up by the file's content.

    Raises:
        AudioError: where it is no usable recording.
    """
    if cache_dir is None:
        return _listen(path)
    file = cached_file(cache_dir, hashlib.sha256(path.read_bytes()).hexdigest())
    if file.is_file():
        with np.load(file) as stored:
            return Heard(str(stored["digest"]), Fingerprint(stored["words"], stored["loud"]))
    heard = _listen(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and moved, so that a killed run leaves no half a file behind.
    building = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with building.open("wb") as out:
        np.savez(out, digest=heard.digest, words=heard.fingerprint.words, loud=heard.fingerprint.loud)
    os.replace(building, file)
    return heard


def _listen(path: Path) -> Heard:
    audio = decode_file(path)
    return Heard(audio.sha256, fingerprint(audio.signal))
