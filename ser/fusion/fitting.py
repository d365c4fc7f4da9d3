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

USUAL_CHANGE = np.array([0.25, 0.5, 0.5, 0.25, 0.5])
"""Change that costs `PRIOR_CLIPS` nats: of the words' share, of the logarithms of both temperatures, and of a language
model's share and temperature."""

SHARES = (0, 3)
"""Places of the shares among the parameters; the others are logarithms of temperatures."""

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
        opinion: what a language model said; None if it was not asked.
        read: what it has read; there where `opinion` is.
    """

    acoustic: EmotionScores
    text: EmotionScores | None
    transcript: Transcript | None
    truth: Mapping[str, float]
    weight: float = 1.0
    opinion: EmotionScores | None = None
    read: Transcript | None = None


def answer(rule: FusionRule, clip: AnsweredClip) -> EmotionScores:
    """Apply the rule to a clip."""
    fused = rule.temper_acoustic(clip.acoustic)
    if clip.text is not None and clip.transcript is not None:
        fused, _ = rule.join(clip.acoustic, clip.text, clip.transcript)
    if clip.opinion is not None and clip.read is not None:
        fused, _ = rule.add_opinion(fused, clip.opinion, clip.read)
    return fused


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
    asked = any(clip.opinion is not None for clip in clips)
    weights = np.array([clip.weight for clip in clips])
    # What is never said anything of is no part of the search.
    origin = _parameters(start)[: None if asked else 3]
    usual = USUAL_CHANGE[: len(origin)]

    def cost(values: npt.NDArray[np.float64]) -> float:
        loss = float(weights @ log_losses(_rule(values, start, spoken), clips))
        return (loss + PRIOR_CLIPS * float((((values - origin) / usual) ** 2).sum())) / float(
            weights.sum() + PRIOR_CLIPS
        )

    low, high = np.log(TEMPERATURE_RANGE)
    # The threshold under which words count for nothing makes the cost jump: no gradients.
    found = minimize(
        cost,
        origin,
        method="Nelder-Mead",
        bounds=[(0.0, 1.0), (low, high), (low, high), (0.0, 1.0), (low, high)][: len(origin)],
        options={
            "xatol": 1e-3,
            "fatol": 1e-6,
            "maxiter": 100 * len(origin),
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
    temperatures = np.log([rule.acoustic_temperature, rule.text_temperature, rule.opinion_temperature])
    return np.array([rule.max_weight, *temperatures[:2], rule.opinion_weight, temperatures[2]])


def _rule(values: npt.NDArray[np.float64], start: FusionRule, spoken: bool) -> FusionRule:
    rule = replace(start, acoustic_temperature=float(np.exp(values[1])))
    if spoken:
        rule = replace(rule, max_weight=float(values[0]), text_temperature=float(np.exp(values[2])))
    if len(values) > 3:
        rule = replace(rule, opinion_weight=float(values[3]), opinion_temperature=float(np.exp(values[4])))
    return rule


def _simplex(origin: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Corners far enough from the start that none of them falls on the same side of the threshold by chance."""
    corners = np.tile(origin, (len(origin) + 1, 1))
    for place, value in enumerate(origin):
        share = place in SHARES
        corners[place + 1, place] += 0.3 if share and value <= 0.5 else -0.3 if share else -0.4 if value > 0.4 else 0.4
    lows, highs = (
        [0.0 if p in SHARES else low for p in range(len(origin))],
        [1.0 if p in SHARES else high for p in range(len(origin))],
    )
    return np.clip(corners, lows, highs)
