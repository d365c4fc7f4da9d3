"""What answers take while a training goes on beside them, against an idle machine.

    python -m benchmarks.training_load [--quick] [--json]

A store is filled with synthetic clips and votes, the embedded model is retrained on them in its own process, as from
the page, and the same recording is recognised again and again before and during the training. Votes are saved
meanwhile as well.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from annotations.learning.active_model import ActiveModel
from annotations.learning.retraining import Retrainer, RetrainingConfig
from annotations.store import AnnotationStore
from benchmarks.machine import describe_run
from ser.acoustic.classifier import load_acoustic_model
from ser.recognizer import Recognizer
from ser.testing import synthetic_speech
from ser.vad import SileroDetector

PACKAGES = ("torch", "transformers")
LABELS = ("anger", "sadness", "happiness", "neutral")


def times_of(work: Callable[[], object], enough: Callable[[int], bool], pause: float) -> list[float]:
    """Seconds that each call of `work` takes, one after the other with pauses, until there are enough."""
    times: list[float] = []
    while not enough(len(times)):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
        time.sleep(pause)
    return times


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """`p50_ms` and `p95_ms`, and how many were measured."""
    return {
        "answers": len(times),
        "p50_ms": round(1000 * float(np.quantile(times, 0.5)), 2),
        "p95_ms": round(1000 * float(np.quantile(times, 0.95)), 2),
    }


def measure(folder: Path, clips: int, answers: int, pause: float) -> dict[str, object]:
    """Fill a store, measure idle, train, and measure meanwhile.

    Args:
        folder: of the store.
        clips: with a vote each.
        answers: measured on the idle machine, and at most during the training.
        pause: seconds between two answers.

    Returns:
        `idle`, `training` and `saving` as `quantiles` says, `ratio` of the 95 % quantiles, and the run's own `state`.
    """
    store = AnnotationStore(folder)
    active = ActiveModel(
        store, Recognizer(SileroDetector(), load_acoustic_model("embedded"), None, None), load_acoustic_model
    )
    for number in range(clips):
        label = LABELS[number % len(LABELS)]
        audio = synthetic_speech(2.0, pitch=90.0 + 40 * (number % len(LABELS)) + number % 9, seed=number)
        clip = store.add_clip(audio, source="benchmark", speaker=f"s{number % 10}", consent=("training",))
        store.add_correction(clip.id, rater="benchmark", verdict="correct", label=label)
    recording = synthetic_speech(3.0, seed=1)

    def answer() -> object:
        return active.serving().recognizer.recognize(recording)

    def save() -> object:
        return store.add_correction(1, rater="another", verdict="correct", label="anger")

    times_of(answer, lambda count: count >= 5, 0.0)  # The first ones load what is loaded once.
    idle = times_of(answer, lambda count: count >= answers, pause)
    retrainer = Retrainer(active, RetrainingConfig(device="cpu"))
    run = retrainer.start("benchmark")
    while retrainer.status(run.id).state == "running" and retrainer.status(run.id).epoch < 1:
        time.sleep(0.2)
    over = [False]

    def enough(count: int) -> bool:
        if count % 10 == 0:
            over[0] = retrainer.status(run.id).state != "running"
        return over[0] or count >= answers

    training = times_of(answer, enough, pause)
    saving = times_of(save, lambda count: count >= 20 or over[0], pause)
    retrainer.cancel(run.id)
    result: dict[str, object] = {"idle": quantiles(idle), "clips": clips}
    if training:
        busy = quantiles(training)
        result |= {"training": busy, "ratio": round(busy["p95_ms"] / quantiles(idle)["p95_ms"], 3)}
    if saving:
        result["saving"] = quantiles(saving)
    return result | {"state": retrainer.status(run.id).state}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_load", description=__doc__)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--answers", type=int, default=300)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two answers")
    parser.add_argument("--quick", action="store_true", help="100 clips, 60 answers")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    clips, answers = (100, 60) if options.quick else (options.clips, options.answers)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), clips, answers, options.pause)
    print(json.dumps(result | describe_run(0, PACKAGES), indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
