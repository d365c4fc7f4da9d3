"""Settings of a training run, as the store keeps them with it. Knows no process, no model and no database."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from annotations.learning.promotion.decision import PromotionRule
from annotations.store.records import TARGETS
from ser.config import TUNES
from ser.errors import SettingsError

PRESETS = ("quick", "thorough")
"""`quick` is done within minutes on two CPU cores; `thorough` takes the time that the best result needs."""

BY_PRESET = "auto"
"""Marks that the preset chooses the layers to train."""


@dataclass(frozen=True)
class RetrainingConfig:
    """Settings of a run that trains on feedback.

    Attributes:
        epochs: passes over the feedback where a pretrained encoder is fine-tuned; the preset's if None.
        learning_rate: of AdamW, likewise.
        seed: draws order and augmentation.
        device: `auto` takes CUDA if there is one.
        confidence: of the paired bootstrap that a new model has to pass to replace the old one.
        min_gain: least gain in unweighted average recall on held-out feedback, 0..1.
        base: what training starts from, as the target's loader takes it; filled in when a run starts.
        origin: the same of the model that the program began with, for runs that start from it; filled in when a run
            is asked for.
        target: what is trained, one of `records.TARGETS`.
        preset: one of `PRESETS`.
        tune: what of an acoustic model learns: `auto`, or `head` or `full` of a network of ours, or of an encoder of
            others what `ser.config.TrainConfig` names.

    Raises:
        SettingsError: for a target, a preset or a part that there is none of.
    """

    epochs: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    device: str = "auto"
    confidence: float = 0.95
    min_gain: float = 0.01
    base: str = ""
    origin: str = ""
    target: str = "acoustic"
    preset: str = "quick"
    tune: str = BY_PRESET

    def __post_init__(self) -> None:
        for name, value, known in (("target", self.target, TARGETS), ("preset", self.preset, PRESETS)):
            if value not in known:
                raise SettingsError(f"{name} is '{value}'; expected one of {', '.join(known)}.")
        if not re.fullmatch(f"{BY_PRESET}|{TUNES}", self.tune):
            raise SettingsError(
                f"tune is '{self.tune}'; expected auto, head, frozen, top-k:N (N from 1), lora, adalora or full."
            )

    @property
    def rule(self) -> PromotionRule:
        """The conditions that a candidate of this run has to meet."""
        return PromotionRule(self.confidence, self.min_gain, self.seed)

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "RetrainingConfig":
        """Read stored settings; those of later versions of the program are ignored.

        >>> RetrainingConfig.of({"epochs": 3, "unheard_of": 1}).epochs
        3
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})  # type: ignore[arg-type]
