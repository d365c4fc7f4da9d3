"""The head of this project among the peers: as `benchmarks.folds`, on the recordings that the peers are asked about.

Knows nothing of the peers.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.acoustic.folds import answer_fold, embed_ravdess
from benchmarks.peers.folds import Folds, summarise_folds
from ser.acoustic.classifier import load_acoustic_model
from ser.config import EMBEDDED
from ser.types import Audio, Signal

Timer = Callable[[Callable[[Signal], object]], dict[str, float]]


def run_ours(options: argparse.Namespace, folds: Folds, time_it: Timer) -> dict[str, Any]:
    """Each fold by a head that was fitted on the others.

    Args:
        options: of the command line: `data` and `seed`, as `benchmarks.folds` has them.
        folds: which recordings are asked about.
        time_it: measures what an answer to a decoded recording takes.

    Returns:
        {way: as `score_folds`}: `plain` and `adapted by k` clips of the speaker, drawn; `ms` of the embedded model.

    Raises:
        SerError: where data cannot be read.
    """
    everything = embed_ravdess(options.data, 0, options.seed)
    asked = {str(path) for path in folds.paths}
    data = everything.take([row for row, path in enumerate(everything.paths) if path in asked])
    scores: dict[str, list[float]] = {}
    for number in np.unique(folds.numbers).tolist():
        actors = {s for s, fold in zip(folds.speakers, folds.numbers, strict=True) if fold == number}
        for way, uar in answer_fold(data, actors, options.seed).figures().items():
            scores.setdefault(way, []).append(uar)
    model = load_acoustic_model(EMBEDDED)
    ms = time_it(lambda signal: model.classify(Audio(signal)))
    return {"ms": ms, **{way: summarise_folds(values) for way, values in scores.items()}}
