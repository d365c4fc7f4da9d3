"""Weight of the page and the wait for it: `python -m benchmarks.page [--quick] [--json]`.

Starts the page as a program of its own with the embedded models, and opens it in Chromium: first in an empty profile,
then again in the same one. Bytes are those on the wire, headers included; usable is the page once its form is there and
its name field filled. Needs playwright, and Chromium in the path or in CHROMIUM.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from benchmarks.speed.public import running_page
from ser.errors import SerError

PACKAGES = ("gradio", "brotli", "playwright")
LOCALES = ("en-GB", "zh-CN")
MOST_FIRST, MOST_AGAIN = 600_000, 60_000
"""Bytes that a first load and a repeat may have."""

LONGEST = 2.0
"""Seconds until the page is usable that a first load may take."""

USABLE = "(document.querySelector('#rater textarea, #rater input') || { value: '' }).value !== ''"
QUIET = 1000
"""Milliseconds without a byte after which a load is over: streams of events never end."""


def load(browser: Browser, url: str, locale: str) -> dict[str, float]:
    """Open the page twice in a new profile, and return bytes and seconds of both loads."""
    context = browser.new_context(locale=locale)
    page = context.new_page()
    wire = context.new_cdp_session(page)
    wire.send("Network.enable")
    sizes: list[int] = []
    wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    found = {}
    ways: dict[str, Callable[[], object]] = {"first": lambda: page.goto(url), "again": page.reload}
    for name, go in ways.items():
        sizes.clear()
        start = time.perf_counter()
        go()
        page.wait_for_selector("#answer-card .bars")
        page.wait_for_function(USABLE)
        found[f"{name}_s"] = time.perf_counter() - start
        before = -1
        while before != len(sizes):
            before = len(sizes)
            page.wait_for_timeout(QUIET)
        found[f"{name}_bytes"] = sum(sizes)
    context.close()
    return found


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Start the page, and open it some times in each language.

    Raises:
        SerError: if there is no Chromium.
    """
    names = ("chromium", "chromium-browser", "chromium-headless-shell")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        raise SerError("There is no Chromium here. Install it, or name its program in CHROMIUM.")
    found: dict[str, object] = {"benchmark": "page"}
    with (
        tempfile.TemporaryDirectory(prefix="page-benchmark-") as scratch,
        running_page(Path(scratch)) as (url, _),
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for locale in LOCALES:
            loads = [load(browser, url, locale) for _ in tqdm(range(1 if options.quick else options.times))]
            found[locale] = {
                name: round(statistics.median(one[name] for one in loads), 2 if name.endswith("_s") else None)
                for name in loads[0]
            }
        browser.close()
    return found


def is_light(result: Mapping[str, object]) -> bool:
    """True if in every language a first load and a repeat are as light and as quick as they have to be."""
    loads = [result[locale] for locale in LOCALES]
    return all(
        isinstance(one, Mapping)
        and one["first_bytes"] <= MOST_FIRST
        and one["again_bytes"] <= MOST_AGAIN
        and one["first_s"] <= LONGEST
        for one in loads
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="loads, of which the median counts (default: %(default)s)")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="one load", passed=is_light)


if __name__ == "__main__":
    sys.exit(main())
