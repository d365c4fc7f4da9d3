"""Accuracy on a corpus that training never saw: `python -m benchmarks.cross_corpus --data DATA [--quick] [--json]`.

Leaves each corpus out in turn, fits the shipped head's configuration on the others of `TRAINED_ON`, and answers with
one of anger, happiness, neutral and sadness: plain, adapted to the corpus as a source, and to each speaker, too
(`ser.encoder.profiles`); knowing that the mix of the four is about even, as the goals assume, and not knowing it.
TESS and TurEV forbid derivatives: they are measured on and never trained on. The reserved speakers of other corpora
are trained on here, as these heads are not shipped.

Calm counts as neutral where a corpus has no neutral of its own (TurEV), and is left out where it has (RAVDESS).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.acoustic.head import ClassifierHead
from ser.audio.augmentation import SignalAugmentation, load_noises
from ser.config import EMBEDDED
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.encoder.profiles import Profiles, combine, draw_profiles
from ser.errors import TrainingDataError
from ser.evaluation.metrics import bootstrap_interval, ece, risk_coverage
from ser.labels import EMOTIONS
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.head_calibration import calibrate_head
from ser.training.heads import fit_head
from ser.training.recipe import AUGMENTATIONS, HEAD, HEAD_LABELS, TOLERATED, plainly_labelled

TRAINED_ON = ("ravdess", "nemo", "emodb-full", "cremad")
MEASURED_ON = ("tess", "turev")
CORPORA = (*TRAINED_ON, *MEASURED_ON)
LABELS = ("anger", "happiness", "neutral", "sadness")
GOALS = {"plain": 0.60, "source": 0.72, "speaker": 0.79}
"""Mean UAR over the corpora."""

QUICK_CLIPS = 500
"""Clips of each corpus that --quick draws."""

PACKAGES = ("numpy", "scipy", "onnxruntime", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_corpus", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA, two or more")
    parser.add_argument("--left-out", nargs="+", metavar="CORPUS", help="some of them only")
    quick = f"at most {QUICK_CLIPS} clips of each corpus, and no augmented copies"
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=quick)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The figures of every corpus left out.

    Raises:
        SerError: where data cannot be read.
    """
    held_out = options.left_out or list(options.corpora)
    unknown = sorted(set(held_out) - set(options.corpora))
    if unknown or len(options.corpora) < 2:
        raise TrainingDataError(f"{', '.join(unknown) or 'One corpus'} cannot be left out of {options.corpora}.")
    trained_on = [name for name in options.corpora if name not in MEASURED_ON]
    copied = () if options.quick else trained_on
    clips = {name: embed_corpus(options, name, AUGMENTATIONS if name in copied else ()) for name in options.corpora}
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    heads: dict[tuple[str, ...], ClassifierHead] = {}
    with threadpool_limits(1):
        for name in tqdm(held_out, unit="corpus", disable=None):
            others = tuple(other for other in trained_on if other != name)
            if others not in heads:
                heads[others] = fit(join([clips[other] for other in others]), options.seed)
            for way, row in answer(heads[others], clips[name], options.seed).items():
                figures.setdefault(way, {})[name] = row
    means = {way: mean_of(rows, "uar") for way, rows in figures.items()}
    errors = {way: mean_of(rows, "ece") for way, rows in figures.items()}
    counts = {name: len(data) for name, data in clips.items()}
    return {
        "benchmark": "cross_corpus",
        "clips": counts,
        "figures": figures,
        "mean_uar": means,
        "mean_ece": errors,
        "goals": GOALS,
    }


def embed_corpus(options: argparse.Namespace, name: str, augmentations: tuple[SignalAugmentation, ...]) -> EmbeddingSet:
    """A corpus's clips, drawn with --quick; with augmented copies if it is trained on.

    Raises:
        SerError: where a clip cannot be read.
    """
    noise = options.data / "noise"
    examples = plainly_labelled(read_corpus(options.data / name, HEAD_LABELS).examples)
    if options.quick and len(examples) > QUICK_CLIPS:
        drawn = np.random.default_rng(options.seed).permutation(len(examples))[:QUICK_CLIPS]
        examples = [examples[place] for place in sorted(drawn)]
    plan = CopyPlan(augmentations, options.seed, cache_dir=default_cache_dir())
    noises = load_noises(noise) if noise.is_dir() and augmentations else ()
    return embed_examples(examples, EmbeddingPlan(plan, noises=noises, tolerated=TOLERATED, labels=HEAD_LABELS))


