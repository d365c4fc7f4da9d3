"""How thoroughly the acoustic model learns: what `quick` and `thorough` stand for. Pure; knows no store and no run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from annotations.learning.config import RetrainingConfig
from ser.config import TrainConfig
from ser.training.head import HeadConfig

BASE_DATA = "SER_BASE_DATA"
"""Environment variable: folders of the base corpora, divided as in PATH; what they hold is learnt again."""

STEPS = 15
"""In an epoch of the judging part, from up to `CLIPS` clips; from more clips in proportion more, as they hold more."""

CLIPS = 100
MOST_TIMES = 4

LENGTHS = (1, 2, 4, 8)
"""Times `STEPS` that a thorough run tries, each only where the one before was better than its own."""


@dataclass(frozen=True)
class Preset:
    """How a network of ours learns from feedback.

    Attributes:
        variants: changed copies of each clip beside the untouched one.
        head: how the judging part is taught from few clips.
        lengths: times as many steps that are tried; none leaves it to the number of clips.
        deep: of all layers afterwards, with the base corpora at hand; None for none.
        base: folders of these corpora.
    """

    variants: int
    head: HeadConfig
    lengths: tuple[int, ...] = ()
    deep: TrainConfig | None = None
    base: tuple[Path, ...] = ()

    def usual(self, clips: int) -> HeadConfig:
        """How the judging part is taught from so many clips where nothing says how long is best.

        >>> preset = preset_of(RetrainingConfig(), {})
        >>> [preset.usual(clips).steps for clips in (30, 200, 1000)]
        [15, 30, 60]
        """
        times = min(max(clips / CLIPS, 1.0), MOST_TIMES)
        return replace(self.head, steps=round(times * self.head.steps))

    def tried(self, clips: int) -> tuple[HeadConfig, ...]:
        """Ways to teach it that are to be tried, the shortest first."""
        if not self.lengths:
            return (self.usual(clips),)
        return tuple(replace(self.head, steps=times * self.head.steps) for times in self.lengths)


def preset_of(config: RetrainingConfig, environ: Mapping[str, str] = os.environ) -> Preset:
    """What a run's preset stands for.

    `quick` teaches the judging part, with prototypes in place of the base. `thorough` makes more copies, and tries how
    long to teach it; with `SER_BASE_DATA` naming corpora it then trains all layers as well and learns these again.

    >>> len(preset_of(RetrainingConfig(), {}).tried(50))
    1
    >>> [head.steps for head in preset_of(RetrainingConfig(preset="thorough"), {}).tried(50)]
    [15, 30, 60, 120]
    >>> preset_of(RetrainingConfig(preset="thorough"), {"SER_BASE_DATA": "data/ravdess"}).base[0].name
    'ravdess'
    """
    # At half the rate, as larger steps forgot more and gained no more.
    head = HeadConfig(epochs=config.epochs, steps=STEPS, learning_rate=config.learning_rate / 2, seed=config.seed)
    if config.preset == "quick":
        return Preset(3, head)
    base = tuple(Path(part) for part in environ.get(BASE_DATA, "").split(os.pathsep) if part)
    return Preset(5, head, LENGTHS, deep_of(config), base) if base else Preset(8, head, LENGTHS)


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
