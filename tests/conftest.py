"""Fixtures that several test modules share."""

import gc
import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of corpora, which lies outside the repository; tests that need it skip without it."""
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("SER_SHARED_DATA") or default)
    if not (folder / "ravdess" / "metadata.csv").is_file():
        pytest.skip(f"no corpora at {folder}; set SER_SHARED_DATA to their folder")
    return folder


def pytest_collection_finish() -> None:
    """Leave all that was imported alone: looking through it for garbage takes a tenth of the time of all tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Let what was imported be cleared away."""
    gc.unfreeze()
