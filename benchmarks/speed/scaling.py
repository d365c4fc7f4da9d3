"""Speed-up of two workers of Ray Data over one, on the same recordings and this machine.

    python -m benchmarks.scaling [--quick] [--data FOLDER] [--clips N] [--workers 1 2] [--json]

The start of Ray and of the models is told apart from the pace. On a machine that has other work too, the pace tells
how much of it was left over; the processor time of a clip says what an idle machine would do.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import soundfile

from benchmarks.machine import run_benchmark
from ser.commands.recognize import expand
from ser.config import Settings
from ser.scoring.engines import score_with_ray
from ser.scoring.parts import list_items, plan_parts, prepare
from ser.testing import synthetic_speech

PACKAGES = ("ray", "torch")
SECONDS = 3.0
START_LIMIT = 900
"""Seconds within which all workers must be there; the pace counts from when they are."""


@dataclass(frozen=True)
class Moment:
    """Recordings done, seconds since the start, and processor time that the workers have had until then."""

    files: int
    at: float
    processor: float


def measure(paths: Sequence[Path], workers: int) -> dict[str, float | int]:
    """Hear all recordings into an empty folder.

    Args:
        paths: of the recordings.
        workers: processes.

    Returns:
        `start_seconds`, until the first part of each worker was there; `clips_per_second` and `processor_ms_a_clip`
        from then on; and how many had no answer.
    """
    # All begin together; otherwise the first one would do the work of those that are still loading.
    importlib.import_module("ray.data").DataContext.get_current().wait_for_min_actors_s = START_LIMIT
    settings = Settings(transcriber="none")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "answers.parquet"
        parts = plan_parts(prepare(folder, list_items(paths)), workers)
        started, moments, failed = time.perf_counter(), list[Moment](), 0
        for files, without in score_with_ray(parts, folder, settings, workers):
            failed += without
            before = moments[-1].files if moments else 0
            moments.append(Moment(before + files, time.perf_counter() - started, _processor_time()))
    first, last = moments[workers - 1], moments[-1]
    files, seconds = last.files - first.files, last.at - first.at
    return {
        "workers": workers,
        "clips": last.files,
        "without_answer": failed,
        "start_seconds": round(first.at, 1),
        "clips_per_second": round(files / seconds, 2),
        "processor_ms_a_clip": round(1000 * (last.processor - first.processor) / files, 2),
        "cores_had": round((last.processor - first.processor) / seconds, 2),
    }


def _processor_time() -> float:
    """Seconds of all workers that are there now."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            # The actors, and the processes that recognise for them.
            if any(name in "".join(process.cmdline()) for name in ("PartScorer", "forkserver")):
                times = process.cpu_times()
                used += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return used


def run(paths: Sequence[Path], counts: Sequence[int], say: Callable[[str], None]) -> dict[str, object]:
    """Measure each number of workers, and how they compare with the first.

    Args:
        paths: of the recordings.
        counts: numbers of workers, the smallest first.
        say: takes a line of progress.
    """
    results = []
    for workers in counts:
        say(f"{len(paths)} clips, workers: {workers}")
        results.append(measure(paths, workers))
    first, last = results[0], results[-1]
    return {
        "workers": results,
        "speedup": round(last["clips_per_second"] / first["clips_per_second"], 2),
        "speedup_by_processor_time": round(
            last["workers"] / first["workers"] * first["processor_ms_a_clip"] / last["processor_ms_a_clip"], 2
        ),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--data", type=Path, help="recordings; without it synthetic speech is made")
    parser.add_argument("--clips", type=int, default=960)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])

    def measure(options: argparse.Namespace) -> Mapping[str, object]:
        clips = 160 if options.quick else options.clips
        with tempfile.TemporaryDirectory() as temporary:
            if options.data:
                paths = list(expand([str(options.data)]))[:clips]
            else:
                paths = [Path(temporary) / f"{number:05}.wav" for number in range(clips)]
                for number, path in enumerate(paths):
                    speech = synthetic_speech(SECONDS, seed=options.seed + number)
                    soundfile.write(path, speech.signal, 16_000)
            return run(paths, options.workers, lambda line: print(line, file=sys.stderr))

    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="160 clips")


if __name__ == "__main__":
    sys.exit(main())
