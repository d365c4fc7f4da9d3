"""Fits a model's answers to one speaker, from clips of that speaker that nobody has labelled.

A voice that lies low or sounds worried by nature pulls every answer the same way; what a speaker's clips have in common
says who speaks, not what is felt. Knows scores only, so that it works with any model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.types import EmotionScores

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
        mean = _log_odds([score.probabilities for score in scores]).mean(0)
        return cls(tuple(mean.tolist()), len(scores))

    def adapt(self, scores: EmotionScores) -> EmotionScores:
        """The answer to another clip of the speaker, with the voice's own tendency taken out.

        Labels that the model does not know (probability 0) stay at 0.

        >>> sad_voice = SpeakerProfile.from_scores([EmotionScores.from_dict({"sadness": 0.9, "anger": 0.1})] * 8)
        >>> sad_voice.adapt(EmotionScores.from_dict({"sadness": 0.6, "anger": 0.4})).label
        'anger'
        """
        probabilities = np.array(scores.probabilities)
        known = probabilities > 0.0
        share = self.clips / (self.clips + TRUST)
        logits = _log_odds([scores.probabilities])[0] - share * np.array(self.tendency)
        # Largest first: exp() of the differences cannot overflow.
        adapted = np.where(known, np.exp(logits - logits[known].max()), 0.0)
        return EmotionScores(tuple((adapted / adapted.sum()).tolist()), scores.unmapped)


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
    generator = np.random.default_rng(seed)
    places: dict[str, list[int]] = {}
    for place, speaker in enumerate(speakers):
        places.setdefault(speaker, []).append(place)
    adapted = list(scores)
    for place, speaker in enumerate(speakers):
        others = [other for other in places[speaker] if other != place]
        if not others:
            continue
        drawn = generator.choice(others, size=min(clips, len(others)), replace=False)
        adapted[place] = SpeakerProfile.from_scores([scores[other] for other in drawn]).adapt(scores[place])
    return adapted


def _log_odds(probabilities: Sequence[Sequence[float]]) -> npt.NDArray[np.float64]:
    """Log-probabilities less their mean over the labels that the model gives anything at all; shape unchanged."""
    rows = np.array(probabilities, dtype=np.float64)
    known = rows > 0.0
    logs = np.log(np.maximum(rows, FLOOR))
    means = np.where(known, logs, 0.0).sum(1, keepdims=True) / known.sum(1, keepdims=True)
    return np.where(known, logs - means, 0.0)
