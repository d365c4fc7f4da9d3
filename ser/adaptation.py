"""Fits a model's answers to one speaker, from clips of that speaker that nobody has labelled.

A voice that lies low or sounds worried by nature pulls every answer the same way; what a speaker's clips have in common
says who speaks, not what is felt. Knows scores only, so that it works with any model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ser.fusion import fuse
from ser.types import EmotionScores, Recognition

TRUST = 2.0
"""Clips that count as much as not knowing the speaker: k clips take out k / (k + TRUST) of what they have in common.

Source: shrinkage of a group's mean towards the whole, as in Efron & Morris 1975, "Data analysis using Stein's estimator
and its generalizations", https://doi.org/10.1080/01621459.1975.10479864; the value was chosen on the dev speakers."""

FLOOR = 1e-4
"""Probability under which an answer counts as this: one clip's near zero must not decide over the others."""


@dataclass(frozen=True)
class SpeakerProfile:
    """What a model says of a speaker whatever they feel.

    Attributes:
        tendency: mean log-probability of each of `ser.labels.EMOTIONS`, less the mean over them.
        clips: how many recordings that comes from.
    """

    tendency: tuple[float, ...]
    clips: int

    @classmethod
    def from_scores(cls, scores: Sequence[EmotionScores]) -> "SpeakerProfile":
        """From a model's plain answers to some of the speaker's clips.

        The clips should be of mixed feelings, as they come: what all of them share is taken for the voice.

        Args:
            scores: of at least one clip; four make a difference, sixteen a good one.

        Raises:
            ValueError: where there are none.

        >>> calm = EmotionScores.from_dict({"neutral": 0.8, "anger": 0.2})
        >>> SpeakerProfile.from_scores([calm, calm]).clips
        2
        """
        if not scores:
            raise ValueError("a speaker's profile needs at least one clip, and 0 were given")
        mean = _log_odds(np.array([score.probabilities for score in scores])).mean(0)
        return cls(tuple(mean.tolist()), len(scores))

    def adapt(self, scores: EmotionScores) -> EmotionScores:
        """The answer to another clip of the speaker, with the voice's own tendency taken out.

        Labels that the model does not know (probability 0) stay at 0.

        >>> sad_voice = SpeakerProfile.from_scores([EmotionScores.from_dict({"sadness": 0.9, "anger": 0.1})] * 8)
        >>> sad_voice.adapt(EmotionScores.from_dict({"sadness": 0.6, "anger": 0.4})).label
        'anger'
        """
        row = np.array([scores.probabilities])
        adapted = _without(row, np.array([self.tendency]), np.array([self.clips]))[0]
        return replace(scores, probabilities=tuple(adapted.tolist()))


def adapt_to_speakers(
    scores: Sequence[EmotionScores], speakers: Sequence[str], clips: int, seed: int = 0
) -> list[EmotionScores]:
    """Adapt every answer by drawn other clips of its speaker.

    Args:
        scores: plain answers.
        speakers: of each.
        clips: how many others to draw for each; fewer where the speaker has fewer.
        seed: of the draws.

    Returns:
        Adapted answers in the same order; a speaker's only clip keeps its plain answer.

    >>> plain = [EmotionScores.from_dict({"anger": p, "fear": 1 - p}) for p in (0.9, 0.7)]
    >>> [score.label for score in adapt_to_speakers(plain, ["ann", "ann"], clips=1)]
    ['anger', 'anger']
    """
    rows = adapt_rows(np.array([score.probabilities for score in scores]), speakers, clips, seed)
    return [replace(score, probabilities=tuple(row.tolist())) for row, score in zip(rows, scores, strict=True)]


def adapt_recognitions(answers: Sequence[Recognition]) -> list[Recognition]:
    """Adapt each of several answers to one speaker by all the others.

    Args:
        answers: complete ones, to recordings of the same speaker.

    Returns:
        Answers in the same order with `acoustic` and `fused` adapted, and a note that says so; a single one as it is.
    """
    if len(answers) < 2:
        return list(answers)
    adapted = adapt_to_speakers([answer.acoustic for answer in answers], ["one"] * len(answers), len(answers))
    note = f"Adapted to the speaker by {len(answers) - 1} other recordings."
    return [
        replace(
            answer,
            acoustic=acoustic,
            fused=fuse(acoustic, answer.text, answer.text_weight) if answer.text else acoustic,
            notes=(*answer.notes, note),
        )
        for answer, acoustic in zip(answers, adapted, strict=True)
    ]


def adapt_rows(
    probabilities: npt.NDArray[np.float64], speakers: Sequence[str], clips: int, seed: int = 0
) -> npt.NDArray[np.float64]:
    """As `adapt_to_speakers`, for rows of probabilities over any labels, shape (answers, labels)."""
    generator = np.random.default_rng(seed)
    places: dict[str, list[int]] = {}
    for place, speaker in enumerate(speakers):
        places.setdefault(speaker, []).append(place)
    odds = _log_odds(probabilities)
    tendencies, counts = np.zeros_like(odds), np.zeros(len(odds), dtype=np.int64)
    for place, speaker in enumerate(speakers):
        others = [other for other in places[speaker] if other != place]
        if others:
            drawn = generator.choice(others, size=min(clips, len(others)), replace=False)
            tendencies[place], counts[place] = odds[drawn].mean(0), len(drawn)
    return np.where(counts[:, None] > 0, _without(probabilities, tendencies, counts), probabilities)


def _without(
    probabilities: npt.NDArray[np.float64], tendencies: npt.NDArray[np.float64], clips: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Take the speakers' tendencies out, as far as so many clips can be trusted; all but `clips` (answers, labels)."""
    known = probabilities > 0.0
    logits = _log_odds(probabilities) - (clips / (clips + TRUST))[:, None] * tendencies
    # Less the largest: exp() of the differences cannot overflow.
    largest = np.where(known, logits, -np.inf).max(1, keepdims=True)
    adapted = np.where(known, np.exp(logits - largest), 0.0)
    return np.asarray(adapted / adapted.sum(1, keepdims=True))


def _log_odds(probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Log-probabilities less their mean over the labels that the model gives anything at all; shape unchanged."""
    known = probabilities > 0.0
    logs = np.log(np.maximum(probabilities, FLOOR))
    means = np.where(known, logs, 0.0).sum(1, keepdims=True) / known.sum(1, keepdims=True)
    return np.where(known, logs - means, 0.0)
