"""How long each step of recognition takes with the embedded models, and how much memory they need.

python -m benchmarks.pipeline --data ../shared/data/ravdess [--clips 60] [--quick] [--json]
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.machine import describe_run
from ser.config import Settings
from ser.corpora import load_corpus
from ser.errors import AudioError
from ser.loading import load_recognizer
from ser.types import Timings

PACKAGES = ("torch", "transformers", "onnxruntime", "pocketsphinx", "silero-vad", "librosa")


def measure(folder: Path, clips: int, seed: int) -> dict[str, object]:
    """Recognise a random sample of a corpus one by one.

    Args:
        folder: of the corpus.
        clips: in the sample.
        seed: draws it.

    Returns:
        Seconds to load, per-step medians and 95th percentiles in ms, real-time factor, peak memory in MB.
    """
    started = time.perf_counter()
    recognizer = load_recognizer(Settings(transcriber="pocketsphinx"))
    loaded = time.perf_counter() - started
    examples = load_corpus(folder)
    sample = random.Random(seed).sample(examples, min(clips, len(examples)))
    recognizer.recognize(sample[0].path)
    first_peak = _peak_memory()
    timings: list[Timings] = []
    durations: list[float] = []
    refused = 0
    for example in tqdm(sample, unit="clip", disable=None):
        try:
            answer = recognizer.recognize(example.path)
        except AudioError:
            refused += 1
            continue
        timings.append(answer.timings)
        durations.append(answer.duration)
    rows = [asdict(timing) for timing in timings]
    steps = {name: np.array([row[name] for row in rows]) * 1000 for name in rows[0]}
    return {
        "clips": len(rows),
        "refused": refused,
        "mean_duration": round(float(np.mean(durations)), 3),
        "load_s": round(loaded, 2),
        "median_ms": {name: round(float(np.median(values)), 1) for name, values in steps.items()},
        "p95_ms": {name: round(float(np.percentile(values, 95)), 1) for name, values in steps.items()},
        "real_time_factor": round(float(steps["total"].sum() / 1000 / np.sum(durations)), 3),
        "threads": torch.get_num_threads(),
        "peak_memory_mb_after_first": first_peak,
        "peak_memory_mb": _peak_memory(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder")
    parser.add_argument("--clips", type=int, default=120)
    parser.add_argument("--quick", action="store_true", help="10 clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    result = measure(options.data, 10 if options.quick else options.clips, options.seed)
    print(json.dumps(result | describe_run(options.seed, PACKAGES), indent=None if options.json else 2))
    return 0


def _peak_memory() -> int:
    """Greatest resident memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    sys.exit(main())
