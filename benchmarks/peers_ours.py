"""Our own recipe among the peers: the models of `benchmarks.folds`, each asked about the fold that it never met.

Answers with a speaker's own tendency taken out stand beside the plain ones. Knows nothing of the peers.
"""

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.folds import Answers, fold_model
from benchmarks.folds import read_folds as speakers_of_folds
from benchmarks.peers_folds import FOLDS_FILE, Folds, summarise_folds
from ser.acoustic.classifier import NetworkModel
from ser.acoustic.onnx import MODEL_FILE, OnnxNetwork
from ser.adaptation import adapt_rows
from ser.checkpoints import load_meta
from ser.corpora import read_corpus
from ser.export.models import export_model
from ser.labels import RAVDESS_EIGHT
from ser.types import Audio, Signal

Timer = Callable[[Callable[[Signal], object]], dict[str, float]]


def run_ours(options: argparse.Namespace, folds: Folds, time_it: Timer) -> dict[str, Any]:
    """Each fold by the model that never met it.

    Args:
        options: of the command line: `data`, `models` and `seed`, as `benchmarks.folds` has them.
        folds: which recordings are asked about.
        time_it: measures what an answer to a decoded recording takes.

    Returns:
        {way: as `score_folds`}: `plain`, `adapted by k` clips of the speaker, drawn, and `adapted by all` of them,
        which is what "features per speaker" is to the peers; `ms` of the exported model and its number of `networks`.

    Raises:
        SerError: where data cannot be read, or a model cannot be trained or exported.
    """
    torch.set_num_threads(1)
    speakers = speakers_of_folds(options.data / "ravdess" / FOLDS_FILE)
    asked = set(folds.paths)
    clips = [clip for clip in read_corpus(options.data / "ravdess", RAVDESS_EIGHT).examples if clip.path in asked]
    scores: dict[str, list[float]] = {}
    networks = 0
    for number in np.unique(folds.numbers).tolist():
        network = fold_model(number, speakers[number], options)
        answered = Answers.of(network, [clip for clip in clips if clip.speaker in speakers[number]])
        everyone = adapt_rows(answered.rows, answered.data.speakers, len(answered.rows), options.seed)
        figures: Mapping[str, float] = answered.figures() | {"adapted by all": answered.uar(everyone)}
        for way, uar in figures.items():
            scores.setdefault(way, []).append(uar)
        networks = len(network.networks())
    ways = {way: summarise_folds(values) for way, values in scores.items() if not way.startswith("member")}
    first = options.models / f"fold_{int(folds.numbers.min())}-seed_{options.seed}"
    with tempfile.TemporaryDirectory() as scratch:
        exported = export_model(first, Path(scratch) / "model").folder
        model = NetworkModel(OnnxNetwork(exported / MODEL_FILE), load_meta(exported))
        ms = time_it(lambda signal: model.classify(Audio(signal)))
    return {"networks": networks, "ms": ms, **ways}
