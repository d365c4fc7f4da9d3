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

NAMES = (
    "acoustic_temperature",
    *("max_weight", "text_temperature"),
    *("opinion_weight", "opinion_temperature"),
    *("face_weight", "face_temperature"),
)
"""Parameters of the rule: the voice's, and those of words, a language model and faces, where any said something."""

USUAL_CHANGE, USUAL_LOG_CHANGE = 0.25, 0.5
"""Change of a share, and of the logarithm of a temperature, that costs `PRIOR_CLIPS` nats."""

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
        face: what a face showed; None without a picture, or if it abstained.
    """

    acoustic: EmotionScores
    text: EmotionScores | None
    transcript: Transcript | None
    truth: Mapping[str, float]
    weight: float = 1.0
    opinion: EmotionScores | None = None
    read: Transcript | None = None
    face: EmotionScores | None = None


def answer(rule: FusionRule, clip: AnsweredClip) -> EmotionScores:
    """Apply the rule to a clip."""
    fused = rule.temper_acoustic(clip.acoustic)
    if clip.text is not None and clip.transcript is not None:
        fused, _ = rule.join(clip.acoustic, clip.text, clip.transcript)
    if clip.opinion is not None and clip.read is not None:
        fused, _ = rule.add_opinion(fused, clip.opinion, clip.read)
    if clip.face is not None:
        fused, _ = rule.add_face(fused, clip.face)
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
    said = (True, *(any(getattr(clip, part) is not None for clip in clips) for part in ("text", "opinion", "face")))
    # What is never said anything of is no part of the search.
    names = [name for place, name in enumerate(NAMES) if said[(place + 1) // 2]]
    weights = np.array([clip.weight for clip in clips])
    origin = np.array([_value(start, name) for name in names])
    usual = np.array([USUAL_CHANGE if _is_share(name) else USUAL_LOG_CHANGE for name in names])

    def cost(values: npt.NDArray[np.float64]) -> float:
        loss = float(weights @ log_losses(_rule(values, names, start), clips))
        return (loss + PRIOR_CLIPS * float((((values - origin) / usual) ** 2).sum())) / float(
            weights.sum() + PRIOR_CLIPS
        )

    bounds = [(0.0, 1.0) if _is_share(name) else tuple(np.log(TEMPERATURE_RANGE)) for name in names]
    # The threshold under which words count for nothing makes the cost jump: no gradients.
    found = minimize(
        cost,
        origin,
        method="Nelder-Mead",
        bounds=bounds,
        options={
            "xatol": 1e-3,
            "fatol": 1e-6,
            "maxiter": 100 * len(origin),
            "initial_simplex": _simplex(origin, names, bounds),
        },
    )
    return _rule(found.x, names, start)


def check_clips(clips: Sequence[AnsweredClip]) -> None:
    """Refuse too few clips.

    Raises:
        TrainingDataError: with the numbers needed.
    """
    labels = Counter(max(EMOTIONS, key=lambda label, clip=clip: clip.truth.get(label, 0.0)) for clip in clips)  # type: ignore[misc]
    if len(clips) < MIN_CLIPS or len(labels) < MIN_LABELS:
        raise TrainingDataError(
            f"Clips with an answer to fit the fusion to: {len(clips)}, of different labels: {len(labels)}; "
            f"{MIN_CLIPS} clips of {MIN_LABELS} labels are needed. Let the model answer more clips, and label them."
        )


def _is_share(name: str) -> bool:
    return name.endswith("weight")


def _value(rule: FusionRule, name: str) -> float:
    value: float = getattr(rule, name)
    return value if _is_share(name) else float(np.log(value))


def _rule(values: npt.NDArray[np.float64], names: Sequence[str], start: FusionRule) -> FusionRule:
    found = {
        name: float(value if _is_share(name) else np.exp(value)) for name, value in zip(names, values, strict=True)
    }
    return replace(start, **found)  # type: ignore[arg-type]


def _simplex(
    origin: npt.NDArray[np.float64], names: Sequence[str], bounds: Sequence[tuple[float, ...]]
) -> npt.NDArray[np.float64]:
    """Corners far enough from the start that none of them falls on the same side of the threshold by chance."""
    corners = np.tile(origin, (len(origin) + 1, 1))
    for place, (value, name) in enumerate(zip(origin, names, strict=True)):
        step = 0.3 if _is_share(name) else 0.4
        corners[place + 1, place] += step if value <= (0.5 if _is_share(name) else 0.4) else -step
    return np.clip(corners, *np.transpose(bounds))
