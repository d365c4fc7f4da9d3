"""Fusion of voice, words and a language model's opinion: weights, pooling, and the rule's parameters and file.

Functions of transcripts and scores; knows no model. The constants were chosen on the development speakers
ravdess_04, 10, 12 and 14, transcribed by pocketsphinx and paired with sentences of the GoEmotions dev set; see
`benchmarks.fusion`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ser.checkpoints.folder import Meta, save_checkpoint, verify
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.evaluation.metrics import TEMPERATURE_RANGE
from ser.fusion.remarks import MIN_CONFIDENCE, UNFAMILIAR, find_doubt, remark
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Recognition, Transcript

if TYPE_CHECKING:
    from ser.face import FaceAnswer

UNKNOWN_CONFIDENCE = 0.8
"""Assumed where a recogniser gives no confidences."""

MAX_WEIGHT = 0.6
"""Share of the words at their best: words that are surely understood and say one emotion plainly. More gained little
where words say something, and voice and words should weigh about the same where they contradict each other."""

MIN_WEIGHT = 0.05
"""A smaller share is none: it could only tip an answer that stands on the edge, by words that say next to nothing."""


def text_weight(transcript: Transcript, text: EmotionScores, max_weight: float = MAX_WEIGHT) -> float:
    """The share of the words in the pooled answer.

    It falls to 0 as the transcript's confidence falls to `MIN_CONFIDENCE`, as the words come near to neutral, and as
    their scores come near to knowing nothing: neutral words contradict no emotion in the voice.

    Args:
        transcript: its confidence counts.
        text: what the words say.
        max_weight: the share of the words at their best, 0..1.

    Returns:
        0, or `MIN_WEIGHT`..`max_weight`.

    >>> sure = Transcript("i hate you", "en", (), "a person")
    >>> text_weight(sure, EmotionScores.from_dict({"neutral": 1.0}))
    0.0
    >>> round(text_weight(sure, EmotionScores.from_dict({"anger": 1.0})), 2)
    0.36
    """
    known = transcript.confidence
    confidence = UNKNOWN_CONFIDENCE if known is None else known
    trust = min(1.0, max(0.0, (confidence - MIN_CONFIDENCE) / (1.0 - MIN_CONFIDENCE)))
    weight = max_weight * trust * informativeness(text)
    return weight if weight >= MIN_WEIGHT else 0.0


def informativeness(text: EmotionScores) -> float:
    """Informativeness of words: 0 for neutral words and for scores that know nothing, 1 for one emotion and no doubt.

    The square holds back words that are neutral for the most part, which wrongly recognised words mostly are: with a
    weak acoustic model RAVDESS lost nothing with it, and up to a point and a half of UAR without.

    >>> informativeness(EmotionScores((1 / 7,) * 7)) < 1e-6
    True
    """
    emotional = 1.0 - text.as_dict()["neutral"]
    return emotional**2 * math.sqrt(max(0.0, 1.0 - text.entropy))


def fuse(acoustic: EmotionScores, text: EmotionScores, weight: float) -> EmotionScores:
    """Logarithmic opinion pool: the weighted geometric mean of both opinions, brought to sum 1.

    A label with probability exactly 0 is one that a model does not know. It then follows the other model on that
    label, in the measure in which the other counts, so that ignorance is no veto.

    Source: Genest & Zidek 1986, "Combining Probability Distributions: A Critique and an Annotated Bibliography".

    Args:
        acoustic: what the voice says.
        text: what the words say.
        weight: share of the words, 0 (the acoustic scores as they are) to 1 (the text's as they are).

    Raises:
        ValueError: if the weight lies outside 0..1.

    >>> sound = EmotionScores.from_dict({"anger": 0.6, "sadness": 0.4})
    >>> words = EmotionScores.from_dict({"anger": 0.1, "sadness": 0.9})
    >>> fuse(sound, words, 0.5).label
    'sadness'
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"weight is {weight}; it must lie in 0..1")
    if weight == 0.0:
        return acoustic
    if weight == 1.0:
        return text
    sound, words = np.array(acoustic.probabilities), np.array(text.probabilities)
    sound, words = _filled(sound, words, weight), _filled(words, sound, 1.0 - weight)
    known = (sound > 0) & (words > 0)
    pooled = np.zeros(len(sound))
    logs = (1.0 - weight) * np.log(sound[known]) + weight * np.log(words[known])
    pooled[known] = np.exp(logs - logs.max())
    return replace(acoustic, probabilities=tuple((pooled / pooled.sum()).tolist()), unmapped={})


