"""What the learning curve is measured on: the corpora, a base model that has not heard one of them, and its ears."""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch

from ser.acoustic.classifier import load_network
from ser.acoustic.measures import measure_features
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.audio import MIN_DURATION, decode_file
from ser.config import TrainConfig
from ser.corpora import load_corpus
from ser.training import train
from ser.training.memory import answer_pooled, hearing_hash, make_prototypes, pooled_statistics
from ser.training.memory_sides import draw_sides
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import DEV_SPEAKERS, RESERVED_SPEAKERS
from ser.training.run import TrainedModel
from ser.types import Example

UNSEEN = {
    "nemo": ("nemo_EB0", "nemo_IC0", "nemo_MK0"),
    "emodb": ("emodb_03", "emodb_08", "emodb_09", "emodb_10"),
    "turev": ("turev_1157", "turev_1358"),
    "ravdess": tuple(name for name in (*RESERVED_SPEAKERS, *DEV_SPEAKERS) if name.startswith("ravdess")),
}
"""Of each corpus that may be the new one, the speakers whom nobody corrects."""

SHARES = {"ravdess": 0.55, "nemo": 0.3, "tess": 0.15, "emodb": 0.15, "turev": 0.15}
"""Of the corpora in an epoch of the base model's training, before the new one is taken out."""

REMEMBERED = 60
"""Clips of each label of each base corpus, on either side, that prototypes are made of."""

SETTINGS: dict[str, object] = {
    "epochs": 14,
    "epoch_size": 1536,
    "batch_size": 64,
    "learning_rate": 2e-3,
    "label_smoothing": 0.1,
    "intensity_weight": 0.2,
    "mixup": 0.4,
    "mixup_probability": 0.5,
    "variants": 0,
    "choose_best": True,
    "refit": False,
    "threads": 1,
    "seed": 0,
    "network": {"members": [{}]},
}
"""Of the base model's training: short, and written down here so that it stays as it is when the recipe changes."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """Who speaks.

    Attributes:
        data: folder of the corpora.
        new: name of the corpus that is new to the model.
        known: of the other corpora, all but whom the model is tested on.
        reserved: of the base corpora, whom it is tested on.
        pool: clips of the new corpus that may be corrected.
        test: clips of its other speakers.
    """

    data: Path
    new: str
    known: tuple[Example, ...]
    reserved: tuple[Example, ...]
    pool: tuple[Example, ...]
    test: tuple[Example, ...]

    @property
    def folders(self) -> list[str]:
        """Of the base's corpora."""
        return [str(self.data / name) for name in SHARES if name != self.new]

    @property
    def base(self) -> tuple[Example, ...]:
        """What the base model is trained on: it leaves out the speakers whose voices it is to remember as unheard."""
        return tuple(example for example in self.known if example.speaker not in DEV_SPEAKERS)


def read_world(data: Path, new: str, pool: int, test: int, seed: int) -> World:
    """Read the corpora and draw.

    Args:
        data: folder of the corpora.
        new: the corpus that the base model is not to hear, one of `UNSEEN`.
        pool: clips that may be corrected, at most.
        test: clips to test on, at most.
        seed: of the draws.

    Raises:
        TrainingDataError: where a corpus cannot be read.
    """
    known = [example for name in SHARES if name != new for example in _usable(data / name)]
    unheard = _usable(data / new)
    draw = np.random.default_rng(seed)
    sides = [[e for e in unheard if (e.speaker in UNSEEN[new]) is side] for side in (False, True)]
    drawn = [
        tuple(part[n] for n in sorted(draw.permutation(len(part))[:most].tolist()))
        for part, most in zip(sides, (pool, test), strict=True)
    ]
    # A store keeps the same recording once: RAVDESS holds one twice, under two names.
    once = {decode_file(example.path).sha256: example for example in reversed(drawn[0])}
    drawn[0] = tuple(reversed(once.values()))
    return World(
        data,
        new,
        tuple(e for e in known if e.speaker not in RESERVED_SPEAKERS),
        tuple(e for e in known if e.speaker in RESERVED_SPEAKERS),
        *drawn,
    )


def _usable(folder: Path) -> list[Example]:
    """A corpus without the recordings that are too short to be heard."""
    return [example for example in load_corpus(folder) if soundfile.info(example.path).duration >= MIN_DURATION]


def base_model(world: World) -> Path:
    """The folder of a model that was trained without the new corpus, with prototypes; trained once, then kept.

    Named after the recordings and the configuration, in the user's cache folder.
    """
    settings = SETTINGS | {"corpus_weights": {name: share for name, share in SHARES.items() if name != world.new}}
    kept_out = sorted(set(RESERVED_SPEAKERS) | set(DEV_SPEAKERS))
    digest = hashlib.sha256(json.dumps([settings, kept_out], sort_keys=True).encode())
    for name in settings["corpus_weights"]:  # type: ignore[attr-defined]
        digest.update((world.data / name / "metadata.csv").read_bytes())
    folder = default_cache_dir().parent / "learning-curve" / f"without-{world.new}-{digest.hexdigest()[:16]}"
    if (folder / "prototypes.safetensors").is_file():
        return folder
    building = folder.with_suffix(".building")
    if not (folder / "model.safetensors").is_file():
        print(f"Training the base model without {world.new}, once ...", file=sys.stderr)
        shutil.rmtree(building, ignore_errors=True)
        trained = train(list(world.base), TrainConfig(**settings), cache_dir=default_cache_dir())  # type: ignore[arg-type]
        assert isinstance(trained, TrainedModel)
        trained.save(building, name=f"without {world.new}")
        building.rename(folder)
    sides = draw_sides(world.known, DEV_SPEAKERS, REMEMBERED)
    parts = [prepare(side, Preparation(cache_dir=cached())) for side in sides]
    make_prototypes(load_network(folder), *parts).save(folder)
    return folder


def cached() -> Path:
    """Where the features of the corpora are kept."""
    return default_cache_dir()


class Ears:
    """What a model hears in the clips that are tested on; all versions of it that only judge anew hear the same.

    Args:
        network: the model.
        world: whose clips.
    """

    def __init__(self, network: AcousticModelForAudioClassification, world: World) -> None:
        self.network, self.world = network, world
        self.hearing = hearing_hash(network)
        self.test = self._hear(world.test)
        self.reserved = self._hear(world.reserved)
        self.base_uar = round(self.uar(network, *self.test), 4)
        self.base_reserved = self.reserved_uar(network, world)

    def of(self, network: AcousticModelForAudioClassification) -> "Ears":
        """Those of another version: the same, unless all of its layers have learnt."""
        return self if hearing_hash(network) == self.hearing else Ears(network, self.world)

    @cached_property
    def pool(self) -> tuple[Array, npt.NDArray[np.int64]]:
        """What is heard in the clips that may be corrected, and their labels."""
        return self._hear(self.world.pool)

    @cached_property
    def sounds(self) -> list[Array]:
        """What is measured in the clips that may be corrected."""
        features = prepare(self.world.pool, Preparation(cache_dir=cached()))
        return [measure_features(variants[0]) for variants in features.variants]

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
