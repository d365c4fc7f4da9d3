"""The text model's accuracy and speed: `python -m benchmarks.text --data FILE.csv [--model NAME] [--quick] [--json]`.

Figures on labelled sentences (columns `text` and `label` or `labels`), as written and as transcripts have them, and the
time a sentence takes on its own and in a batch.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import run_benchmark
from ser.checkpoints.hub import pick_device
from ser.errors import SettingsError
from ser.protocols import TextModel
from ser.text.classifier import evaluate_text, load_text_model
from ser.text.data import read_labelled_texts

TIMED, QUICK_TIMED = 300, 50
"""Sentences timed one by one."""

PACKAGES = ("onnxruntime", "tokenizers", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="FILE.csv")
    parser.add_argument("--model", default="embedded", help="embedded, a folder or a Hub id")
    parser.add_argument("--device", default="auto")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="time fewer sentences and leave the figures out")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return figures and times.

    Raises:
        SerError: if the model or the data cannot be used.
    """
    started = time.perf_counter()
    model = load_text_model(options.model, pick_device(options.device))
    if model is None:
        raise SettingsError("There is nothing to measure: the text model is 'none'. Name one with --model.")
    load = time.perf_counter() - started
    texts = read_labelled_texts(options.data).texts[: QUICK_TIMED if options.quick else TIMED]
    result = {"benchmark": "text", "model": model.name, "load": round(load, 2)} | time_model(model, texts)
    return result if options.quick else result | {"figures": evaluate_text(model, options.data)}


def time_model(model: TextModel, texts: Sequence[str]) -> dict[str, float]:
    """Return milliseconds of one sentence alone (median and 95th percentile), and sentences a second in a batch."""
    model.classify_batch(texts[:8])
    spent = []
    for text in texts:
        started = time.perf_counter()
        model.classify(text)
        spent.append(time.perf_counter() - started)
    started = time.perf_counter()
    model.classify_batch(texts)
    batch = time.perf_counter() - started
    return {
        "sentence_p50_ms": round(1000 * float(np.percentile(spent, 50)), 2),
        "sentence_p95_ms": round(1000 * float(np.percentile(spent, 95)), 2),
        "sentences_per_second": round(len(texts) / batch, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
