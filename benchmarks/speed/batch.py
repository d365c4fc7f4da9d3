"""Throughput of recognition, one recording by one and in batches (voice only, nothing transcribed).

python -m benchmarks.batch --data ../shared/data/ravdess [--clips 1000] [--model NAME] [--wav] [--quick] [--json]

Blocks of clips go through every way in turn, so that other work on the machine meets all of them alike.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.machine import run_benchmark
from ser.audio.batching import BATCH_SIZE, available_cores
from ser.audio.decoding import decode_file
from ser.config import EMBEDDED, Settings
from ser.corpora import load_corpus
from ser.errors import AudioError
from ser.loading import load_recognizer
from ser.types import SAMPLING_RATE, Recognition

PACKAGES = ("onnxruntime", "numpy", "soundfile")
BLOCK = 64
"""Clips that go through one way before it is the next one's turn."""

Answers = list[Recognition | AudioError]


def measure(paths: Sequence[Path], model: str = EMBEDDED) -> dict[str, object]:
    """Recognise the same files in each way.

    Args:
        paths: of the recordings.
        model: acoustic model.

    Returns:
        `clips_per_second`, `times_one_by_one` and `processor_ms_per_clip` (which other work on the machine hardly
        changes) of each way, and how far the answers differ.
    """
    cores = available_cores()
    recognizer = load_recognizer(Settings(transcriber="none", text_model="none", acoustic_model=model))
    recognizer.warm_up()

    def alone(path: Path) -> Recognition | AudioError:
        try:
            return recognizer.recognize(path)
        except AudioError as error:
            return error

    def in_threads(block: Sequence[Path]) -> Answers:
        with ThreadPoolExecutor(cores) as pool:
            return list(pool.map(alone, block))

    ways: dict[str, Callable[[Sequence[Path]], Answers]] = {
        "one by one": lambda block: [alone(path) for path in block],
        f"one by one, {cores} threads": in_threads,
        f"batches of {BATCH_SIZE}, 1 thread": lambda block: list(recognizer.recognize_many(block, workers=1)),
        f"batches of 8, {cores} threads": lambda block: list(recognizer.recognize_many(block, batch_size=8)),
        f"batches of {BATCH_SIZE}, {cores} threads": lambda block: list(recognizer.recognize_many(block)),
    }
    seconds, processor = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    answers: dict[str, Answers] = {way: [] for way in ways}
    for way in ways.values():
        way(paths[:8])
    for first in range(0, len(paths), BLOCK):
        block = paths[first : first + BLOCK]
        for name, way in ways.items():
            started, used = time.perf_counter(), time.process_time()
            answers[name] += way(block)
            seconds[name] += time.perf_counter() - started
            processor[name] += time.process_time() - used
    rates = {name: len(paths) / used for name, used in seconds.items()}
    answered, *others = (
        [a.fused.probabilities for a in given if isinstance(a, Recognition)] for given in answers.values()
    )
    return {
        "benchmark": "batch",
        "clips": len(paths),
        "refused": len(paths) - len(answered),
        "threads": cores,
        "clips_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "times_one_by_one": {name: round(rate / rates["one by one"], 2) for name, rate in rates.items()},
        "processor_ms_per_clip": {name: round(1000 * used / len(paths), 2) for name, used in processor.items()},
        "largest_difference_of_a_probability": max(
            float(np.abs(np.subtract(answered, other)).max()) for other in others
        ),
    }


def write_wavs(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Write the recordings as 16-bit WAV at 16 kHz, as microphones and most corpora give them."""
    written = []
    for number, path in enumerate(paths):
        written.append(folder / f"{number}.wav")
        soundfile.write(written[-1], decode_file(path).signal, SAMPLING_RATE, subtype="PCM_16")
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder")
    parser.add_argument("--model", default=EMBEDDED, help="embedded, a folder or a Hub id")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--wav", action="store_true", help="read 16-bit WAV files rather than the corpus's own")

    def run(options: argparse.Namespace) -> dict[str, object]:
        paths = [example.path for example in load_corpus(options.data)]
        sample = random.Random(options.seed).sample(paths, min(100 if options.quick else options.clips, len(paths)))
        with tempfile.TemporaryDirectory() as scratch:
            files = write_wavs(sample, Path(scratch)) if options.wav else sample
            return measure(files, options.model) | {"files": "16-bit WAV" if options.wav else files[0].suffix}

    return run_benchmark(parser, run, PACKAGES, argv=argv, quick="100 clips")


if __name__ == "__main__":
    sys.exit(main())
