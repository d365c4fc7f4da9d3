"""Fixtures of many unit tests: a real store, small stand-ins for the models, a cache folder."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annotations.store import AnnotationStore
from ser.config import Settings
from ser.testing import fake_recognizer, synthetic_speech
from tests.unit.forked_workers import end_leftovers
from tests.unit.stored import write_wav
from ui.backend.services import Services
from ui.backend.startup import load_parts


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """End the training processes that a failed test leaves behind."""
    yield
    end_leftovers()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for torch: batches as small as those of tests are slower on several, much so on a busy machine."""
    torch = importlib.import_module("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    """An empty store."""
    with AnnotationStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def base_version(store: AnnotationStore) -> None:
    """The version that comes with the program, in the empty store."""
    store.ensure_base_version("embedded", "a" * 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three recordings to import."""
    for seed in range(3):
        write_wav(tmp_path / "in" / "audio" / f"{seed}.wav", seed)
    return tmp_path / "in"


@pytest.fixture
def page_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gradio's folder for uploads."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def page_services(tmp_path: Path, page_cache: Path) -> Services:
    """Services of the page; everybody is maintainer."""
    return load_parts(tmp_path / "data", Settings(), fake=True)


@pytest.fixture
def page_fill(page_services: Services) -> Callable[[int], None]:
    """Stores clips with answers, ready for review."""

    def fill(count: int) -> None:
        for seed in range(count):
            audio = synthetic_speech(0.6, seed=seed)
            clip = page_services.store.add_clip(audio, source="import", consent=("research", "training"))
            answer = fake_recognizer(seed=seed).recognize(audio)
            page_services.store.add_prediction(clip.id, answer, page_services.store.active_version().id)

    return fill
