"""Time of each step of recognition, memory, imports and the cost of a cold start, with the embedded models.

python -m benchmarks.pipeline --data ../shared/data/ravdess [--clips 100] [--cores 1] [--quick] [--json]

Recognises drawn clips one by one in a process of its own that may use `--cores` processors, as a server would, then
runs `python -m ser recognize` on one of them.
"""

import argparse
import importlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.config import Settings
from ser.errors import AudioError

PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "silero-vad", "numpy")

STEPS = ("decode", "vad", "transcription", "acoustic", "text")
"""Fields of `ser.types.Timings`."""

EXPLAINED = 10
"""Clips whose answers are also explained, which takes several times as long."""

HEAVY = ("torch", "transformers", "peft", "librosa", "datasets")
"""Packages that answering must not import; see the contracts in pyproject.toml."""

WITH_POCKETSPHINX_MS = 528
"""Median of a whole answer with pocketsphinx and the four networks of before: RAVDESS, two threads, an idle machine.

Source: benchmarks/README.md, "The whole pipeline", at commit 2cb4c4e."""


def recognize_all(paths: Sequence[Path], threads: int) -> dict[str, object]:
    """Recognise recordings one by one.

    Returns:
        Seconds to load; median and 95th percentile of each step and of all, ms; processor time of an answer, ms, which
        counts where other programs hold the machine; the same of an explanation, on up to `EXPLAINED` clips;
        real-time factor; resident memory after the first and after the last clip, MB; which of `HEAVY` were imported.
    """
    started = time.perf_counter()
    # Importing it is part of what is measured.
    recognizer = importlib.import_module("ser.loading").load_recognizer(Settings(transcriber_threads=threads))
    loaded = time.perf_counter() - started
    recognizer.warm_up()
    rows: list[dict[str, float]] = []
    durations, processor, resident, refused = list[float](), list[float](), list[int](), 0
    explaining = list[float]()
    for path in tqdm(paths, unit="clip", disable=None):
        used = time.process_time()
        try:
            answer = recognizer.recognize(path)
        except AudioError:
            refused += 1
            continue
        rows.append(asdict(answer.timings))
        processor.append(1000 * (time.process_time() - used))
        durations.append(answer.duration)
        resident.append(psutil.Process().memory_info().rss // 2**20)
        if len(explaining) < EXPLAINED:
            used = time.process_time()
            recognizer.explain(path, answer=answer)
            explaining.append(1000 * (time.process_time() - used))
    steps = {name: 1000 * np.array([row[name] for row in rows]) for name in (*STEPS, "total")}
    return {
        "clips": len(rows),
        "refused": refused,
        "mean_duration": round(float(np.mean(durations)), 3),
        "load_s": round(loaded, 2),
        "median_ms": {name: round(float(np.median(values)), 1) for name, values in steps.items()},
        "p95_ms": {name: round(float(np.percentile(values, 95)), 1) for name, values in steps.items()},
        "min_ms": {name: round(float(values.min()), 1) for name, values in steps.items()},
        "median_cpu_ms": round(float(np.median(processor)), 1),
        "explain_median_cpu_ms": round(float(np.median(explaining)), 1),
        "explain_max_cpu_ms": round(max(explaining), 1),
        "real_time_factor": round(float(steps["total"].sum() / 1000 / np.sum(durations)), 3),
        "resident_mb_after_first": resident[0],
        "resident_mb": resident[-1],
        "imported": [name for name in HEAVY if name in sys.modules],
    }


def run_server(paths: Sequence[Path], cores: int) -> dict[str, object]:
    """Run `recognize_all` in a fresh process that may use so many processors."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    command = [sys.executable, "-m", "benchmarks.pipeline", "--inside", str(cores)]
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    ended = subprocess.run(
        command, input="\n".join(map(str, paths)), stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, **threads},
    )  # fmt: skip
    result: dict[str, object] = json.loads(ended.stdout)
    return result


def run_cold(path: Path) -> dict[str, float]:
    """Recognise one recording by the command line; seconds, of the clock and of all processors."""
    used, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "ser", "recognize", str(path)], stdout=subprocess.DEVNULL, check=True)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {"cold_s": round(time.perf_counter() - started, 2), "cold_cpu_s": round(seconds, 2)}


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Time drawn clips of a corpus in a process of its own, and one by the command line.

    Raises:
        AudioError: if the corpus has no recordings.
    """
    found = sorted((options.data / "audio").glob("*"))
    if not found:
        raise AudioError(f"'{options.data}' has no recordings in audio/. Name a corpus with --data.")
    paths = random.Random(options.seed).sample(found, min(10 if options.quick else options.clips, len(found)))
    result = run_server(paths, options.cores) | run_cold(paths[0])
    return result | {"cores": options.cores, "with_pocketsphinx_ms": WITH_POCKETSPHINX_MS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, or the process that it times."""
    if argv is None and sys.argv[1:2] == ["--inside"]:
        paths = [Path(line) for line in sys.stdin.read().splitlines()]
        print(json.dumps(recognize_all(paths, int(sys.argv[2]))))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder with audio/")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--cores", type=int, default=1, help="processors and threads (default %(default)s)")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="10 clips")


if __name__ == "__main__":
    sys.exit(main())