def join(parts: Sequence[EmbeddingSet]) -> EmbeddingSet:
    """The clips of several corpora; labels that none of them has are left out."""
    targets = np.concatenate([part.targets for part in parts])
    known = targets.sum(axis=0) > 0
    return EmbeddingSet(
        np.concatenate([part.embeddings for part in parts]),
        targets[:, known],
        np.concatenate([part.weights for part in parts]),
        [speaker for part in parts for speaker in part.speakers],
        [corpus for part in parts for corpus in part.corpora],
        [label for label, there in zip(parts[0].labels, known, strict=True) if there],
        [path for part in parts for path in part.paths],
        np.concatenate([part.intensities for part in parts]),
    )


def fit(train: EmbeddingSet, seed: int) -> ClassifierHead:
    """The shipped configuration of the head, with temperature and prior, on these clips."""
    config = replace(HEAD, seed=seed)
    head = fit_head(train, config, encoder=EMBEDDED, encoder_sha256=load_encoder(EMBEDDED).sha256)
    return calibrate_head(head, train, None, config)


def answer(head: ClassifierHead, data: EmbeddingSet, seed: int) -> dict[str, dict[str, Any]]:
    """The figures of a corpus, plain, by source and by speaker.

    Args:
        head: that was not trained on the corpus.
        data: of the corpus.
        seed: draws the clips that answers are adapted by.

    Returns:
        {way: as `score`}.
    """
    names = [data.labels[place] for place in data.targets.argmax(axis=1)]
    alone = "neutral" not in names
    truth = ["neutral" if alone and name == "calm" else name for name in names]
    rows = [place for place, name in enumerate(truth) if name in LABELS]
    chosen = data.take(rows)
    sha256, values = head.encoder_sha256, chosen.plain
    place = ["left out"] * len(rows)
    ways: dict[str, list[Profiles]] = {
        "plain": [Profiles()] * len(rows),
        "source": draw_profiles(values, sha256, sources=place, even_labels=LABELS, seed=seed),
        "speaker": draw_profiles(
            values, sha256, sources=place, speakers=chosen.speakers, even_labels=LABELS, seed=seed
        ),
        "source, mix unknown": draw_profiles(values, sha256, sources=place, seed=seed),
        "speaker, mix unknown": draw_profiles(values, sha256, sources=place, speakers=chosen.speakers, seed=seed),
    }
    columns = [EMOTIONS.index(label) for label in LABELS]
    figures = {}
    for way, profiles in ways.items():
        answers = np.concatenate(
            [
                head.probabilities(row[None], combine(head, profile))
                for row, profile in zip(values, profiles, strict=True)
            ]
        )[:, columns]
        answers /= answers.sum(axis=1, keepdims=True)
        figures[way] = score([truth[place] for place in rows], answers, chosen.speakers)
    return figures


def score(truth: Sequence[str], answers: npt.NDArray[np.float64], speakers: Sequence[str]) -> dict[str, Any]:
    """UAR with its interval, calibration error, the recall of each label, and accuracy by coverage.

    The 95 % interval draws whole speakers; coverage is the share of the clips whose answers are the most certain ones.

    >>> score(["anger", "sadness"], np.array([[0.7, 0.1, 0.1, 0.1]] * 2), ["a", "b"])["recall"]
    {'anger': 1.0, 'sadness': 0.0}
    """
    predicted = [LABELS[place] for place in answers.argmax(axis=1)]
    interval = bootstrap_interval(truth, predicted, LABELS, groups=speakers)
    places = {label: [place for place, known in enumerate(truth) if known == label] for label in LABELS}
    return {
        "n": len(truth),
        "uar": round(interval.value, 4),
        "ci": [round(interval.low, 4), round(interval.high, 4)],
        "ece": round(ece(answers, truth, LABELS), 4),
        "accuracy_by_coverage": by_coverage(np.array(truth) == np.array(predicted), answers.max(axis=1)),
        "recall": {
            label: round(float(np.mean([predicted[place] == label for place in found])), 4)
            for label, found in places.items()
            if found
        },
    }


def by_coverage(right: npt.NDArray[np.bool_], certainty: npt.NDArray[np.float64]) -> dict[str, float]:
    """Accuracy on the most certain answers, by the share of clips that are answered.

    >>> by_coverage(np.array([True, False]), np.array([0.9, 0.4]))["1.0"]
    0.5
    """
    curve = risk_coverage(right, certainty)
    return {
        str(share): round(float(curve[max(round(share * len(curve)), 1) - 1]), 4)
        for share in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    }


def mean_of(rows: Mapping[str, Mapping[str, Any]], name: str) -> float:
    """Mean of a figure over the corpora."""
    return round(float(np.mean([row[name] for row in rows.values()])), 4)


if __name__ == "__main__":
    sys.exit(main())
