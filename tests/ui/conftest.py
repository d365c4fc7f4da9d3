"""A page that is really served, and a real Chromium in front of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from annotations.learning.runs.retrainer import Retrainer
from ser.config import Settings
from ser.testing import fake_recognizer, synthetic_speech
from tests.unit.forked_workers import as_usual_work
from ui.app import build_app, launch_options
from ui.backend.services import Services
from ui.backend.startup import load_parts

PATIENCE = 60_000
"""Milliseconds that anything on the page may take; machines that run tests are often busy."""

expect.set_options(timeout=PATIENCE)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
).split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ui)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program; its absence skips the tests, and is a failure where CI counts on it."""
    # The headless shell draws the same pages for half of the processor time: it has no windows of its own to draw.
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        message = "no Chromium on this machine: install Debian's chromium-headless-shell to run the tests of the page"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds for the upload button and the microphone."""
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    soundfile.write(path, synthetic_speech(2.0, seed=5).signal, 16_000)
    return path


@pytest.fixture(scope="session")
def browser(playwright: Playwright, chromium: str, speech: Path) -> Iterator[Browser]:
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={speech}"]
    browser = playwright.chromium.launch(executable_path=chromium, args=flags)
    yield browser
    browser.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gradio's folder for uploads."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def services(tmp_path: Path, cache: Path) -> Services:
    """Services of a page on stand-ins, whose training processes have the priority of the tests."""
    parts = load_parts(tmp_path / "data", Settings(), fake=True)
    return replace(parts, retrainer=Retrainer(parts.active_model, spawn=as_usual_work()))


@pytest.fixture
def url(services: Services) -> Iterator[str]:
    """Serve the page and return its address."""
    demo = build_app(services)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(services))
    yield address
    demo.close()


@pytest.fixture(scope="session")
def profile(browser: Browser) -> Iterator[BrowserContext]:
    """A profile whose cache of Gradio's own files serves many tests; each of them finds its storage empty."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    yield context
    context.close()


@pytest.fixture
def open_page(browser: Browser, profile: BrowserContext, url: str) -> Iterator[Callable[..., Page]]:
    """Opens the page, in a profile of its own where options are given; fails the test on any error in a script."""
    own: list[BrowserContext] = []
    problems: list[str] = []

    def open_one(**options: object) -> Page:
        if options:
            own.append(browser.new_context(permissions=["microphone"], **options))  # type: ignore[arg-type]
        page = (own[-1] if options else profile).new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url, url) else None)
        page.goto(url)
        page.wait_for_selector("#answer-card .bars")
        page.wait_for_function("(document.querySelector('#rater textarea, #rater input') || {value: ''}).value !== ''")
        return page

    yield open_one
    for page in profile.pages:
        if page.url.startswith(url):
            page.evaluate("localStorage.clear()")
        page.close()
    for context in own:
        context.close()
    assert problems == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def _is_foreign(address: str, url: str) -> bool:
    return not address.startswith((url.rstrip("/"), "data:", "blob:"))


@pytest.fixture
def fill(services: Services) -> Callable[[int], None]:
    """Stores clips with answers, ready for review."""

    def store(count: int) -> None:
        for seed in range(count):
            audio = synthetic_speech(0.8 + seed % 3 * 0.4, seed=seed)
            clip = services.store.add_clip(
                audio, source="import", speaker=f"speaker {seed % 6}", consent=("research", "training")
            )
            answer = fake_recognizer(seed=seed).recognize(audio)
            services.store.add_prediction(clip.id, answer, services.store.active_version().id)

    return store
