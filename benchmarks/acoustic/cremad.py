"""CREMA-D by the split of TensorFlow Datasets, six classes: `python -m benchmarks.cremad --data DATA [--quick]`.

Heads are fitted on the split's training actors alone: one in the shipped head's configuration, and one in that of
`SETTINGS` which is right most often on the validation actors. Both answer the test actors, on whom nothing is chosen,
so the figures are comparable with published ones on a split of this recipe. Clips are cut to their speech, as in
serving. Embeddings are kept in the user's cache folder.

Source of the split: https://www.tensorflow.org/datasets/catalog/crema_d
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import run_benchmark
from ser.acoustic.head import ClassifierHead
from ser.audio.augmentation import load_noises
from ser.config import EMBEDDED
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.errors import TrainingDataError
from ser.evaluation.metrics import bootstrap_interval, confusion, ece, fit_temperature, per_class, war_of
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, EmbeddingSet, default_cache_dir, embed_examples
from ser.training.heads import HeadConfig, fit_head
from ser.training.recipe import AUGMENTATIONS, HEAD

LABELS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
PARTS = ("train", "validation", "test")

SETTINGS = (HEAD, *(replace(HEAD, copies=copies, hidden=None) for copies in (0.4, 0.0)))
"""Chosen from by accuracy on the validation actors; with `copies` 0 the head sees no augmented copy. The first one is
the shipped head's configuration."""

PUBLISHED = {"Whisper-base": 0.708, "Whisper-large-v3": 0.762, "Dasheng-1.2B": 0.769}
"""Accuracy of linear probes on frozen encoders, on splits of this recipe."""

PACKAGES = ("numpy", "scipy", "onnxruntime", "silero-vad")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cremad", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora and of cremad/tfds_split.csv")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="no augmented copies of the training clips")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """The figures of both heads on the test actors.

    Raises:
        SerError: where data cannot be read, or a part of the split has no clips.
    """
    parts = embed_parts(options.data, options.seed, copies=not options.quick)
    train, validation, test = (parts[name] for name in PARTS)
    settings = [replace(one, seed=options.seed) for one in SETTINGS if not (options.quick and one.copies)]
    with threadpool_limits(1):
        heads = [fit(train, one) for one in tqdm(settings, unit="head", disable=None)]
        best = int(np.argmax([accuracy(head, validation) for head in heads]))
        figures = {
            "shipped configuration": score(heads[0], settings[0], validation, test),
            "chosen on validation": score(heads[best], settings[best], validation, test),
        }
    return {
        "benchmark": "cremad",
        "clips": {name: len(part) for name, part in parts.items()},
        "actors": {name: len(set(part.speakers)) for name, part in parts.items()},
        "figures": figures,
        "published": PUBLISHED,
    }


def embed_parts(folder: Path, seed: int, *, copies: bool) -> dict[str, EmbeddingSet]:
    """The clips of each part of the split, those of training with augmented copies if asked for.

    Raises:
        SerError: where a clip cannot be read, or a part has no clips.
    """
    split = read_split(folder / "cremad" / "tfds_split.csv")
    examples = read_corpus(folder / "cremad", LABELS).examples
    noise = folder / "noise"
    noises = load_noises(noise) if noise.is_dir() and copies else ()
    parts = {}
    for name in PARTS:
        chosen = [example for example in examples if example.speaker in split[name]]
        if not chosen:
            raise TrainingDataError(
                f"{folder / 'cremad'} has no clips of the {len(split[name])} actors of the part '{name}'. "
                "Give the corpus that tfds_split.csv belongs to."
            )
        changes = AUGMENTATIONS if copies and name == "train" else ()
        plan = CopyPlan(changes, seed, cache_dir=default_cache_dir())
        parts[name] = embed_examples(chosen, EmbeddingPlan(plan, noises=noises, labels=LABELS))
    return parts


def read_split(path: Path) -> dict[str, set[str]]:
    """{part: its actors}.

    Raises:
        TrainingDataError: if the table lacks a part, or an actor is in two.
    """
    if not path.is_file():
        raise TrainingDataError(f"{path} is missing: a table with the columns split and speakers is expected.")
    with path.open(newline="", encoding="utf-8") as file:
        split = {row["split"]: set(row["speakers"].split()) for row in csv.DictReader(file)}
    missing = [name for name in PARTS if not split.get(name)]
    if missing:
        raise TrainingDataError(f"{path} lacks the part(s) {', '.join(missing)}; {', '.join(PARTS)} are expected.")
    twice = sorted(actor for actor in set.union(*split.values()) if sum(actor in part for part in split.values()) > 1)
    if twice:
        raise TrainingDataError(f"{path} has {', '.join(twice)} in two parts. Every actor may be in one only.")
    return split


def fit(train: EmbeddingSet, config: HeadConfig) -> ClassifierHead:
    """Fit a head on the training actors; without the copies where they carry nothing."""
    data = train if config.copies else replace(train, embeddings=train.embeddings[:, :1])
    return fit_head(data, config, encoder=EMBEDDED, encoder_sha256=load_encoder(EMBEDDED).sha256)


def accuracy(head: ClassifierHead, data: EmbeddingSet) -> float:
    """Share of right answers."""
    return float((head.scores(data.plain).argmax(axis=1) == data.targets.argmax(axis=1)).mean())


def score(head: ClassifierHead, config: HeadConfig, validation: EmbeddingSet, test: EmbeddingSet) -> dict[str, object]:
    """The figures of a head on the test actors, its temperature fitted on the validation actors."""
    head = replace(head, temperature=fit_temperature(head.scores(validation.plain), validation.targets))
    logits = head.logits(test.plain).astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers = powers / powers.sum(axis=1, keepdims=True)
    truth = [LABELS[place] for place in test.targets.argmax(axis=1)]
    predicted = [LABELS[place] for place in answers.argmax(axis=1)]
    matrix = confusion(truth, predicted, LABELS)
    interval = bootstrap_interval(truth, predicted, LABELS, groups=test.speakers)
    return {
        "settings": {"hidden_layer": config.hidden is not None, "penalty": config.penalty, "copies": config.copies},
        "validation_accuracy": round(accuracy(head, validation), 4),
        "accuracy": round(war_of(matrix), 4),
        "uar": round(interval.value, 4),
        "uar_ci": [round(interval.low, 4), round(interval.high, 4)],
        "ece": round(ece(answers, truth, LABELS), 4),
        "recall": {label: round(one.recall, 4) for label, one in per_class(matrix, LABELS).items()},
    }


if __name__ == "__main__":
    sys.exit(main())
