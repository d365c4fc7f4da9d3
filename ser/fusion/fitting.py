"""Fit of the fusion rule to labelled answers.

Takes scores that were given before; runs no model, knows no storage.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ser.errors import TrainingDataError
from ser.evaluation.metrics import TEMPERATURE_RANGE
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Transcript

MIN_CLIPS = 20
MIN_LABELS = 2

PRIOR_CLIPS = 5.0
"""Clips that the current rule weighs as much as: few examples move it little."""

USUAL_CHANGE = np.array([0.25, 0.5, 0.5])
"""Change of the words' share and of the logarithms of both temperatures that costs `PRIOR_CLIPS` nats."""

LEAST = 1e-4
"""Probability that a label counts as having at least, so that one zero does not outweigh all the rest."""


@dataclass(frozen=True)
class AnsweredClip:
    """An answer and the truth.

    Attributes:
        acoustic: what the voice said.
        text: what the words said; None if they abstained.
        transcript: what the words were read from; there where `text` is.
        truth: {label: share}, shares sum to 1.
        weight: relative to 1.
    """

    acoustic: EmotionScores
    text: EmotionScores | None
    transcript: Transcript | None
    truth: Mapping[str, float]
    weight: float = 1.0


def answer(rule: FusionRule, clip: AnsweredClip) -> EmotionScores:
    """Apply the rule to a clip."""
    if clip.text is None or clip.transcript is None:
        return rule.temper_acoustic(clip.acoustic)
    return rule.join(clip.acoustic, clip.text, clip.transcript)[0]


def log_losses(rule: FusionRule, clips: Sequence[AnsweredClip]) -> npt.NDArray[np.float64]:
    """Cross entropy of each answer, nats, shape (clips,); 0 is certain and right."""
    said = np.array([answer(rule, clip).probabilities for clip in clips]).reshape(-1, len(EMOTIONS))
    truth = np.array([[clip.truth.get(label, 0.0) for label in EMOTIONS] for clip in clips]).reshape(said.shape)
    losses: npt.NDArray[np.float64] = -(truth * np.log(np.maximum(said, LEAST))).sum(1)
    return losses


def fit_fusion_rule(clips: Sequence[AnsweredClip], start: FusionRule) -> FusionRule:
    """Fit the rule under which the answers explain the truths best, held to the current one by a prior.

    Source: the weights of a logarithmic opinion pool by likelihood, as in Heskes 1998, "Selecting Weighting Factors
    in Logarithmic Opinion Pools"; the temperatures as in Guo et al. 2017, https://arxiv.org/abs/1706.04599.

    Args:
        clips: at least `MIN_CLIPS`, of at least `MIN_LABELS` labels.
        start: the current rule; it counts as `PRIOR_CLIPS` clips. Where the words never say anything, their part of it
            stays.

    Raises:
        TrainingDataError: if there are too few clips or labels, with the numbers needed.
    """
    check_clips(clips)
    spoken = any(clip.text is not None for clip in clips)
    weights = np.array([clip.weight for clip in clips])
    origin = _parameters(start)

    def cost(values: npt.NDArray[np.float64]) -> float:
        loss = float(weights @ log_losses(_rule(values, start, spoken), clips))
        return (loss + PRIOR_CLIPS * float((((values - origin) / USUAL_CHANGE) ** 2).sum())) / float(
            weights.sum() + PRIOR_CLIPS
        )

    low, high = np.log(TEMPERATURE_RANGE)
    # The threshold under which words count for nothing makes the cost jump: no gradients.
    found = minimize(
        cost,
        origin,
        method="Nelder-Mead",
        bounds=[(0.0, 1.0), (low, high), (low, high)],
        options={
            "xatol": 1e-3,
            "fatol": 1e-6,
            "maxiter": 300,
            "initial_simplex": _simplex(origin, low, high),
        },
    )
    return _rule(found.x, start, spoken)


def check_clips(clips: Sequence[AnsweredClip]) -> None:
    """Refuse too few clips.

    Raises:
        TrainingDataError: with the numbers needed.
    """
    labels = Counter(max(EMOTIONS, key=lambda label, clip=clip: clip.truth.get(label, 0.0)) for clip in clips)  # type: ignore[misc]
    if len(clips) < MIN_CLIPS or len(labels) < MIN_LABELS:
        raise TrainingDataError(
            f"{len(clips)} clips of {len(labels)} different labels have an answer to fit the fusion to; "
            f"{MIN_CLIPS} clips of {MIN_LABELS} labels are needed. Let the model answer more clips, and label them."
        )


def _parameters(rule: FusionRule) -> npt.NDArray[np.float64]:
    return np.array([rule.max_weight, np.log(rule.acoustic_temperature), np.log(rule.text_temperature)])


def _rule(values: npt.NDArray[np.float64], start: FusionRule, spoken: bool) -> FusionRule:
    acoustic = float(np.exp(values[1]))
    if not spoken:
        return replace(start, acoustic_temperature=acoustic)
    return replace(
        start, max_weight=float(values[0]), acoustic_temperature=acoustic, text_temperature=float(np.exp(values[2]))
    )


def _simplex(origin: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Corners far enough from the start that none of them falls on the same side of the threshold by chance."""
    corners = np.tile(origin, (4, 1))
    corners[1, 0] += -0.3 if origin[0] > 0.5 else 0.3
    for row in (2, 3):
        corners[row, row - 1] += -0.4 if origin[row - 1] > 0.4 else 0.4
    return np.clip(corners, [0.0, low, low], [1.0, high, high])
