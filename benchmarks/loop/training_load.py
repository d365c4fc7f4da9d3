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
        self.processor, self.seconds = 0.0, 0.0

    def processes(self) -> list[psutil.Process]:
        """Process of the run that goes on; a new one starts if there is none."""
        status = self._retrainer.status()
        if status.state != "running" or status.pid is None:
            self.runs += 1
            self._retrainer.start("benchmark")
            status = self._retrainer.status()
        try:
            first = psutil.Process(status.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def hold(self) -> None:
        """Hold it where it is."""
        for process in self.processes():
            _quietly(process.suspend)

    def let_go(self) -> None:
        """Let it go on."""
        for process in self.processes():
            _quietly(process.resume)

    def during(self, work: Callable[[], list[float]]) -> list[float]:
        """Do something while it goes on, and count what it computes meanwhile."""
        before, started = self._used(), time.monotonic()
        result = work()
        self.seconds += time.monotonic() - started
        after = self._used()
        self.processor += sum(max(0.0, after[pid] - before.get(pid, 0.0)) for pid in after)
        return result

    def end(self) -> None:
        """Cancel it."""
        self.let_go()
        self._retrainer.cancel()

    def _used(self) -> dict[int, float]:
        """{process: seconds of a core so far}."""
        used = {}
        for process in self.processes():
            try:
                times = process.cpu_times()
                used[process.pid] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return used


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return


def times_of(work: Callable[[], object], count: int, pause: float) -> list[float]:
    """Seconds that each call of `work` takes, one after the other with pauses."""
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
        "p50_ms": round(1000 * float(np.quantile(times, 0.5)), 2),
        "p95_ms": round(1000 * float(np.quantile(times, 0.95)), 2),
        "p99_ms": round(1000 * float(np.quantile(times, 0.99)), 2),
    }


def fill(store: AnnotationStore, clips: int) -> None:
    """Clips of ten voices with a vote each."""
    for number in range(clips):
        label = LABELS[number % len(LABELS)]
        audio = synthetic_speech(2.0, pitch=90.0 + 40 * (number % len(LABELS)) + number % 9, seed=number)
        clip = store.add_clip(audio, source="benchmark", speaker=f"s{number % 10}", consent=("training",))
        store.add_correction(clip.id, NewVote("benchmark", "correct", label=label))


def measure(folder: Path, clips: int, answers: int, pause: float) -> dict[str, object]:
    """Fill a store, train, and measure with and without the training going on.

    Args:
        folder: of the store.
        clips: with a vote each.
        answers: of each kind.
        pause: seconds between two answers.

    Returns:
        `held`, `going` and `saving` as `quantiles` says, `ratio` of the 95 % quantiles, `training_cores` that the
        training had while it went on, and `runs` that were begun.
    """
    store = AnnotationStore(folder)
    active = ActiveModel(
        store, Recognizer(SileroDetector(), load_acoustic_model("embedded"), None, None), load_acoustic_model
    )
    fill(store, clips)
    recording = synthetic_speech(3.0, seed=1)

    def answer() -> object:
        return active.serving().recognizer.recognize(recording)

    def save() -> object:
        return store.add_correction(1, NewVote("another", "correct", label="anger"))

    times_of(answer, 5, 0.0)  # The first ones load what is loaded once.
    training = Training(Retrainer(active, RetrainingConfig(device="cpu", preset="thorough")))
    held: list[float] = []
    going: list[float] = []
    saving: list[float] = []
    try:
        while len(going) < answers:
            training.hold()
            time.sleep(SETTLE)
            held += times_of(answer, BLOCK, pause)
            training.let_go()
            time.sleep(SETTLE)
            going += training.during(lambda: times_of(answer, BLOCK, pause))
            saving += times_of(save, 2, pause)
    finally:
        training.end()
    without, beside = quantiles(held), quantiles(going)
    return {
        "clips": clips,
        "held": without,
        "going": beside,
        "ratio": round(beside["p95_ms"] / without["p95_ms"], 3),
        "saving": quantiles(saving),
        "training_cores": round(training.processor / training.seconds, 2),
        "runs": training.runs,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_load", description=__doc__)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--answers", type=int, default=300, help="with the training held, and as many with it going on")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two answers")

    def run(options: argparse.Namespace) -> dict[str, object]:
        clips, answers = (100, 60) if options.quick else (options.clips, options.answers)
        with tempfile.TemporaryDirectory() as folder:
            return measure(Path(folder), clips, answers, options.pause)

    return run_benchmark(parser, run, PACKAGES, argv=argv, quick="100 clips, 60 answers of each kind")


if __name__ == "__main__":
    sys.exit(main())
