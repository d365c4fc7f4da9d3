"""What the learning curve is measured on: the corpora, a base model that has not heard one of them, and its ears."""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.classifier import load_network
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.corpora import load_corpus
from ser.training import train
from ser.training.memory import answer_pooled, draw_sides, make_prototypes, pooled_statistics
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import DEV_SPEAKERS, FROM_NOTHING, RESERVED_SPEAKERS
from ser.training.run import TrainedModel
from ser.types import Example

BASE_CORPORA = ("ravdess", "tess", "emodb", "turev")
NEW_CORPUS = "nemo"
UNSEEN = ("nemo_EB0", "nemo_IC0", "nemo_MK0")
"""Speakers of the new corpus whom nobody corrects."""

REMEMBERED = 60
"""Clips of each label of each base corpus, on either side, that prototypes are made of."""

BASE_CONFIG = replace(
    FROM_NOTHING,
    epochs=14,
    epoch_size=1536,
    variants=0,
    corpus_weights={"ravdess": 0.55, "tess": 0.15, "emodb": 0.15, "turev": 0.15},
)
"""Short of the recipe of the shipped weights by two thirds of its steps, so that it can be trained here."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """Who speaks.

    Attributes:
        data: folder of the corpora.
        base: what the base model is trained on.
        reserved: of the base corpora, whom it is tested on.
        pool: clips of the new corpus that may be corrected.
        test: clips of its other speakers.
    """

    data: Path
    base: tuple[Example, ...]
    reserved: tuple[Example, ...]
    pool: tuple[Example, ...]
    test: tuple[Example, ...]


def read_world(data: Path, pool: int, test: int, seed: int) -> World:
    """Read the corpora and draw.

    Args:
        data: folder of the corpora.
        pool: clips that may be corrected, at most.
        test: clips to test on, at most.
        seed: of the draws.

    Raises:
        TrainingDataError: where a corpus cannot be read.
    """
    known = [example for name in BASE_CORPORA for example in load_corpus(data / name)]
    new = load_corpus(data / NEW_CORPUS)
    draw = np.random.default_rng(seed)
    sides = [[e for e in new if (e.speaker in UNSEEN) is side] for side in (False, True)]
    drawn = [
        tuple(part[n] for n in sorted(draw.permutation(len(part))[:most].tolist()))
        for part, most in zip(sides, (pool, test), strict=True)
    ]
    return World(
        data,
        tuple(e for e in known if e.speaker not in RESERVED_SPEAKERS),
        tuple(e for e in known if e.speaker in RESERVED_SPEAKERS),
        *drawn,
    )


def base_model(world: World) -> Path:
    """The folder of a model that was trained without the new corpus, with prototypes; trained once, then kept.

    Named after the recordings and the configuration, in the user's cache folder.
    """
    digest = hashlib.sha256(json.dumps(asdict(BASE_CONFIG), sort_keys=True, default=str).encode())
    for name in BASE_CORPORA:
        digest.update((world.data / name / "metadata.csv").read_bytes())
    folder = default_cache_dir().parent / "learning-curve" / digest.hexdigest()[:24]
    if (folder / "prototypes.safetensors").is_file():
        return folder
    building = folder.with_suffix(".building")
    if not (folder / "model.safetensors").is_file():
        print("Training the base model, once ...", file=sys.stderr)
        shutil.rmtree(building, ignore_errors=True)
        trained = train(list(world.base), BASE_CONFIG, cache_dir=default_cache_dir())
        assert isinstance(trained, TrainedModel)
        trained.save(building, name="without the new corpus")
        building.rename(folder)
    sides = draw_sides(world.base, DEV_SPEAKERS, REMEMBERED)
    parts = [prepare(side, Preparation(cache_dir=cached())) for side in sides]
    make_prototypes(load_network(folder), *parts).save(folder)
    return folder


def cached() -> Path:
    """Where the features of the corpora are kept."""
    return default_cache_dir()


class Ears:
    """What the base model hears in the clips that are tested on; all versions of it that judge anew hear the same.

    Args:
        folder: of the base model.
        world: whose clips.
    """

    def __init__(self, folder: Path, world: World) -> None:
        self.network = load_network(folder)
        self.test = self._hear(world.test)
        self.reserved = self._hear(world.reserved)
        self.pool = self._hear(world.pool)
        self.base_uar = round(self.uar(self.network, *self.test), 4)
        self.base_reserved = self.reserved_uar(self.network, world)

    def _hear(self, examples: Sequence[Example]) -> tuple[Array, npt.NDArray[np.int64]]:
        features = prepare(examples, Preparation(cache_dir=cached()))
        heard = pooled_statistics(self.network, [variants[0] for variants in features.variants])
        return heard, features.targets.argmax(1)

    def uar(self, network: AcousticModelForAudioClassification, heard: Array, truth: npt.NDArray[np.int64]) -> float:
        """Mean recall over the labels that occur."""
        answers = self.probabilities(network, heard).argmax(1)
        return float(np.mean([np.mean(answers[truth == label] == label) for label in np.unique(truth)]))

    def reserved_uar(self, network: AcousticModelForAudioClassification, world: World) -> dict[str, float]:
        """The same on the reserved speakers of each base corpus."""
        names = np.array([example.corpus for example in world.reserved])
        heard, truth = self.reserved
        return {n: self.uar(network, heard[names == n], truth[names == n]) for n in sorted(set(names.tolist()))}

    def probabilities(self, network: AcousticModelForAudioClassification, heard: Array) -> Array:
        """Shape (clips, labels)."""
        with torch.inference_mode():
            return np.asarray(answer_pooled(network.eval(), torch.from_numpy(heard)).exp().numpy())
