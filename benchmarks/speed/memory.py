"""Growth of resident memory over many recordings, no two of the same length.

python -m benchmarks.memory [--calls 10000] [--quick] [--json]

Speech is cut out of a minute of synthetic speech: real code from detection to scores, no disk.
"""

import argparse
import gc
import sys
from collections.abc import Sequence

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.config import Settings
from ser.loading import load_recognizer
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE, Audio

PACKAGES = ("onnxruntime", "numpy")
DURATIONS = (0.5, 5.0)
"""Seconds, shortest and longest clip."""

FIRST = 0.1
"""Share of the calls after which caches and arenas count as filled; growth after it is counted."""

TOLERANCE_MB = 20.0
"""Growth from there to the end that still counts as flat: allocators move by some megabytes either way. In 9,000 calls
that is 2.2 kB a call, a millisecond of sound."""


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Answer clips of drawn places and lengths, half of them one by one, half in batches, and watch the memory.

    Returns:
        Resident memory in MB after each tenth of the calls, the growth after the first, and whether it is flat.
    """
    calls = 1000 if options.quick else options.calls
    recognizer = load_recognizer(Settings(transcriber="none", text_model="none"))
    rng = np.random.default_rng(options.seed)
    speech = np.concatenate([synthetic_speech(6.0, pitch=90.0 + 15.0 * n, seed=n).signal for n in range(10)])

    def draw() -> Audio:
        length = int(rng.uniform(*DURATIONS) * SAMPLING_RATE)
        start = int(rng.integers(len(speech) - length))
        return Audio(speech[start : start + length])

    memory = {}
    block = max(20, calls // 10)
    for done in tqdm(range(block, calls + 1, block), unit=f"x {block} clips", disable=None):
        for clip in [draw() for _ in range(block // 2)]:
            recognizer.acoustic.classify(clip)
            recognizer.detector.detect(clip)
        for _ in recognizer.recognize_many(draw() for _ in range(block - block // 2)):
            pass
        gc.collect()
        memory[done] = round(psutil.Process().memory_info().rss / 1e6, 1)
    filled = memory[min(memory, key=lambda done: abs(done - FIRST * calls))]
    growth = round(memory[max(memory)] - filled, 1)
    return {
        "benchmark": "memory",
        "calls": max(memory),
        "resident_mb": memory,
        "growth_mb_after_first_tenth": growth,
        "flat": growth <= TOLERANCE_MB,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 1 if memory grows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    return run_benchmark(
        parser, measure, PACKAGES, argv=argv, quick="1,000 calls", passed=lambda result: bool(result["flat"])
    )


if __name__ == "__main__":
    sys.exit(main())
