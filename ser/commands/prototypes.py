"""`python -m ser prototypes`: puts beside a model what keeps it from forgetting its base corpora."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from ser.acoustic.classifier import load_network, model_folder
from ser.config import Settings
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.training.dataset import FeatureSet
from ser.training.memory import load_prototypes, make_prototypes, uar_on_prototypes
from ser.training.memory_sides import draw_sides
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.progress import TrainProgress
from ser.training.recipe import DEV_SPEAKERS, RESERVED_SPEAKERS
from ser.types import Example

PER_CORPUS_LABEL = 60
"""Clips of each label of each corpus that are heard on each side, drawn where there are more."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Hear the corpora, mix, and write the file.

    Args:
        options: `data, model, judging_speakers, seed`.
        settings: device; prototypes are made on the CPU.

    Returns:
        0.

    Raises:
        SerError: where the data or the model cannot be used.
    """
    torch.set_num_threads(1)
    folder = model_folder(options.model or settings.acoustic_model)
    network = load_network(folder)
    judging = set(options.judging_speakers or DEV_SPEAKERS)
    examples = [
        example
        for source in options.data
        for example in load_corpus(source)
        if example.speaker not in RESERVED_SPEAKERS
    ]
    sides = draw_sides(examples, judging, PER_CORPUS_LABEL, options.seed)
    if not sides[0]:
        raise TrainingDataError("No clip of the data may be remembered: all are of reserved speakers.")
    features = [_features(side) if side else None for side in sides]
    assert features[0] is not None
    path = make_prototypes(network, features[0], features[1], seed=options.seed).save(Path(folder))
    made = load_prototypes(Path(folder), network)
    assert made is not None
    print(
        f"Wrote {path} ({path.stat().st_size / 1000:.0f} kB): {len(made.lessons)} prototypes to learn again, "
        f"{int(made.judging.sum())} to judge by (UAR {uar_on_prototypes(network, made.judges):.1%})."
    )
    return 0


def _features(examples: list[Example]) -> FeatureSet:
    with tqdm(total=len(examples), unit="clip", disable=None) as bar:

        def on_progress(progress: TrainProgress) -> None:
            bar.update(progress.step - bar.n)

        return prepare(examples, Preparation(cache_dir=default_cache_dir(), tolerated=0.01, on_progress=on_progress))
