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

REPLAYED = 300
"""Clips of each base corpus that a thorough run learns again."""


@dataclass(frozen=True)
class Preset:
    """How a network of ours learns from feedback.

    Attributes:
        variants: changed copies of each clip beside the untouched one.
        head: of the judging part; None trains deeper, by `deep`.
        deep: of the network's last layers, with the base corpora at hand.
        base: folders of these corpora.
    """

    variants: int
    head: HeadConfig | None
    deep: TrainConfig | None = None
    base: tuple[Path, ...] = ()


def preset_of(config: RetrainingConfig, environ: Mapping[str, str] = os.environ) -> Preset:
    """What a run's preset stands for.

    `quick` and, without base corpora, `thorough` teach the judging part alone, with prototypes in place of the base;
    with `SER_BASE_DATA` naming corpora, `thorough` trains the last layers of what hears as well and replays them.

    >>> preset_of(RetrainingConfig(), {}).variants
    3
    >>> preset_of(RetrainingConfig(preset="thorough"), {"SER_BASE_DATA": "data/ravdess"}).deep.frozen_blocks
    3
    """
    if config.preset == "quick":
        return Preset(3, head_of(config, 1))
    base = tuple(Path(part) for part in environ.get(BASE_DATA, "").split(os.pathsep) if part)
    if not base:
        return Preset(8, head_of(config, 2))
    return Preset(5, None, deep_of(config), base)


def head_of(config: RetrainingConfig, times: int) -> HeadConfig:
    """The configured epochs, so many times over; at half the rate, as larger steps forgot more and gained no more."""
    rate = config.learning_rate / 2
    return HeadConfig(epochs=config.epochs * times, steps=15, learning_rate=rate, seed=config.seed)


def deep_of(config: RetrainingConfig) -> TrainConfig:
    """Gentle training of the last layers; the feedback and the base count alike."""
    return TrainConfig.fine_tune(
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        seed=config.seed,
        threads=1,
        choose_best=False,
        variants=5,
    )
