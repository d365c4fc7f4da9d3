"""Other people's ways to hear emotion, on EmoBox's folds of RAVDESS: `python -m benchmarks.peers --data DATA [--json]`.

The MFCC means and multi-layer perceptron of popular tutorials; openSMILE's functionals with a linear support vector
machine, plain and with every speaker's features normalised over that speaker's own unlabelled clips; nkululeko; and
ours, by heads fitted as in `benchmarks.folds` (--ours). Accuracy on the same folds, and the
time of a clip (features and answer, decoded signal in memory, one thread) in the same run. Environments are made under
the user's cache folder. openSMILE's licence forbids commercial use.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import numpy.typing as npt
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import describe_run
from benchmarks.peers.environment import peers_dir
from benchmarks.peers.folds import Folds, read_folds, score_folds
from benchmarks.peers.functionals import (
    FEATURE_SETS,
    Functionals,
    extract,
    functionals_of,
    normalise_by,
    standardise,
    train_svm,
)
from benchmarks.peers.nkululeko import run_nkululeko
from benchmarks.peers.ours import run_ours
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.config import EMBEDDED
from ser.errors import SerError
from ser.types import SAMPLING_RATE, Audio, Signal

PEERS = ("mfcc", "opensmile", "nkululeko")
COEFFICIENTS = 40
"""MFCC of a frame, and below the perceptron's settings. Source: DataFlair's tutorial "Python Mini Project: Speech
Emotion Recognition with librosa", which many others repeat."""

TIMED, QUICK_CLIPS = 60, 12
"""Clips whose time is taken; clips of each fold that --quick takes."""

PACKAGES = ("torch", "librosa", "scikit-learn", "numpy", "scipy")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 where done, 2 where something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--ours", action="store_true", help="ours on the same folds, too, as `benchmarks.folds`")
    parser.add_argument("--cache", type=Path, default=peers_dir(), help="folder of environments, features and figures")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_CLIPS} clips a fold; figures mean nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    try:
        with threadpool_limits(1):
            result = measure(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Accuracy of the peers that were asked for, and everyone's time.

    Raises:
        SerError: where the data cannot be read or a peer cannot be run.
    """
    torch.set_num_threads(1)
    folds = read_folds(options.data / "ravdess")
    if options.quick:
        folds = folds.only(draw_rows(folds, QUICK_CLIPS, options.seed))
    order = np.random.default_rng(options.seed).permutation(len(folds))[:TIMED]
    timed = folds.only(order)
    signals = [decode_file(path).signal for path in timed.paths]
    result: dict[str, Any] = {"benchmark": "peers", "clips": len(folds), "timed_clips": len(timed)}
    result |= {"peers": {}, **describe_run(options.seed, PACKAGES)}
    model = load_acoustic_model(EMBEDDED)
    ms = per_clip(lambda signal: model.classify(Audio(signal)), signals)
    result["embedded"] = {"model": model.name, "sha256": model.sha256, "ms": ms}

    def tell(peer: str, figures: dict[str, Any]) -> None:
        """Half an hour of figures is not lost where a later peer fails."""
        result["peers"][peer] = figures
        options.cache.mkdir(parents=True, exist_ok=True)
        (options.cache / "so_far.json").write_text(json.dumps(result, indent=2), encoding="utf-8")

    if options.ours:
        tell("ours", run_ours(options, folds, lambda answer: per_clip(answer, signals)))
    if "mfcc" in options.peers:
        tell("mfcc", run_mfcc(folds, signals, options.seed))
    if "opensmile" in options.peers:
        tell("opensmile", run_opensmile(folds, timed, options.cache))
    if "nkululeko" in options.peers:
        run_nkululeko(folds, options.cache, lambda figures: tell("nkululeko", figures))
    return result


def draw_rows(folds: Folds, size: int, seed: int) -> list[int]:
    """Rows of a few recordings of each fold, labels in turn, so that `size` 8 or more shows all of RAVDESS's."""
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for number in np.unique(folds.numbers):
        seen: Counter[str] = Counter()
        ranked = []
        for row in generator.permutation(np.flatnonzero(folds.numbers == number)).tolist():
            seen[folds.labels[row]] += 1
            ranked.append((seen[folds.labels[row]], row))
        chosen += [row for _, row in sorted(ranked)[:size]]
    return sorted(chosen)


def run_mfcc(folds: Folds, signals: Sequence[Signal], seed: int) -> dict[str, Any]:
    """Mean MFCC and a perceptron, as the tutorials have it, and with features standardised, which they leave out.

    Args:
        folds: what is learnt and tested.
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
        results[name] = {**score_folds(folds, answers.tolist()), "ms": ms}
    return results


def mfcc_means(signal: Signal) -> Functionals:
    """The mean of each MFCC over a clip, shape (COEFFICIENTS,).

    >>> mfcc_means(np.zeros(8_000, np.float32)).shape
    (40,)
    """
    coefficients = librosa.feature.mfcc(y=signal, sr=SAMPLING_RATE, n_mfcc=COEFFICIENTS)
    return np.asarray(coefficients.mean(axis=1), dtype=np.float32)


def perceptron(scaled: bool, seed: int) -> Pipeline:
    """The tutorials' network, untrained; with `scaled`, behind a `StandardScaler`."""
    network = MLPClassifier(
        (300,), alpha=0.01, batch_size=256, epsilon=1e-8, learning_rate="adaptive", max_iter=500, random_state=seed
    )
    return make_pipeline(StandardScaler(), network) if scaled else make_pipeline(network)


def run_opensmile(folds: Folds, timed: Folds, cache: Path) -> dict[str, Any]:
    """Functionals and a linear support vector machine, plain and with features normalised per speaker.

    Args:
        folds: what is learnt and tested.
        timed: the clips whose time is taken.
        cache: folder of the environment and of kept features.

    Raises:
        PeerError: where openSMILE cannot be installed or fails.
    """
    results: dict[str, Any] = {}
    for name in FEATURE_SETS:
        values = functionals_of(folds.paths, name, cache)
        fresh, seconds = extract(timed.paths, name, cache)
        normalised = normalise_by(values, folds.speakers)
        for variant, per_speaker in (("", False), (", features per speaker", True)):
            answers = np.empty(len(folds), dtype=folds.truth.dtype)
            costs = []
            for number in np.unique(folds.numbers):
                test = folds.numbers == number
                scaled = normalised if per_speaker else standardise(values[~test], values)
                svm = train_svm(scaled[~test], folds.truth[~test], folds.numbers[~test].tolist())
                answers[test] = svm.predict(scaled[test])
                costs.append(svm.cost)
            deciding = per_clip(lambda row: svm.predict(standardise(values, row[None])), fresh)  # noqa: B023
            results[f"{name} + SVM{variant}"] = {
                **score_folds(folds, answers.tolist()),
                "C": costs,
                "ms": {key: round(deciding[key] + _ms(seconds)[key], 2) for key in deciding},
            }
    return results


def per_clip(answer: Callable[[Any], object], clips: Sequence[Any] | npt.NDArray[np.float32]) -> dict[str, float]:
    """Median and 95th percentile of the time that a clip takes, ms; the first is heard once beforehand."""
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
