"""Speed-up of two workers of Ray Data over one, on the same recordings and this machine.

    python -m benchmarks.scaling [--quick] [--data FOLDER] [--clips N] [--workers 1 2] [--json]

The start of Ray and of the models does not count in the pace. On a machine with other work the pace depends on that
work; the processor time of a clip says what an idle machine would do.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.machine import run_benchmark
from ser.commands.recognize import expand
from ser.config import Settings
from ser.scoring.engines import score_with_ray
from ser.scoring.parts import list_items, plan_parts, prepare
from ser.testing import synthetic_speech

PACKAGES = ("ray", "onnxruntime")
SECONDS = 3.0
START_LIMIT = 900
"""Seconds within which all workers must be there; the pace counts from when they are."""


def score(paths: Sequence[Path], workers: int) -> dict[str, float]:
    """Analyse all recordings into an empty folder.

    Args:
        paths: of the recordings.
        workers: processes.

    Returns:
        `start_seconds`, until the first part of each worker was there; `clips_per_second` and `processor_ms_a_clip`
        from then on; and how many had no answer.
    """
    print(f"{len(paths)} clips, workers: {workers}", file=sys.stderr)
    # All begin together; otherwise the first one would do the work of those that are still loading.
    importlib.import_module("ray.data").DataContext.get_current().wait_for_min_actors_s = START_LIMIT
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "answers.parquet"
        parts = plan_parts(prepare(folder, list_items(paths)), workers)
        started, done, failed = time.perf_counter(), 0, 0
        moments: list[tuple[int, float, float]] = []  # clips, seconds, processor time of the workers
        for files, without in score_with_ray(parts, folder, Settings(transcriber="none"), workers):
            failed, done = failed + without, done + files
            moments.append((done, time.perf_counter() - started, _processor_time()))
    start = moments[workers - 1][1]
    clips, seconds, processor = np.subtract(moments[-1], moments[workers - 1]).tolist()
    return {
        "workers": workers,
        "clips": done,
        "without_answer": failed,
        "start_seconds": round(start, 1),
        "clips_per_second": round(clips / seconds, 2),
        "processor_ms_a_clip": round(1000 * processor / clips, 2),
        "cores_had": round(processor / seconds, 2),
    }


def _processor_time() -> float:
    """Return seconds of all workers that are there now."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            # The actors, and the processes that recognise for them.
            if any(name in "".join(process.cmdline()) for name in ("PartScorer", "forkserver")):
                used += sum(process.cpu_times()[:2])
    return used


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Measure each number of workers, and how the last compares with the first."""
    clips = 160 if options.quick else options.clips
    with tempfile.TemporaryDirectory() as temporary:
        if options.data:
            paths = list(expand([str(options.data)]))[:clips]
        else:
            paths = [Path(temporary) / f"{number:05}.wav" for number in range(clips)]
            for number, path in enumerate(paths):
                soundfile.write(path, synthetic_speech(SECONDS, seed=options.seed + number).signal, 16_000)
        results = [score(paths, workers) for workers in options.workers]
    first, last = results[0], results[-1]
    by_time = last["workers"] / first["workers"] * first["processor_ms_a_clip"] / last["processor_ms_a_clip"]
    return {
        "benchmark": "scaling",
        "workers": results,
        "speedup": round(last["clips_per_second"] / first["clips_per_second"], 2),
        "speedup_by_processor_time": round(by_time, 2),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--data", type=Path, help="recordings; without it synthetic speech is made")
    parser.add_argument("--clips", type=int, default=960)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of processes, smallest first")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="160 clips")


if __name__ == "__main__":
    sys.exit(main())