def _filled(own: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Fill in the labels that one opinion does not know from the other, times `share`; sum 1."""
    unknown = own == 0
    borrowed = np.where(unknown, other * share, 0.0)
    return own * (1.0 - borrowed.sum()) + borrowed


WEIGHTS_FILE = "fusion.safetensors"
"""A few numbers, in the form that all weights have: what checks, keeps and publishes versions need know no other."""

PARAMETERS = ("max_weight", "acoustic_temperature", "text_temperature")
LATER_PARAMETERS = ("opinion_weight", "opinion_temperature", "face_weight", "face_temperature")
"""Of a language model's opinion and of faces; rules that were saved before there were any have none."""

TEXT_TEMPERATURE = 1.2
"""Temperature of the shipped rule: the surest that costs no more than half a point of UAR where words say nothing.

Source: `python -m ser.fusion.recipe --data ../shared/data`."""


@dataclass(frozen=True)
class FusionRule:
    """The weight of the words, and the temperatures of both scores; the defaults ship.

    Attributes:
        max_weight: share of words that are surely understood and say one emotion plainly, 0..1.
        acoustic_temperature: above 1 makes the voice's scores less sure.
        text_temperature: the same for the words'.
        name: of the version.
        opinion_weight: share of a language model's opinion, as `max_weight`; 0 until it is fitted on votes: nothing is
            known of a model that anybody may name.
        opinion_temperature: of that opinion.
        face_weight: share of a face that is read; likewise 0 until it is fitted on votes.
        face_temperature: of that face.
    """

    max_weight: float = MAX_WEIGHT
    acoustic_temperature: float = 1.0
    text_temperature: float = TEXT_TEMPERATURE
    name: str = EMBEDDED
    opinion_weight: float = 0.0
    opinion_temperature: float = 1.0
    face_weight: float = 0.0
    face_temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("max_weight", "opinion_weight", "face_weight"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie in 0..1")
        low, high = TEMPERATURE_RANGE
        for name in ("acoustic_temperature", "text_temperature", "opinion_temperature", "face_temperature"):
            temperature = getattr(self, name)
            if not low - 1e-6 <= temperature <= high + 1e-6:
                raise ValueError(f"a temperature is {temperature}; it must lie in {low}..{high}")

    def temper_acoustic(self, acoustic: EmotionScores) -> EmotionScores:
        """The answer of the voice alone."""
        return temper(acoustic, self.acoustic_temperature)

    def join(self, acoustic: EmotionScores, text: EmotionScores, transcript: Transcript) -> tuple[EmotionScores, float]:
        """The answer of voice and words, and the words' share in it.

        Args:
            acoustic: as the acoustic model gives it.
            text: as the text model gives it.
            transcript: what `text` was read from; the surer it is, the more the words weigh.
        """
        words = temper(text, self.text_temperature)
        weight = text_weight(transcript, words, self.max_weight)
        over, share = words.over_labels_of(acoustic)
        if over is None:
            return self.temper_acoustic(acoustic), 0.0
        return fuse(self.temper_acoustic(acoustic), over, weight * share), weight * share

    def add_opinion(
        self, fused: EmotionScores, opinion: EmotionScores, transcript: Transcript
    ) -> tuple[EmotionScores, float]:
        """The answer with a language model's opinion, and its share in it.

        Args:
            fused: the answer of voice and words.
            opinion: as the language model gives it.
            transcript: what it has read; the surer it is, the more the opinion weighs.
        """
        read = temper(opinion, self.opinion_temperature)
        over, share = read.over_labels_of(fused)
        weight = share * text_weight(transcript, read, self.opinion_weight)
        return (fused, 0.0) if over is None else (fuse(fused, over, weight), weight)

    def add_face(self, fused: EmotionScores, face: EmotionScores) -> tuple[EmotionScores, float]:
        """The answer with what a face shows, and its share in it.

        Args:
            fused: the answer without.
            face: as the network of expressions gives it.
        """
        over, share = temper(face, self.face_temperature).over_labels_of(fused)
        weight = share * self.face_weight
        return (fused, 0.0) if over is None or weight < MIN_WEIGHT else (fuse(fused, over, weight), weight)


def combine(
    answer: Recognition, rule: FusionRule, acoustic: EmotionScores, novelty: float | None, notes: Sequence[str]
) -> Recognition:
    """Put the parts of an answer together.

    Args:
        answer: with its transcript, words' scores and opinion, as far as there are any.
        rule: to put them together by.
        acoustic: scores of the voice.
        novelty: of the recording; None if the model has none.
        notes: remarks for a person.
    """
    fused, weight, opinion = rule.temper_acoustic(acoustic), 0.0, answer.opinion
    if answer.text is not None and answer.transcript is not None:
        fused, weight = rule.join(acoustic, answer.text, answer.transcript)
        noted = remark(acoustic, answer.text, weight)
        notes = [*notes, noted] if noted else notes
    if opinion is not None and answer.transcript is not None:
        fused, share = rule.add_opinion(fused, opinion.scores, answer.transcript)
        opinion, weight = replace(opinion, weight=share), weight * (1.0 - share)
        notes = [*notes, opinion.note]
    return replace(
        answer,
        acoustic=acoustic,
        fused=fused,
        text_weight=weight,
        opinion=opinion,
        notes=tuple(notes),
        unsure=find_doubt(fused, novelty),
    )


def with_face(answer: Recognition, rule: FusionRule, face: "FaceAnswer | None") -> Recognition:
    """Add what a face shows to an answer of voice and words; without a face the answer as it is.

    Args:
        answer: without a face.
        rule: to put them together by.
        face: the answer to a picture; one that abstains is noted, and changes nothing.
    """
    if face is None or face.scores is None:
        return answer if face is None else replace(answer, face=face)
    fused, weight = rule.add_face(answer.fused, face.scores)
    opinion = answer.opinion and replace(answer.opinion, weight=answer.opinion.weight * (1.0 - weight))
    return replace(
        answer,
        fused=fused,
        text_weight=answer.text_weight * (1.0 - weight),
        opinion=opinion,
        face=replace(face, weight=weight),
        unsure=answer.unsure if answer.unsure == UNFAMILIAR else find_doubt(fused),
    )


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
    return replace(scores, probabilities=tuple(shares.tolist()))


def save_fusion_rule(
    rule: FusionRule, folder: Path, *, name: str, data: Mapping[str, object], metrics: Mapping[str, float]
) -> str:
    """Write a rule into a new folder, whole or not at all.

    Args:
        rule: to save.
        folder: must not exist yet, or be empty.
        name: of the version.
        data: what it was fitted on.
        metrics: what it was measured at.

    Returns:
        SHA-256 of the file of weights.
    """
    config = {key: getattr(rule, key) for key in (*PARAMETERS, *LATER_PARAMETERS)}
    values = {key: np.array([value], dtype=np.float64) for key, value in config.items()}
    meta = Meta(name, EMOTIONS, config=config, data=data, metrics=metrics)
    return save_checkpoint(folder, lambda place: save_file(values, place / WEIGHTS_FILE), meta, WEIGHTS_FILE).sha256


def load_fusion_rule(name_or_dir: str | Path) -> FusionRule:
    """The rule that ships with the program, `embedded`, or what `save_fusion_rule` wrote.

    Raises:
        ModelUnavailableError: if a file is absent, damaged, or not a rule.
    """
    if str(name_or_dir) == EMBEDDED:
        return FusionRule()
    folder = Path(name_or_dir)
    meta = verify(folder, WEIGHTS_FILE)
    try:
        values = load_file(folder / WEIGHTS_FILE)
        found = {key: float(values[key][0]) for key in PARAMETERS}
        found |= {key: float(values[key][0]) for key in LATER_PARAMETERS if key in values}
        return FusionRule(**found, name=meta.name)
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise ModelUnavailableError(
            f"{folder / WEIGHTS_FILE} is no rule of fusion ({error}); expected {', '.join(PARAMETERS)}. Train it again."
        ) from error
