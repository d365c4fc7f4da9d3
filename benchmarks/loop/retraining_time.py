"""Processor time of a retraining, from the button to the decision.

    python -m benchmarks.retraining_time [--data ../shared/data/nemo] [--votes 200 2000] [--quick] [--json]

A store is filled with labelled clips whose embeddings are stored with them, as after an analysis. The real training
process starts, trains, compares and decides; what counts is its processor time, its start included.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from annotations.learning.config import PRESETS, RetrainingConfig
from annotations.learning.runs.retrainer import Retrainer
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore, NewVote
from annotations.store.embeddings import insert_embedding
from benchmarks.machine import run_benchmark
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.corpora import load_corpus
from ser.encoder.loading import load_encoder
from ser.recognizer import Recognizer
from ser.types import Embedding, Example

PACKAGES = ("numpy", "scipy", "onnxruntime")
GOALS = {200: 5.0, 2000: 30.0}
"""{votes: seconds of a core}"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retraining_time", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/nemo"), help="a corpus (default: %(default)s)"
    )
    parser.add_argument("--votes", type=int, nargs="+", default=list(GOALS), help="default: 200 and 2,000")
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0])
    return run_benchmark(
        parser, measure, PACKAGES, argv=argv, quick="200 votes", passed=lambda result: bool(result["met"])
    )


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Seconds of the processor and of the clock for each number of votes."""
    examples = load_corpus(options.data)
    order = np.random.default_rng(options.seed).permutation(len(examples))
    counts = [200] if options.quick else options.votes
    runs = {str(count): time_run([examples[place] for place in order[:count]], options) for count in counts}
    met = all(runs[str(count)]["processor"] <= goal for count, goal in GOALS.items() if str(count) in runs)
    return {"benchmark": "retraining_time", "preset": options.preset, "runs": runs, "met": met}


def time_run(examples: Sequence[Example], options: argparse.Namespace) -> dict[str, float]:
    """Fill a store, retrain, and return what the run says of its time."""
    detector, encoder = SileroDetector(), load_encoder()
    with tempfile.TemporaryDirectory() as folder, AnnotationStore(Path(folder)) as store:
        active = ActiveModel(
            store, Recognizer(detector, load_acoustic_model("embedded"), None, None), load_acoustic_model
        )
        for example in tqdm(examples, unit="clip", disable=None):
            audio = decode_file(example.path)
            clip = store.add_clip(audio, source="benchmark", speaker=example.speaker, consent=("training",))
            store.add_correction(clip.id, NewVote("benchmark", "correct", label=example.hard_label))
            row = encoder.pooled([trim_to_speech(audio, detector.detect(audio)).signal])[0]
            with store.database.writing() as connection:
                insert_embedding(connection, clip.id, Embedding(row, encoder.sha256))
        retrainer = Retrainer(active, RetrainingConfig(seed=options.seed, preset=options.preset))
        started = time.monotonic()
        run = retrainer.start("benchmark")
        retrainer.wait(lambda status: None)
        clock = time.monotonic() - started
        metrics: dict[str, Any] = dict(store.get_training_run(run.id).metrics or {})
    return {"processor": metrics["timing"]["processor_seconds"], "clock": round(clock, 1)}


if __name__ == "__main__":
    sys.exit(main())
