"""Time of a prediction with a training going on, against the same moments without it.

    python -m benchmarks.training_load [--quick] [--json]

A store is filled with synthetic clips and votes, and the embedded model is retrained on them in its own process, as
from the page. The same recording is recognised again and again, in turn a few times with the training held (stopped by
a signal) and a few times with it going on: what else the machine has to do weighs on both alike. Votes are saved
meanwhile as well.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil

from annotations.learning.runs.retrainer import Retrainer, RetrainingConfig
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore, NewVote
from benchmarks.machine import run_benchmark
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.vad import SileroDetector
from ser.recognizer import Recognizer
from ser.testing import synthetic_speech

PACKAGES = ("torch", "transformers")
LABELS = ("anger", "sadness", "happiness", "neutral")

BLOCK = 15
"""Answers with the training held, and then as many with it going on."""

SETTLE = 0.1
"""Seconds between the two, in which nothing is measured."""


class Training:
    """A retraining under way, which can be held and let go; started again if it ends too soon."""

    def __init__(self, retrainer: Retrainer) -> None:
        self._retrainer = retrainer
        self.runs = 0

    def signal(self, name: str) -> None:
        """Send `suspend` or `resume` to all processes of the run; a new one starts if there is none."""
        status = self._retrainer.status()
        if status.state != "running" or status.pid is None:
            self.runs += 1
            self._retrainer.start("benchmark")
            status = self._retrainer.status()
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(status.pid)
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    getattr(process, name)()

    def end(self) -> None:
        """Let it go on, and cancel it."""
        self.signal("resume")
        self._retrainer.cancel()


def times_of(work: Callable[[], object], count: int, pause: float) -> list[float]:
    """Time calls of `work`, one after the other with pauses; seconds of each."""
    times: list[float] = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
        time.sleep(pause)
    return times


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """Return the count, the median and the upper quantiles of some times.

    >>> quantiles([0.01, 0.01, 0.02])["p50_ms"]
    10.0
    """
    return {
        "answers": len(times),
        **{f"p{percent}_ms": round(1000 * float(np.percentile(times, percent)), 2) for percent in (50, 95, 99)},
    }


def fill(store: AnnotationStore, clips: int) -> None:
    """Store clips of ten voices with a vote each."""
    for number in range(clips):
        label = LABELS[number % len(LABELS)]
        audio = synthetic_speech(2.0, pitch=90.0 + 40 * (number % len(LABELS)) + number % 9, seed=number)
        clip = store.add_clip(audio, source="benchmark", speaker=f"s{number % 10}", consent=("training",))
        store.add_correction(clip.id, NewVote("benchmark", "correct", label=label))


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Fill a store, train, and measure with and without the training going on.

    Returns:
        `held`, `going` and `saving` as `quantiles` says, `ratio` of the 95 % quantiles, and `runs` that were begun.
    """
    clips, answers = (100, 60) if options.quick else (options.clips, options.answers)
    recognizer = Recognizer(SileroDetector(), load_acoustic_model("embedded"), None, None)
    recording = synthetic_speech(3.0, seed=1)
    held, going, saving = list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder, AnnotationStore(Path(folder)) as store:
        active = ActiveModel(store, recognizer, load_acoustic_model)
        fill(store, clips)

        def answer() -> object:
            return active.serving().recognizer.recognize(recording)

        def save() -> object:
            return store.add_correction(1, NewVote("another", "correct", label="anger"))

        times_of(answer, 5, 0.0)  # The first ones load what is loaded once.
        training = Training(Retrainer(active, RetrainingConfig(device="cpu", preset="thorough")))
        try:
            while len(going) < answers:
                for signal, times in (("suspend", held), ("resume", going)):
                    training.signal(signal)
                    time.sleep(SETTLE)
                    times += times_of(answer, BLOCK, options.pause)
                saving += times_of(save, 2, options.pause)
        finally:
            training.end()
    without, during = quantiles(held), quantiles(going)
    return {
        "benchmark": "training_load",
        "clips": clips,
        "held": without,
        "going": during,
        "ratio": round(during["p95_ms"] / without["p95_ms"], 3),
        "saving": quantiles(saving),
        "runs": training.runs,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_load", description=__doc__)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--answers", type=int, default=300, help="with the training held, and as many with it going on")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two answers")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="100 clips, 60 answers of each kind")


if __name__ == "__main__":
    sys.exit(main())
