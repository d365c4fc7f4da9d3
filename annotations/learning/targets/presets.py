"""Effort each target is trained: what `quick` and `thorough` stand for. Pure; knows no store and no run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from annotations.learning.config import BY_PRESET, RetrainingConfig
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.training.heads import FineTuneConfig

MEANINGS: Mapping[tuple[str, str], str] = {
    ("acoustic", "quick"): "Trains the classifier head; replays base data so that old skills are kept.",
    ("acoustic", "thorough"): "Trains the classifier head on augmented copies of each clip as well, and chooses on "
    "speakers left out how far to go; replays base data.",
    ("text", "quick"): "Goes through the written transcripts a few times.",
    ("text", "thorough"): "Goes through the written transcripts more than twice as often.",
    ("fusion", "quick"): "Fits a few numbers; both efforts do the same.",
    ("fusion", "thorough"): "Fits a few numbers; both efforts do the same.",
    ("transcriber", "quick"): "Goes through the corrected transcripts a few times.",
    ("transcriber", "thorough"): "Goes through the corrected transcripts three times as often.",
}
"""Sentences for people, by target and preset."""

ENCODER_MEANINGS: Mapping[str, str] = {
    "full": "Trains all layers of the encoder and the classifier head.",
    "top-k": "Trains the encoder's last layers and the classifier head.",
    "frozen": "Trains the classifier head; the encoder is frozen.",
    "head": "Trains the last layer alone.",
}
"""Sentences for people, by the trained part of a pretrained encoder."""

ADAPTER_MEANING = "Trains adapters in the encoder ({tune}) and the classifier head."

ENCODER_PARTS: Mapping[str, str] = {"quick": "frozen", "thorough": "full"}
"""Trained part of a pretrained encoder, by preset."""

ENCODER_EPOCHS: Mapping[str, int] = {"quick": 8, "thorough": 5}
"""The fewer weights are trained, the more often the clips may be gone through."""

ENCODER_RATES: Mapping[str, float] = {"full": 5e-5, "top-k": 5e-5, "lora": 2e-4, "adalora": 5e-4}
"""Peak of AdamW's rate by what is trained: few new weights bear larger steps than many that hold something already."""

NEW_WEIGHTS_RATE = 1e-3


@dataclass(frozen=True)
class HeadPreset:
    """Settings for fine-tuning a head on a frozen encoder.

    Attributes:
        copies: augmented copies of each clip, embedded with the untouched one.
        strengths: ways that are compared out of fold; the first one is the usual.
    """

    copies: int
    strengths: tuple[FineTuneConfig, ...]


USUAL = FineTuneConfig(penalty=0.1, rehearsal=48.0, iterations=30)
"""Chosen by `benchmarks.learning_curve`. The base weighs much: its clips are held to the head's own predictions, which
costs the corrections little. With 48 in place of 4, 100 corrections gain 1 to 3 points less, and the base test, which
fell by up to 5, falls by less than 2; 100 gains another point less and keeps no more. So near to where it starts, half
of the usual iterations give the same."""

QUICK = HeadPreset(0, (USUAL,))
THOROUGH = HeadPreset(4, tuple(replace(USUAL, penalty=USUAL.penalty * factor) for factor in (1.0, 0.3, 3.0, 0.1)))


def preset_of(config: RetrainingConfig) -> HeadPreset:
    """Return the settings of a run's preset for a head on a frozen encoder.

    >>> [preset_of(RetrainingConfig(preset=name)).copies for name in ("quick", "thorough")]
    [0, 4]
    """
    return QUICK if config.preset == "quick" else THOROUGH


def encoder_config(config: RetrainingConfig) -> TrainConfig:
    """Build the settings for fine-tuning a pretrained encoder from feedback.

    >>> encoder_config(RetrainingConfig(tune="top-k:2")).tune
    'top-k:2'
    """
    tune = ENCODER_PARTS[config.preset] if config.tune == BY_PRESET else config.tune
    return TrainConfig(
        tune=tune,
        epochs=config.epochs or ENCODER_EPOCHS[config.preset],
        learning_rate=config.learning_rate or ENCODER_RATES.get(tune.partition(":")[0], NEW_WEIGHTS_RATE),
        seed=config.seed,
        threads=1,
        choose_best=False,
    )


def check_tune(config: RetrainingConfig) -> None:
    """Refuse to train what a head on a frozen encoder does not have.

    Raises:
        TrainingDataError: if `tune` names a part of the encoder.

    >>> check_tune(RetrainingConfig(tune="lora"))
    Traceback (most recent call last):
    ser.errors.TrainingDataError: tune is 'lora', but the encoder of the current model is frozen. Take auto or head.
    """
    if config.tune not in (BY_PRESET, "head", "frozen"):
        raise TrainingDataError(
            f"tune is '{config.tune}', but the encoder of the current model is frozen. Take auto or head."
        )


def in_words(config: RetrainingConfig, *, encoder: bool = False) -> str:
    """Describe a run for people.

    Args:
        config: of the run.
        encoder: whether the current acoustic model is a checkpoint that is fine-tuned as a whole.

    >>> in_words(RetrainingConfig(), encoder=True)
    'Trains the classifier head; the encoder is frozen.'
    """
    if config.target != "acoustic" or not encoder:
        return MEANINGS[config.target, config.preset]
    tune = encoder_config(config).tune
    return ENCODER_MEANINGS.get(tune.partition(":")[0]) or ADAPTER_MEANING.format(tune=tune)
