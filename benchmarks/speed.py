"""How fast, how large and how quick to load the embedded acoustic model is, in torch and in onnxruntime.

python -m benchmarks.speed [--model MODEL] [--quick] [--json]

Every way answers in turn within one run, so that other work on the machine meets all of them alike.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.machine import describe_run
from ser.acoustic.classifier import EMBEDDED_FOLDER, LoadedAcousticModel, NetworkModel, load_acoustic_model
from ser.acoustic.features import extract_features
from ser.acoustic.onnx import MODEL_FILE, OnnxNetwork
from ser.checkpoints import load_meta
from ser.config import EMBEDDED
from ser.export.models import export_model
from ser.export.parity import measure_interleaved
from ser.testing import synthetic_speech

PACKAGES = ("torch", "transformers", "onnxruntime", "numpy")
DURATIONS = (1.0, 3.0, 10.0)
THREADS = (1, 2)

_LOADING = """
import json, sys, time
import psutil
import numpy as np
from ser.acoustic.classifier import load_acoustic_model
from ser.types import Audio
before, started = psutil.Process().memory_info().rss, time.perf_counter()
model = load_acoustic_model(sys.argv[1], backend=sys.argv[2])
loaded = time.perf_counter()
model.classify(Audio(np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)))
print(json.dumps({
    "load_ms": round(1000 * (loaded - started)),
    "first_answer_ms": round(1000 * (time.perf_counter() - loaded)),
    "memory_mb": round((psutil.Process().memory_info().rss - before) / 1e6, 1),
}))
"""
"""Run in a process of its own: what one backend brought in must not serve the other."""


def measure(name: str, rounds: int) -> dict[str, object]:
    """Export the model in both forms to a temporary folder, and time everything.

    Args:
        name: `embedded`, or a folder of a model of our own.
        rounds: measured calls of each way.

    Returns:
        `latency` {threads: {duration: {way: ms}}}, `loading` {way: ...}, `sizes_bytes`, `parity` and `winner`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        exports = {
            "onnx": export_model(name, Path(scratch) / "float32"),
            "onnx int8": export_model(name, Path(scratch) / "int8", int8=True, tolerance=1.0),
        }
        folders = {way: export.folder for way, export in exports.items()}
        latency = {f"{threads} thread(s)": _latency(name, folders, threads, rounds) for threads in THREADS}
        loading = {"torch": _loading(name, "torch")} | {
            way: _loading(str(folder), "onnx") for way, folder in folders.items()
        }
        sizes = {way: (folder / MODEL_FILE).stat().st_size for way, folder in folders.items()}
        parity = {way: export.parity.max_difference for way, export in exports.items()}
    own = EMBEDDED_FOLDER if name == EMBEDDED else Path(name)
    sizes["model folder"] = sum(path.stat().st_size for path in own.iterdir() if path.is_file())
    three = latency["1 thread(s)"]["3 s"]
    answers = {way: figures["median_ms"] for way, figures in three.items() if way in ("torch", "onnx", "onnx int8")}
    return {
        "model": name,
        "backend_in_use": load_acoustic_model(name).backend,
        "latency": latency,
        "loading": loading,
        "sizes_bytes": sizes,
        "max_difference_of_a_probability": parity,
        "winner": min(answers, key=answers.__getitem__),
    }


def _latency(name: str, folders: dict[str, Path], threads: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    models: dict[str, LoadedAcousticModel] = {"torch": load_acoustic_model(name, backend="torch")}
    for way, folder in folders.items():
        models[way] = NetworkModel(OnnxNetwork(folder / MODEL_FILE, threads), load_meta(folder))
    figures = {}
    for duration in DURATIONS:
        clip = synthetic_speech(duration)
        calls: dict[str, Callable[[], object]] = {
            way: functools.partial(model.classify, clip) for way, model in models.items()
        }
        calls["features alone"] = functools.partial(extract_features, clip.signal)
        figures[f"{duration:g} s"] = measure_interleaved(calls, rounds)
    torch.set_num_threads(before)
    return figures


def _loading(name: str, backend: str) -> dict[str, float]:
    answer = subprocess.run([sys.executable, "-c", _LOADING, name, backend], check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--model", default=EMBEDDED, help="embedded (default), or a folder of a model of our own")
    parser.add_argument("--quick", action="store_true", help="10 rounds in place of 100")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    result = measure(options.model, 10 if options.quick else 100)
    print(json.dumps(result | describe_run(0, PACKAGES), indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
