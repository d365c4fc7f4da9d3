"""Recordings as FLAC files named after their content, written so that a crash leaves a whole file or none.

Knows the folder; knows nothing of the database.
"""

import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import soundfile

from annotations.errors import StoreError
from ser.types import SAMPLING_RATE, Audio

FOLDER = "clips"
SUFFIX = ".flac"
TEMPORARY = ".tmp-"
"""Files under this prefix are unfinished; one that stays behind was left by a crash."""

STALE = 3600.0
"""Seconds after which an unfinished file cannot belong to a write that is still going on."""


def media_path(sha256: str) -> PurePosixPath:
    """Path of a recording, relative to the store's folder.

    >>> str(media_path("abcdef")), str(media_path("0011"))
    ('clips/ab/abcdef.flac', 'clips/00/0011.flac')
    """
    return PurePosixPath(FOLDER, sha256[:2], sha256 + SUFFIX)


def save_media(data_dir: Path, audio: Audio) -> bool:
    """Write a recording as 16-bit FLAC, unless it is there already, and force it to the disk.

    The samples are those that `Audio.sha256` hashes, so that a file read back has the hash in its name.

    Args:
        data_dir: the store's folder.
        audio: mono at 16 kHz.

    Returns:
        Whether a file was written; False if it was there.

    Raises:
        OSError: no space, no permission; no part of the file is left then.
        StoreError: if the signal is not at the sampling rate that is stored.
    """
    if audio.sampling_rate != SAMPLING_RATE:
        raise StoreError(
            f"The clip is at {audio.sampling_rate} Hz; clips are stored at {SAMPLING_RATE} Hz. Resample it."
        )
    target = data_dir / media_path(audio.sha256)
    if target.exists():
        return False
    _make_folder(target.parent)
    samples = np.clip(np.rint(audio.signal * 32768.0), -32768, 32767).astype(np.int16)
    write_atomically(target, encode_flac(samples))
    return True


def encode_flac(samples: npt.NDArray[np.int16]) -> bytes:
    """16-bit mono samples at 16 kHz as the bytes of a FLAC file, without loss."""
    # By way of memory: libsndfile turns a full disk into a vague error of its own, the operating system does not.
    memory = io.BytesIO()
    soundfile.write(memory, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return memory.getvalue()


def write_atomically(target: Path, content: bytes) -> None:
    """Put a file in place whole or not at all, and on the disk before returning.

    Raises:
        OSError: no space, no permission; the target is then as it was.
    """
    temporary = target.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex}")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk: without it a renamed file may be gone after a power loss."""
    if os.name == "nt":  # Windows cannot open a folder, and needs no such call.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_media(data_dir: Path) -> Iterator[tuple[str, str]]:
    """(hash, path relative to the store's folder) of every finished recording."""
    for path in sorted((data_dir / FOLDER).glob(f"*/*{SUFFIX}")):
        if not path.name.startswith(TEMPORARY):
            yield path.stem, path.relative_to(data_dir).as_posix()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (folder.parent, folder.parent.parent):
            sync_folder(parent)
