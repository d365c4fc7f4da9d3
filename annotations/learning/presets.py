"""How thoroughly the acoustic model learns: what `quick` and `thorough` stand for. Pure; knows no store and no run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from annotations.learning.config import BY_PRESET, RetrainingConfig
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.training.head import HeadConfig

BASE_DATA = "SER_BASE_DATA"
"""Environment variable: folders of the base corpora, divided as in PATH; what they hold is learnt again."""

STEPS = 15
"""In an epoch of the judging part, from up to `CLIPS` clips; from more clips in proportion more, as they hold more."""

CLIPS = 100
MOST_TIMES = 4

LENGTHS = (1, 2, 4, 8)
"""Times `STEPS` that a thorough run tries, each only where the one before was better than its own."""

MEANINGS: Mapping[tuple[str, str], str] = {
    ("acoustic", "quick"): "Teaches the part that judges what is heard, and remembers the base while it learns.",
    ("acoustic", "thorough"): "Learns from more changed copies of each clip, and finds out on speakers left out how "
    "long to learn.",
    ("text", "quick"): "Goes through the written transcripts a few times.",
    ("text", "thorough"): "Goes through the written transcripts more than twice as often.",
    ("fusion", "quick"): "Fits a few numbers; both ways do the same.",
    ("fusion", "thorough"): "Fits a few numbers; both ways do the same.",
    ("transcriber", "quick"): "Goes through the corrected transcripts a few times.",
    ("transcriber", "thorough"): "Goes through the corrected transcripts three times as often.",
}
"""Of the presets, by target, for people."""

ENCODER_MEANINGS: Mapping[str, str] = {
    "full": "Teaches all layers of the encoder, and what stands behind it.",
    "top-k": "Teaches the encoder's last layers, and what stands behind it.",
    "lora": "Teaches small matrices beside the encoder's weights, and what stands behind it.",
    "adalora": "Teaches small matrices beside the encoder's weights, larger where they help most.",
    "frozen": "Teaches what stands behind the encoder, which stays as it is.",
    "head": "Teaches the last layer alone.",
}
"""Of what of an encoder of others learns."""

ENCODER_PARTS: Mapping[str, str] = {"quick": "frozen", "thorough": "full"}
"""What of an encoder of others learns, by preset: what judges, or all of it."""

ENCODER_EPOCHS: Mapping[str, int] = {"quick": 8, "thorough": 5}
"""The fewer weights learn, the more often the clips may be gone through."""

ENCODER_RATES: Mapping[str, float] = {
    "full": 5e-5, "top-k": 5e-5, "lora": 2e-4, "adalora": 5e-4, "frozen": 1e-3, "head": 1e-3
}  # fmt: skip
"""Peak of AdamW's rate by what learns: a few new weights bear larger steps than many that know something already."""


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
    `tune` decides on the latter in place of the preset: `head` never, `full` always.

    >>> len(preset_of(RetrainingConfig(), {}).tried(50))
    1
    >>> [head.steps for head in preset_of(RetrainingConfig(preset="thorough"), {}).tried(50)]
    [15, 30, 60, 120]
    >>> preset_of(RetrainingConfig(preset="thorough"), {"SER_BASE_DATA": "data/ravdess"}).base[0].name
    'ravdess'
    >>> preset_of(RetrainingConfig(preset="thorough", tune="head"), {"SER_BASE_DATA": "data/ravdess"}).base
    ()
    """
    # At half the rate, as larger steps forgot more and gained no more.
    head = HeadConfig(epochs=config.epochs, steps=STEPS, learning_rate=config.learning_rate / 2, seed=config.seed)
    quick = config.preset == "quick"
    lengths = () if quick else LENGTHS
    folders = tuple(Path(part) for part in environ.get(BASE_DATA, "").split(os.pathsep) if part)
    if folders and (config.tune == "full" or not quick and config.tune == BY_PRESET):
        return Preset(5, head, lengths, deep_of(config), folders)
    return Preset(3 if quick else 8, head, lengths)


def encoder_config(config: RetrainingConfig) -> TrainConfig:
    """How an encoder of others learns from feedback.

    >>> encoder_config(RetrainingConfig(tune="top-k:2")).tune
    'top-k:2'
    """
    tune = ENCODER_PARTS[config.preset] if config.tune == BY_PRESET else config.tune
    return TrainConfig.tune_encoder(
        tune=tune,
        epochs=ENCODER_EPOCHS[config.preset],
        learning_rate=ENCODER_RATES[tune.partition(":")[0]],
        seed=config.seed,
        threads=1,
        choose_best=False,
    )


def check_network(config: RetrainingConfig, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse what a network of ours cannot learn.

    Raises:
        TrainingDataError: where `tune` names a part that it does not have, or asks for all layers without base corpora.

    >>> check_network(RetrainingConfig(tune="lora"), {})
    Traceback (most recent call last):
    ser.errors.TrainingDataError: tune is 'lora', but a network of this project is in use. Take auto, head or full.
    """
    if config.tune not in (BY_PRESET, "head", "full"):
        raise TrainingDataError(
            f"tune is '{config.tune}', but a network of this project is in use. Take auto, head or full."
        )
    if config.tune == "full" and not preset_of(config, environ).base:
        raise TrainingDataError(
            "tune is 'full', but there are no base corpora to keep all layers from forgetting. "
            f"Name their folders in {BASE_DATA}, or take head."
        )


def in_words(config: RetrainingConfig, *, encoder: bool = False, environ: Mapping[str, str] = os.environ) -> str:
    """What a run would do, for people.

    Args:
        config: of the run.
        encoder: whether the acoustic model in use is one of others.
        environ: names the base corpora.

    >>> in_words(RetrainingConfig(preset="thorough"), environ={"SER_BASE_DATA": "data/ravdess"}).split(". ")[1]
    'Then all layers learn, with the base corpora beside the feedback.'
    >>> in_words(RetrainingConfig(), encoder=True)
    'Teaches what stands behind the encoder, which stays as it is.'
    """
    if config.target != "acoustic":
        return MEANINGS[config.target, config.preset]
    if encoder:
        return ENCODER_MEANINGS[encoder_config(config).tune.partition(":")[0]]
    meaning = MEANINGS[config.target, config.preset]
    if preset_of(config, environ).deep is None:
        return meaning
    return f"{meaning} Then all layers learn, with the base corpora beside the feedback."


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
