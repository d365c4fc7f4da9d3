"""How thoroughly the acoustic model learns: what `quick` and `thorough` stand for. Pure; knows no store and no run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotations.learning.config import RetrainingConfig
from ser.config import TrainConfig
from ser.training.head import HeadConfig

BASE_DATA = "SER_BASE_DATA"
"""Environment variable: folders of the base corpora, divided as in PATH; what they hold is learnt again."""

LENGTHS = (1, 2, 4, 8)
"""Times the steps of a quick run that a thorough one tries, each only where the one before was better than its own."""


@dataclass(frozen=True)
class Preset:
    """How a network of ours learns from feedback.

    Attributes:
        variants: changed copies of each clip beside the untouched one.
        heads: ways to teach the judging part, the shortest first; which, the feedback's own speakers say.
        deep: of all layers afterwards, with the base corpora at hand; None for none.
        base: folders of these corpora.
    """

    variants: int
    heads: tuple[HeadConfig, ...]
    deep: TrainConfig | None = None
    base: tuple[Path, ...] = ()


def preset_of(config: RetrainingConfig, environ: Mapping[str, str] = os.environ) -> Preset:
    """What a run's preset stands for.

    `quick` teaches the judging part, with prototypes in place of the base. `thorough` makes more copies, and tries how
    long to teach it; with `SER_BASE_DATA` naming corpora it then trains all layers as well and learns these again.

    >>> len(preset_of(RetrainingConfig(), {}).heads)
    1
    >>> [head.steps for head in preset_of(RetrainingConfig(preset="thorough"), {}).heads]
    [15, 30, 60, 120]
    >>> preset_of(RetrainingConfig(preset="thorough"), {"SER_BASE_DATA": "data/ravdess"}).base[0].name
    'ravdess'
    """
    if config.preset == "quick":
        return Preset(3, (head_of(config, 1),))
    heads = tuple(head_of(config, times) for times in LENGTHS)
    base = tuple(Path(part) for part in environ.get(BASE_DATA, "").split(os.pathsep) if part)
    return Preset(5, heads, deep_of(config), base) if base else Preset(8, heads)


def head_of(config: RetrainingConfig, times: int) -> HeadConfig:
    """So many times the usual steps, at half the rate, as larger steps forgot more and gained no more."""
    rate = config.learning_rate / 2
    return HeadConfig(epochs=config.epochs, steps=15 * times, learning_rate=rate, seed=config.seed)


def deep_of(config: RetrainingConfig) -> TrainConfig:
    """Gentle training of all layers."""
    return TrainConfig.fine_tune(
        epochs=config.epochs,
        learning_rate=0.3 * config.learning_rate,
        seed=config.seed,
        threads=1,
        choose_best=False,
        frozen_blocks=0,
        variants=5,
    )
