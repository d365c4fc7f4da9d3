"""Other programs for speech emotion recognition, on EmoBox's folds: `python -m benchmarks.peers --data DATA`.

The MFCC means and multi-layer perceptron of popular tutorials, and openSMILE's functionals with a linear support vector
machine, plain and with every speaker's features normalised over that speaker's own unlabelled clips. Accuracy on the
folds that `benchmarks.folds` measures this project's head on, and the time of a clip (features and answer, decoded
signal in memory, one thread). openSMILE's environment is made under the user's cache folder; its licence forbids
commercial use.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from benchmarks.peers.folds import Folds, load_folds, score_folds
from benchmarks.peers.opensmile import (
    FEATURE_SETS,
    Functionals,
    extract,
    functionals_of,
    kernel,
    normalise_by,
    standardise,
    train_svm,
)
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.config import EMBEDDED
from ser.training.embeddings import default_cache_dir
from ser.types import SAMPLING_RATE, Audio, Signal

PEERS = ("mfcc", "opensmile")
COEFFICIENTS = 40
"""MFCC of a frame, and below the perceptron's settings. Source: DataFlair's tutorial "Python Mini Project: Speech
Emotion Recognition with librosa", which many others repeat."""

TIMED, QUICK_CLIPS = 60, 2
"""Clips whose time is taken; clips of each label in each fold that --quick takes."""

PACKAGES = ("librosa", "scikit-learn", "numpy", "scipy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument(
        "--cache",
        type=Path,
        default=default_cache_dir().with_name("peers"),
        help="folder of the environment and of features",
    )
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="two clips a label and fold; figures mean nothing")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the accuracy of the peers that were asked for, and everyone's time.

    Raises:
        SerError: if the data cannot be read or a peer cannot be run.
    """
    folds = load_folds(options.data / "ravdess")
    if options.quick:
        folds = folds.take(draw_rows(folds, QUICK_CLIPS, options.seed))
    timed = folds.take(np.random.default_rng(options.seed).permutation(len(folds))[:TIMED])
    signals = [decode_file(path).signal for path in timed.paths]
    with threadpool_limits(1):
        model = load_acoustic_model(EMBEDDED)
        ms = per_clip(lambda signal: model.classify(Audio(signal)), signals)
        found: dict[str, Any] = {}
        if "mfcc" in options.peers:
            found["mfcc"] = run_mfcc(folds, signals, options.seed)
        if "opensmile" in options.peers:
            found["opensmile"] = run_opensmile(folds, timed, options.cache)
    return {
        "benchmark": "peers",
        "clips": len(folds),
        "timed_clips": len(timed),
        "peers": found,
        "embedded": {"model": model.name, "sha256": model.sha256, "ms": ms},
    }


def draw_rows(folds: Folds, size: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw `size` recordings of each label in each fold."""
    table = pd.DataFrame({"fold": folds.numbers, "label": folds.truth}).sample(frac=1, random_state=seed)
    return np.sort(table.groupby(["fold", "label"]).head(size).index.to_numpy())


def run_mfcc(folds: Folds, signals: Sequence[Signal], seed: int) -> dict[str, Any]:
    """Train a perceptron on mean MFCC, as the tutorials do, and with features standardised, which they leave out.

    Args:
        folds: trained and tested on.
        signals: of the clips whose time is taken.
        seed: of the perceptron.
    """
    values = np.stack([mfcc_means(decode_file(path).signal) for path in tqdm(folds.paths, unit="clip", disable=None)])
    results: dict[str, Any] = {}
    for name, scaled in (("MLP", False), ("MLP, features standardised", True)):
        answers = np.empty(len(folds), dtype=folds.truth.dtype)
        for number in np.unique(folds.numbers):
            test = folds.numbers == number
            model = perceptron(scaled, seed).fit(values[~test], folds.truth[~test])
            answers[test] = model.predict(values[test])
        ms = per_clip(lambda signal: model.predict(mfcc_means(signal)[None]), signals)  # noqa: B023
        results[name] = {**score_folds(folds, answers), "ms": ms}
    return results


def mfcc_means(signal: Signal) -> Functionals:
    """Return the mean of each MFCC over a clip, shape (COEFFICIENTS,).

    >>> mfcc_means(np.zeros(8_000, np.float32)).shape
    (40,)
    """
    coefficients = librosa.feature.mfcc(y=signal, sr=SAMPLING_RATE, n_mfcc=COEFFICIENTS)
    return np.asarray(coefficients.mean(axis=1), dtype=np.float32)


def perceptron(scaled: bool, seed: int) -> Pipeline:
    """Build the tutorials' network, untrained; with `scaled`, behind a `StandardScaler`."""
    network = MLPClassifier(
        (300,), alpha=0.01, batch_size=256, epsilon=1e-8, learning_rate="adaptive", max_iter=500, random_state=seed
    )
    return make_pipeline(StandardScaler(), network) if scaled else make_pipeline(network)


def run_opensmile(folds: Folds, timed: Folds, cache: Path) -> dict[str, Any]:
    """Train a linear support vector machine on functionals, plain and with features normalised per speaker.

    Args:
        folds: trained and tested on.
        timed: the clips whose time is taken.
        cache: folder of the environment and of kept features.

    Raises:
        PeerError: if openSMILE cannot be installed or fails.
    """
    results: dict[str, Any] = {}
    for name in FEATURE_SETS:
        values = functionals_of(folds.paths.tolist(), name, cache)
        fresh, seconds = extract(timed.paths.tolist(), name, cache)
        normalised = normalise_by(values, folds.speakers)
        for variant, per_speaker in (("", False), (", features per speaker", True)):
            answers = np.empty(len(folds), dtype=folds.truth.dtype)
            costs = []
            for number in np.unique(folds.numbers):
                test = folds.numbers == number
                scaled = normalised if per_speaker else standardise(values[~test], values)
                svm = train_svm(scaled[~test], folds.truth[~test], folds.numbers[~test].tolist())
                answers[test] = svm.predict(kernel(scaled[test], scaled[~test]))
                costs.append(svm.best_params_["C"])
            deciding = per_clip(
                lambda row: svm.predict(kernel(standardise(values, row[None]), scaled[~test])),  # noqa: B023
                fresh,
            )
            results[f"{name} + SVM{variant}"] = {
                **score_folds(folds, answers),
                "C": costs,
                "ms": {key: round(deciding[key] + _ms(seconds)[key], 2) for key in deciding},
            }
    return results


def per_clip(answer: Callable[[Any], object], clips: Sequence[Any] | npt.NDArray[np.float32]) -> dict[str, float]:
    """Return median and 95th percentile of a clip's time, ms; the first clip is answered once beforehand."""
    answer(clips[0])
    seconds = []
    for clip in clips:
        started = time.perf_counter()
        answer(clip)
        seconds.append(time.perf_counter() - started)
    return _ms(np.array(seconds))


def _ms(seconds: npt.NDArray[np.float64]) -> dict[str, float]:
    low, high = 1000 * np.percentile(seconds, [50, 95])
    return {"median": round(float(low), 2), "p95": round(float(high), 2)}


if __name__ == "__main__":
    sys.exit(main())
