"""Temporary folders for recordings and votes; what a killed program leaves there is found by its name and deleted."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SCRATCH = "speech-emotion-studio-"
"""Beginning of their names; the number of the process follows."""


def scratch_folder(purpose: str) -> Path:
    """Make a folder that its user deletes.

    Args:
        purpose: a word for its name.
    """
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-{purpose}-"))


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder as long as it is used."""
    folder = scratch_folder(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Delete the folders of programs that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        pid = folder.name.removeprefix(SCRATCH).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
