"""Heard on a corpus that training never saw: `python -m benchmarks.cross_corpus --data DATA [--models DIR] [--json]`.

Leaves each of five corpora out in turn, learns from the other four, and answers with one of anger, happiness, neutral
and sadness. Peers: openSMILE's ComParE functionals with a ridge classifier, plain and with each speaker's features
normalised over all of that speaker's unlabelled clips. Ours: the recipe of `python -m ser train`, shortened, whose five
models are kept under `--models` and used again; plain, and adapted by unlabelled clips of the speaker
(`ser.adaptation`). The reserved speakers of other corpora are trained on here, as these models are not shipped.

Calm counts as neutral where a corpus has no neutral of its own (TurEV), and is left out where it has (RAVDESS). The
recipe, which learns seven labels, hears RAVDESS's calm as neutral while it learns.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.machine import describe_run
from benchmarks.peers_environment import peers_dir
from benchmarks.peers_functionals import functionals_of, normalise_by, standardise, train_ridge
from ser.acoustic.classifier import LoadedAcousticModel, load_acoustic_model
from ser.adaptation import adapt_to_speakers
from ser.config import TrainConfig
from ser.corpora import load_corpus
from ser.errors import SerError, TrainingDataError
from ser.evaluation import evaluate, restrict
from ser.metrics import bootstrap_interval
from ser.training.recipe import FROM_NOTHING, WHOLE_RECORDINGS, run_recipe
from ser.types import EmotionScores, Example

CORPORA = ("ravdess", "nemo", "tess", "turev", "emodb")
LABELS = ("anger", "happiness", "neutral", "sadness")
CALM = "calm"
TARGETS = {"plain": 0.55, "adapted": 0.65}
"""Mean UAR over the corpora that the network should reach."""

LEFT_OUT_CONFIG = replace(
    FROM_NOTHING,
    epochs=14,
    max_duration=2.4,
    corpus_weights={},
    mask_absent_labels=True,
    refit=False,
    crossed=0,
    network={"members": [{"centred": True}, {**WHOLE_RECORDINGS, "weight": 0.625}]},
)
"""The recipe for speech from elsewhere: fewer and shorter epochs, every corpus alike, and each clip without its own
mean spectrum, because a microphone of the training corpora says nothing about that of another one. Labels that a corpus
lacks do not compete on its clips: by them a network would learn to tell corpora apart. One convolutional network in
place of four; what measures whole recordings has the share that it has in the recipe."""

PARTS = ("functionals", "network")
FEATURE_SET = "ComParE"
QUICK_CLIPS = 6
"""Clips of each speaker and label that --quick takes."""

PACKAGES = ("torch", "transformers", "scikit-learn", "numpy", "scipy", "silero-vad")

METADATA_FILE = "metadata.csv"
ADAPTED_BY = (0, 1, 4, 16)
"""Other clips of the speaker, unlabelled, that each answer is adapted by; 0 is the plain answer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 where done, 2 where something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_corpus", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    parser.add_argument("--corpora", nargs="+", default=CORPORA, help="folders in DATA, two or more")
    parser.add_argument("--left-out", nargs="+", metavar="CORPUS", help="some of them only")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--models", type=Path, default=Path("work") / "cross_corpus", help="trained where missing")
    parser.add_argument("--noise", type=Path, help="recordings of noise for training, as `python -m ser train` takes")
    parser.add_argument("--limit", type=int, metavar="N", help="clips of each corpus that the peers learn and answer")
    parser.add_argument("--cache", type=Path, default=peers_dir(), help="folder of openSMILE and its features")
    parser.add_argument("--quick", action="store_true", help="a tiny network and few clips; figures mean nothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    try:
        with tempfile.TemporaryDirectory() as scratch, threadpool_limits(1):
            result = measure(options, Path(scratch))
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """The figures of every part.

    Args:
        options: of the command line.
        scratch: an empty folder for what only this run needs.

    Raises:
        SerError: where data cannot be read, or something cannot be trained.
    """
    torch.set_num_threads(1)
    folders = [options.data / name for name in options.corpora]
    models = options.models
    if options.quick:
        folders = [copy_some(folder, scratch / folder.name, QUICK_CLIPS) for folder in folders]
        models = scratch / "models"
    corpora = {folder.name: read_four(folder) for folder in folders}
    held_out = options.left_out or list(corpora)
    strangers = sorted(set(held_out) - set(corpora))
    if strangers or len(corpora) < 2:
        raise TrainingDataError(f"{', '.join(strangers) or 'One corpus'} cannot be left out of {', '.join(corpora)}.")
    figures: dict[str, dict[str, Any]] = defaultdict(dict)
    if "functionals" in options.parts:
        drawn = {name: draw(examples, options.limit, options.seed) for name, examples in corpora.items()}
        for name, rows in run_functionals(drawn, held_out, options.cache).items():
            figures[name] = rows
    if "network" in options.parts:
        for name in held_out:
            model = trained_without(name, folders, models, options)
            for way, row in run_network(model, corpora[name], options.seed).items():
                figures[way][name] = row
    means = {name: round(float(np.mean([row["uar"] for row in rows.values()])), 4) for name, rows in figures.items()}
    counts = {name: len(examples) for name, examples in corpora.items()}
    result = {"benchmark": "cross_corpus", "clips": counts, "figures": dict(figures), "mean_uar": means}
    return {**result, "targets": TARGETS, **describe_run(options.seed, PACKAGES)}


def read_four(folder: Path) -> list[Example]:
    """The examples of a corpus with one of `LABELS`; calm as the module says.

    Raises:
        TrainingDataError: as `ser.corpora.read_corpus`.
    """
    examples = load_corpus(folder, (*LABELS, CALM))
    if any(example.hard_label == "neutral" for example in examples):
        return [example for example in examples if example.hard_label != CALM]
    return [replace(example, label="neutral") if example.hard_label == CALM else example for example in examples]


def draw(examples: Sequence[Example], limit: int | None, seed: int) -> list[Example]:
    """At most `limit` examples, drawn, in their order; all of them where it is None."""
    if limit is None or limit >= len(examples):
        return list(examples)
    return [examples[row] for row in sorted(np.random.default_rng(seed).permutation(len(examples))[:limit])]


def run_functionals(
    corpora: dict[str, list[Example]], held_out: Sequence[str], cache: Path
) -> dict[str, dict[str, Any]]:
    """ComParE functionals and a ridge classifier.

    Args:
        corpora: all, by name.
        held_out: those that are left out in turn.
        cache: folder of openSMILE and its features.

    Returns:
        {way: {corpus left out: `uar, ci, n, penalty`}}.

    Raises:
        PeerError: where openSMILE cannot be installed or fails.
    """
    examples = [example for group in corpora.values() for example in group]
    values = functionals_of([example.path for example in examples], FEATURE_SET, cache)
    names = np.array([name for name, group in corpora.items() for _ in group])
    truth = np.array([example.hard_label for example in examples])
    speakers = np.array([example.speaker for example in examples])
    normalised = normalise_by(values, speakers.tolist())
    figures: dict[str, dict[str, Any]] = {}
    for way, per_speaker in (("plain", False), ("features per speaker", True)):
        rows = figures[f"{FEATURE_SET} + ridge, {way}"] = {}
        for name in tqdm(held_out, desc=way, disable=None):
            test = names == name
            scaled = normalised if per_speaker else standardise(values[~test], values)
            ridge = train_ridge(scaled[~test], truth[~test], names[~test].tolist())
            answers = ridge.predict(scaled[test]).tolist()
            rows[name] = {**score(truth[test].tolist(), answers, speakers[test].tolist()), "penalty": ridge.penalty}
    return figures


def trained_without(
    name: str, folders: Sequence[Path], models: Path, options: argparse.Namespace
) -> LoadedAcousticModel:
    """The recipe's model of all corpora but one, trained where `models` has none.

    Args:
        name: of the corpus left out.
        folders: of all corpora.
        models: folder that holds a folder for each.
        options: `quick, seed, noise`.

    Raises:
        SerError: as `ser.training.recipe.run_recipe`.
    """
    place = models / name
    if not (place / "config.json").is_file():
        print(f"training without {name} into {place} ...", file=sys.stderr)
        left_out = next(folder for folder in folders if folder.name == name)
        speakers = {example.speaker for example in load_corpus(left_out)}
        run_recipe(
            folders,
            place,
            seed=options.seed,
            config=TrainConfig.tiny(epochs=1) if options.quick else LEFT_OUT_CONFIG,
            test_speakers=speakers,
            dev_speakers=(),
            noise_dir=options.noise,
            name=f"without {name}",
        )
    return load_acoustic_model(place)


def run_network(model: LoadedAcousticModel, examples: Sequence[Example], seed: int) -> dict[str, dict[str, Any]]:
    """The model's figures on a corpus, plain and adapted to each speaker.

    Args:
        model: that never heard the corpus.
        examples: of the corpus.
        seed: draws the clips that answers are adapted by.

    Returns:
        {way: as `score`}.
    """
    with tqdm(total=len(examples), unit="clip", disable=None) as progress:
        evaluation = evaluate(model, examples, on_progress=lambda done, _: progress.update(done - progress.n))
    plain = [EmotionScores(tuple(row.tolist())) for row in evaluation.probabilities]
    figures = {}
    for clips in ADAPTED_BY:
        scores = adapt_to_speakers(plain, evaluation.speakers, clips, seed) if clips else plain
        answers = [LABELS[column] for column in restrict(scores, LABELS)[0].argmax(1)]
        way = f"network, adapted by {clips} clips" if clips else "network, plain"
        figures[way] = score(evaluation.truth, answers, evaluation.speakers)
    return figures


def score(truth: Sequence[str], answers: Sequence[str], speakers: Sequence[str]) -> dict[str, Any]:
    """UAR, its 95 % interval with whole speakers drawn, and the recall of each label.

    >>> score(["anger", "sadness"], ["anger", "anger"], ["a", "b"])["recall"]
    {'anger': 1.0, 'sadness': 0.0}
    """
    interval = bootstrap_interval(truth, answers, LABELS, groups=speakers)
    places = {label: [index for index, known in enumerate(truth) if known == label] for label in LABELS}
    return {
        "n": len(truth),
        "uar": round(interval.value, 4),
        "ci": [round(interval.low, 4), round(interval.high, 4)],
        "recall": {
            label: round(float(np.mean([answers[index] == label for index in found])), 4)
            for label, found in places.items()
            if found
        },
    }


def copy_some(folder: Path, place: Path, clips: int) -> Path:
    """A corpus folder whose table names a few clips of each speaker and label of another one, where they lie.

    Raises:
        TrainingDataError: where `folder` has no table.
    """
    source = folder / METADATA_FILE
    if not source.is_file():
        raise TrainingDataError(f"There is no {METADATA_FILE} in {folder}. Name the folder of the corpora with --data.")
    taken: dict[tuple[str, str], int] = defaultdict(int)
    place.mkdir(parents=True)
    with source.open(newline="", encoding="utf-8") as file, (place / METADATA_FILE).open("w", newline="") as out:
        reader = csv.DictReader(file)
        writer = csv.DictWriter(out, reader.fieldnames or ())
        writer.writeheader()
        for row in reader:
            key = (row.get("speaker", ""), row["label"])
            taken[key] += 1
            if taken[key] <= clips:
                writer.writerow({**row, "file_name": str((folder / row["file_name"]).resolve())})
    return place


if __name__ == "__main__":
    sys.exit(main())
