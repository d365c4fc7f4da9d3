"""How sound and words are put together, as a thing that can be learnt, saved and replaced like any other model.

The arithmetic is in `ser.fusion`; here are its parameters and their file. Learning them is in `ser.fusion_fitting`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ser.calibration import TEMPERATURE_RANGE
from ser.checkpoints import META_FILE, current_commit, file_sha256, verify
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.fusion import MAX_WEIGHT, fuse, text_weight
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Transcript

WEIGHTS_FILE = "fusion.safetensors"
"""A few numbers, in the form that all weights have: what checks, keeps and publishes versions need know no other."""

PARAMETERS = ("max_weight", "acoustic_temperature", "text_temperature")
TEXT_TEMPERATURE = 1.2
"""Of the shipped rule: the surest that costs no more than half a point of UAR where words say nothing.

Source: `python -m ser.fusion_recipe --data ../shared/data --out DIR`."""


@dataclass(frozen=True)
class FusionRule:
    """How much the words weigh, and how sure each side's answers are taken to be; the defaults ship.

    Attributes:
        max_weight: share of words that are surely understood and say one emotion plainly, 0..1.
        acoustic_temperature: above 1 makes the sound's scores less sure.
        text_temperature: the same for the words'.
        name: of the version.
    """

    max_weight: float = MAX_WEIGHT
    acoustic_temperature: float = 1.0
    text_temperature: float = TEXT_TEMPERATURE
    name: str = EMBEDDED

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_weight <= 1.0:
            raise ValueError(f"max_weight is {self.max_weight}; it must lie in 0..1")
        low, high = TEMPERATURE_RANGE
        for temperature in (self.acoustic_temperature, self.text_temperature):
            if not low - 1e-6 <= temperature <= high + 1e-6:
                raise ValueError(f"a temperature is {temperature}; it must lie in {low}..{high}")

    def hear(self, acoustic: EmotionScores) -> EmotionScores:
        """The answer where only the sound says something."""
        return temper(acoustic, self.acoustic_temperature)

    def join(self, acoustic: EmotionScores, text: EmotionScores, transcript: Transcript) -> tuple[EmotionScores, float]:
        """The answer of sound and words, and the words' share in it.

        Args:
            acoustic: as the acoustic model gives it.
            text: as the text model gives it.
            transcript: what `text` was read from; the surer it is, the more the words weigh.
        """
        words = temper(text, self.text_temperature)
        weight = text_weight(transcript, words, self.max_weight)
        return fuse(self.hear(acoustic), words, weight), weight


def temper(scores: EmotionScores, temperature: float) -> EmotionScores:
    """Scores made less sure (above 1) or surer (below 1); their order stays.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599: the same
    as dividing the logits, up to a constant that the sum takes away.

    >>> temper(EmotionScores.from_dict({"anger": 0.9, "fear": 0.1}), 2.0).as_dict()["anger"]
    0.75
    """
    if temperature == 1.0:
        return scores
    known = np.array(scores.probabilities)
    powers = np.where(known > 0, known, 0.0) ** (1.0 / temperature)
    shares = np.clip(powers / powers.sum(), 0.0, 1.0)
    return EmotionScores(tuple(shares.tolist()), scores.unmapped, scores.intensity)


def save_fusion_rule(
    rule: FusionRule, folder: Path, *, name: str, data: Mapping[str, object], metrics: Mapping[str, float]
) -> str:
    """Write a rule into a folder; its meta file comes last, so that a folder that has one is complete.

    Args:
        rule: to save.
        folder: made where absent.
        name: of the version.
        data: what it was learnt from.
        metrics: how it does.

    Returns:
        SHA-256 of the file of weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {key: np.array([getattr(rule, key)], dtype=np.float64) for key in PARAMETERS}
    save_file(values, folder / WEIGHTS_FILE)
    sha256 = file_sha256(folder / WEIGHTS_FILE)
    meta = {
        "name": name,
        "kind": "fusion-rule",
        "labels": list(EMOTIONS),
        "temperature": 1.0,
        "config": {key: value for key, value in asdict(rule).items() if key in PARAMETERS},
        "git_commit": current_commit(),
        "sha256": sha256,
        "data": dict(data),
        "metrics": dict(metrics),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    partial = folder / f"{META_FILE}.partial"
    partial.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    partial.replace(folder / META_FILE)
    return sha256


def load_fusion_rule(name_or_dir: str | Path) -> FusionRule:
    """The rule that ships with the program, `embedded`, or what `save_fusion_rule` wrote.

    Raises:
        ModelUnavailableError: where a file is absent, damaged, or not a rule.
    """
    if str(name_or_dir) == EMBEDDED:
        return FusionRule()
    folder = Path(name_or_dir)
    meta = verify(folder, WEIGHTS_FILE)
    try:
        values = load_file(folder / WEIGHTS_FILE)
        return FusionRule(**{key: float(values[key][0]) for key in PARAMETERS}, name=meta.name)
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise ModelUnavailableError(
            f"{folder / WEIGHTS_FILE} is no rule of fusion ({error}); expected {', '.join(PARAMETERS)}. Train it again."
        ) from error
