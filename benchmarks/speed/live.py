"""Live microphones at once: `python -m benchmarks.live --data DATA [--sessions N] [--seconds S] [--quick] [--json]`.

Starts the page as a program of its own with the embedded models, and opens it in as many Chromiums, each with a
microphone that plays a conversation of dev speakers. Arrived: the share of what the microphone played that is in the
recording afterwards. Behind: seconds from the oldest sound that an answer is the first to cover until it stands on the
page. Browsers and server share the machine. Needs playwright, and Chromium in the path or in CHROMIUM.
"""

import argparse
import base64
import io
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.acoustic.speaker_turns import draw_conversations
from benchmarks.machine import run_benchmark
from benchmarks.speed.public import running_page
from ser.audio.vad import SileroDetector
from ser.errors import SerError
from ser.training.rehearsal import DEV_SPEAKERS
from ser.types import SAMPLING_RATE, Signal

SECONDS, QUICK_SECONDS = 60.0, 20.0
MOST_BEHIND, LEAST_ANSWERS, LEAST_ARRIVED = 0.6, 2.0, 0.999
PACKAGES = ("gradio", "onnxruntime", "faster-whisper", "silero-vad", "playwright")
FLAGS = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PATIENCE = 120_000
"""Milliseconds that anything on the page may take."""

MARKS = """() => ({
  began: performance.getEntriesByName("live-began")[0].startTime,
  answers: performance.getEntriesByName("live-answer").map(({ startTime, detail }) => [startTime, detail]),
  end: performance.now(),
})"""
"""What the page has noted: ms at which its sound began, and each answer came, with the seconds that it is about."""

PLAYER = "#recognize-audio #waveform audio[src]"
READ = """async (player) => {
  const blob = await (await fetch(player.src)).blob();
  const reader = new FileReader();
  return new Promise((resolve) => {
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(blob);
  });
}"""
"""Returns the file of a player as a `data:` address."""

PIECE, SHIFT = 0.5, 0.03
"""Seconds of the pieces that are found again in what was played, and by which they may be out of place."""

LEAST_ALIKE, QUIET = 0.8, 0.002
"""Correlation with what was played from which on a piece is found, and the level under which none is looked for."""


@dataclass(frozen=True)
class Followed:
    """Record of a microphone as its page has seen it.

    Attributes:
        arrived: share of what was played that is in the recording.
        of_clock: the recording's length as a share of the time that it took.
        rate: answers a second.
        behind: seconds of each answer.
    """

    arrived: float
    of_clock: float
    rate: float
    behind: list[float]


