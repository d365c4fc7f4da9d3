"""Live microphones at once: `python -m benchmarks.live --data DATA [--sessions N] [--seconds S] [--json]`.

Conversations of dev speakers are brought in blocks as a browser sends them, in real time. Behind: seconds from the end
of the oldest sound of a block until its answer, that is the block's length and the time that its answer took.
"""

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.acoustic.speaker_turns import draw_conversations
from benchmarks.machine import run_benchmark
from ser.audio.vad import SileroDetector
from ser.config import Settings
from ser.loading import load_recognizer
from ser.timeline.live import EVERY, LiveStream
from ser.training.rehearsal import DEV_SPEAKERS
from ser.types import SAMPLING_RATE, Signal

SECONDS, QUICK_SECONDS = 40.0, 8.0
MOST_BEHIND = 0.6
PACKAGES = ("numpy", "onnxruntime", "faster-whisper", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if nine answers of ten are in time, 1 if not, 2 if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--sessions", type=int, default=3, help="microphones at once (default 3)")
    quick = f"{QUICK_SECONDS:g} s"
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=quick, passed=lambda result: bool(result["met"]))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run the sessions side by side."""
    seconds, count = QUICK_SECONDS if options.quick else SECONDS, options.sessions
    recognizer = load_recognizer(Settings(transcriber="embedded"))
    recognizer.warm_up()
    talks = draw_conversations(
        options.data / "ravdess", DEV_SPEAKERS, [(2, "same")], count, SileroDetector(), options.seed
    )
    answers, words = ThreadPoolExecutor(count), ThreadPoolExecutor(1)
    streams = [LiveStream(recognizer.live(words), answers) for _ in talks]
    behind: list[list[float]] = [[] for _ in talks]
    begun, used = time.perf_counter(), time.process_time()
    threads = [
        threading.Thread(target=play, args=(stream, talk.audio.signal, seconds, times))
        for stream, talk, times in zip(streams, talks, behind, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    share = (time.process_time() - used) / (time.perf_counter() - begun)
    times = np.array([value for values in behind for value in values])
    return {
        "benchmark": "live",
        "sessions": count,
        "seconds": seconds,
        "block": EVERY,
        "behind": {
            name: round(float(np.quantile(times, q)), 3) for name, q in (("p50", 0.5), ("p90", 0.9), ("max", 1))
        },
        "answers_in_time": round(float((times <= MOST_BEHIND).mean()), 4),
        "processor_share": round(share, 3),
        "regions": sum(len(stream.timeline.finish().regions) for stream in streams),
        "met": float((times <= MOST_BEHIND).mean()) >= 0.9,
    }


def play(stream: LiveStream, signal: Signal, seconds: float, behind: list[float]) -> None:
    """Bring a signal, again and again, block by block as time passes; an answer left out comes a block later."""
    size, start, missed = round(EVERY * SAMPLING_RATE), time.perf_counter(), 0
    for at in range(round(seconds / EVERY)):
        time.sleep(max(0.0, start + (at + 1) * EVERY - time.perf_counter()))
        block = np.take(signal, np.arange(at * size, (at + 1) * size), mode="wrap")
        before = stream.latest
        answer = stream.push(SAMPLING_RATE, block)
        missed = missed + 1 if answer is before else 0
        behind.append((missed + 1) * EVERY + time.perf_counter() - (start + (at + 1) * EVERY))


if __name__ == "__main__":
    sys.exit(main())
