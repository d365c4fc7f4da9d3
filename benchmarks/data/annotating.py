"""Time to label clips on the real page by keys alone: a script presses them, a real browser answers.

python -m benchmarks.annotating [--clips 300] [--quick] [--listen] [--json]

Serves the page with stand-ins for the models on a store of its own, opens it in headless Chromium and labels clip
after clip: a digit, then Enter. Knows the page as people do: by its keys.
"""

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright
from tqdm import tqdm

from annotations.commands.keeping import stats
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore
from benchmarks.machine import run_benchmark
from ser.config import EMBEDDED
from ser.errors import SerError
from ser.protocols import AcousticModel
from ser.testing import BandEnergyModel, fake_recognizer, synthetic_speech

PACKAGES = ("gradio", "playwright")
ROOT = Path(__file__).resolve().parents[2]
START = 300.0
"""Seconds that the server may take to answer first."""

PATIENCE = 120_000
"""Milliseconds that anything on the page may take."""

NEXT_CLIP = """([before, listen]) => {
    const state = window.studioReview.state();
    if (state.empty) return true;
    if (state.clip === null || state.clip === before) return false;
    const audio = window.studioReview.audio();
    return !listen || !audio || audio.ended;
}"""
"""Script that is true once another clip is on the page, and was played to its end if that is wanted."""


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Label clips until none is left.

    Returns:
        Clips an hour, ms from Enter to the next clip with its sound loaded, and the number of votes stored.
    """
    clips = 20 if options.quick else options.clips
    with tempfile.TemporaryDirectory(prefix="annotating-") as folder:
        data_dir = Path(folder) / "data"
        _fill(data_dir, clips, options.seed)
        with _served(data_dir, Path(folder) / "server.log") as url, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=_chromium(), args=["--headless", "--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            started, waits = _label(page, url, clips, options)
            seconds = time.perf_counter() - started
            browser.close()
        with AnnotationStore(data_dir) as store:
            counted = stats(store)
    return {
        "benchmark": "annotating",
        "clips": clips,
        "votes_stored": counted["votes"],
        "seconds": round(seconds, 1),
        "clips_per_hour": round(3600 * clips / seconds),
        **{f"ready_p{part}_ms": round(float(np.percentile(waits, part)), 1) for part in (50, 95, 100)},
        "think_s": options.think,
        "listened_to_the_end": options.listen,
    }


def _label(page: Page, url: str, clips: int, options: argparse.Namespace) -> tuple[float, list[float]]:
    rng, listen = random.Random(options.seed), options.listen
    page.goto(url)
    page.wait_for_function("document.querySelector('#rater input, #rater textarea')?.value")
    page.click("[role=tab]:has-text('Review')")
    page.wait_for_function(NEXT_CLIP, arg=[None, listen])
    started = time.perf_counter()
    for _ in tqdm(range(clips), unit="clip", disable=None):
        before = page.evaluate("window.studioReview.state().clip")
        page.wait_for_timeout(1000 * options.think)
        page.keyboard.press(str(rng.randint(1, 7)))
        page.keyboard.press("Enter")
        page.wait_for_function(NEXT_CLIP, arg=[before, listen])
    page.wait_for_function("window.studioReview.state().unsent === 0")
    return started, page.evaluate("window.studioReview.waits")


def _fill(data_dir: Path, clips: int, seed: int) -> None:
    with AnnotationStore(data_dir) as store:
        # The same way as the page registers the model that it starts with.
        ActiveModel(store, fake_recognizer(), _no_other, base=EMBEDDED).settle()
        version = store.active_version().id
        for number in tqdm(range(clips), unit="clip", disable=None):
            audio = synthetic_speech(1.5 + number % 5 * 0.5, seed=seed + number)
            clip = store.add_clip(audio, source="benchmark", speaker=f"speaker {number % 10}")
            store.add_prediction(clip.id, fake_recognizer(seed=seed + number).recognize(audio), version)


def _no_other(name: str) -> AcousticModel:
    return BandEnergyModel(0)


@contextmanager
def _served(data_dir: Path, log: Path) -> Iterator[str]:
    """Serve the page in a process of its own, and yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--fake", "--port", str(port), "--data-dir", str(data_dir)]
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + START
    with log.open("wb") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as server:
        try:
            while True:
                try:
                    urllib.request.urlopen(url, timeout=10).close()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > end:
                        raise SerError(f"The page was not served: {log.read_text(errors='replace')[-2000:]}") from None
                    time.sleep(0.3)
            yield url
        finally:
            server.terminate()


def _chromium() -> str:
    names = ("chromium", "chromium-browser", "chromium-headless-shell")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise SerError(
            "There is no Chromium on this machine: install Debian's package chromium, or name one by CHROMIUM."
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.annotating", description=__doc__)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--think", type=float, default=0.5, metavar="SECONDS", help="before each key (%(default)s)")
    parser.add_argument("--listen", action="store_true", help="play every clip to its end first")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="20 clips")


if __name__ == "__main__":
    sys.exit(main())