def arrived(kept: Signal, played: Signal) -> float:
    """Share of what a microphone played, again and again, that is in a recording, from its first piece to its last.

    Each piece of the recording is looked for in what was played: where sound is missing, the next one comes too early.

    Args:
        kept: the recording, 16 kHz.
        played: what was played, 16 kHz.
    """
    size, length, slack = round(PIECE * SAMPLING_RATE), len(played), round(SHIFT * SAMPLING_RATE)
    spectrum = np.fft.rfft(played)
    energy = np.convolve(np.concatenate([played, played[: size - 1]]) ** 2, np.ones(size), "valid")
    offset, missing = None, 0
    for start in range(0, len(kept) - size + 1, size):
        piece = kept[start : start + size]
        power = float(piece @ piece)
        if power < size * QUIET**2:
            continue
        found = np.fft.irfft(spectrum * np.conj(np.fft.rfft(piece, length)), length)
        alike = np.roll(found / np.sqrt(np.maximum(energy, 1e-3) * power), -start)
        # Where a sentence is said twice, the place that was expected counts.
        near = np.arange(offset - slack, offset + slack) if offset is not None else np.arange(length)
        if alike[near % length].max() < LEAST_ALIKE:
            near = np.arange(length)
        best = int(near[alike[near % length].argmax()]) % length
        if alike[best] >= LEAST_ALIKE:
            shift = 0 if offset is None else (best - offset + length // 2) % length - length // 2
            missing += abs(shift) if abs(shift) > slack else 0
            offset = best
    return 0.0 if offset is None else len(kept) / (len(kept) + missing)


def begin(page: Page, url: str) -> None:
    """Open the page and its panel, and switch the microphone on."""
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("#answer-card .bars")
    page.locator("#recognize-live-panel > button").click()
    page.locator("#live-record").click()
    page.wait_for_function("performance.getEntriesByName('live-answer').length")


def recording_of(page: Page) -> Signal:
    """The sound that the first tab's player has got, 16 kHz."""
    sound = base64.b64decode(page.locator(PLAYER).evaluate(READ).partition(",")[2])
    kept, rate = soundfile.read(io.BytesIO(sound), dtype="float32")
    assert rate == SAMPLING_RATE
    return np.asarray(kept)


def stop(page: Page, since: float) -> dict[str, Any]:
    """Switch the microphone off; returns what the page has noted.

    Args:
        page: that follows it.
        since: the page's milliseconds from which on answers count: all microphones are on.
    """
    seen = page.evaluate(MARKS)
    page.locator("#live-record").click()
    before = [one for one in seen["answers"] if one[0] < since]
    return {**seen, "answers": seen["answers"][len(before) :], "before": before[-1][1] if before else 0.0}


def follow(page: Page, seen: dict[str, Any], played: Signal) -> Followed:
    """Look at what has come of a microphone that was switched off."""
    expect(page.locator(".live-said")).to_contain_text("recorded", timeout=PATIENCE)
    kept = recording_of(page)
    answers, since = seen["answers"], seen["began"]
    pairs = itertools.pairwise([[since, seen["before"]], *answers])
    behind = [(at - since) / 1000 - before for (_, before), (at, _) in pairs]
    rate = (len(answers) - 1) / (answers[-1][0] - answers[0][0]) * 1000
    return Followed(arrived(kept, played), len(kept) / SAMPLING_RATE * 1000 / (seen["end"] - since), rate, behind)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Follow the microphones side by side.

    Raises:
        SerError: if there is no Chromium.
    """
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SerError("There is no Chromium here. Install it, or name its program in CHROMIUM.")
    seconds, count = options.seconds or (QUICK_SECONDS if options.quick else SECONDS), options.sessions
    talks = draw_conversations(
        options.data / "ravdess", DEV_SPEAKERS, [(2, "same")], count, SileroDetector(), options.seed
    )
    played = [talk.audio.signal for talk in talks]
    with (
        tempfile.TemporaryDirectory(prefix="live-benchmark-") as scratch,
        running_page(Path(scratch)) as (url, process),
        sync_playwright() as driver,
    ):
        pages: list[Page] = []
        for number, signal in enumerate(played):
            file = Path(scratch, f"microphone-{number}.wav")
            soundfile.write(file, signal, SAMPLING_RATE)
            flags = [*FLAGS, f"--use-file-for-fake-audio-capture={file}"]
            browser: Browser = driver.chromium.launch(executable_path=program, args=flags)
            pages.append(browser.new_context(permissions=["microphone"]).new_page())
        for page in pages:
            begin(page, url)
        start, used = time.perf_counter(), sum(process.cpu_times()[:2])
        all_on = [page.evaluate("performance.now()") for page in pages]
        pages[0].wait_for_timeout(1000 * seconds)
        load = os.getloadavg()[0]
        share = (sum(process.cpu_times()[:2]) - used) / (time.perf_counter() - start)
        noted = [stop(page, on) for page, on in zip(pages, all_on, strict=True)]
        found = [follow(page, seen, signal) for page, seen, signal in zip(pages, noted, played, strict=True)]
        for page in pages:
            if page.context.browser is not None:
                page.context.browser.close()
    behind = np.array([value for one in found for value in one.behind])
    quantiles = {name: round(float(np.quantile(behind, q)), 3) for name, q in (("p50", 0.5), ("p90", 0.9), ("max", 1))}
    least = {
        "arrived": round(min(one.arrived for one in found), 4),
        "of_clock": round(min(one.of_clock for one in found), 4),
        "answers_a_second": round(min(one.rate for one in found), 2),
    }
    return {
        "benchmark": "live",
        "sessions": count,
        "seconds": seconds,
        **least,
        "behind": quantiles,
        "server_cores": round(share, 2),
        "load_meanwhile": round(load, 1),
        "met": least["arrived"] >= LEAST_ARRIVED
        and least["answers_a_second"] >= LEAST_ANSWERS
        and quantiles["p90"] <= MOST_BEHIND,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; the exit code is 1 if a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--sessions", type=int, default=3, help="microphones at once (default 3)")
    parser.add_argument("--seconds", type=float, help=f"that each is on (default {SECONDS:g})")
    quick = f"{QUICK_SECONDS:g} s"
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=quick, passed=lambda result: bool(result["met"]))


if __name__ == "__main__":
    sys.exit(main())
