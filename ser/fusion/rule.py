"""Fusion of voice and words: when the words count, their weight, the pooling, and the rule's parameters and file.

Functions of transcripts and scores; knows no model. The constants were chosen on the development speakers
ravdess_04, 10, 12 and 14, transcribed by pocketsphinx and paired with sentences of the GoEmotions dev set; see
`benchmarks.fusion`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ser.checkpoints.folder import Meta, save_checkpoint, verify
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.evaluation.metrics import TEMPERATURE_RANGE
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Transcript

MIN_CONFIDENCE = 0.5
"""Transcript confidence below which the words abstain. With a weak acoustic model (35 % UAR) wrong words cost up
to 0.4 points at a threshold of 0.4 and none at 0.5; with the embedded one they cost nothing at either."""

MIN_WORD_CONFIDENCE = 0.5
"""Confidence from which a word counts as understood."""

MIN_CONFIDENT_WORDS = 2
"""Fewer understood words than this carry too little to be read."""

UNKNOWN_CONFIDENCE = 0.8
"""Assumed where a recogniser gives no confidences."""

MAX_WEIGHT = 0.6
"""Share of the words at their best: words that are surely understood and say one emotion plainly. More gained little
where words say something, and voice and words should weigh about the same where they contradict each other."""

MIN_WEIGHT = 0.05
"""A smaller share is none: it could only tip an answer that stands on the edge, by words that say next to nothing."""

MIN_AGREEMENT = 0.05
"""Probability of voice and words meaning the same below which they are said to disagree: the usual level of a test."""


def abstention(transcript: Transcript, languages: Sequence[str] | None) -> str | None:
    """The reason to leave out the words, as a sentence; None if they count.

    Args:
        transcript: what was recognised.
        languages: ISO 639-1 codes that the text model reads; None for any.

    >>> abstention(Transcript("", "en", (), "whisper-tiny.en"), ("en",))
    'The words are left out: none were recognised.'
    >>> abstention(Transcript("ich bin froh", "de", (), "whisper"), ("en",))
    'The words are left out: they are in de, and the text model reads en.'
    """
    if not transcript.text.strip():
        return "The words are left out: none were recognised."
    spoken = (transcript.language or "").lower().replace("_", "-").partition("-")[0]
    if languages is not None and spoken and spoken not in languages:
        return f"The words are left out: they are in {spoken}, and the text model reads {', '.join(languages)}."
    confidence = transcript.confidence
    if confidence is not None and confidence < MIN_CONFIDENCE:
        return f"The words are left out: they were recognised with a confidence of only {confidence:.0%}."
    understood = confident_words(transcript)
    if understood < MIN_CONFIDENT_WORDS:
        return (
            f"The words are left out: {understood or 'no'} word{'s were' if understood != 1 else ' was'} understood, "
            f"{MIN_CONFIDENT_WORDS} are needed."
        )
    return None


def confident_words(transcript: Transcript) -> int:
    """Count the words that are understood; a word without a confidence is.

    >>> confident_words(Transcript("oh no", "en", (), "a person"))
    2
    """
    if not transcript.segments:
        return len(transcript.text.split())
    return sum(
        len(segment.text.split())
        for segment in transcript.segments
        if segment.confidence is None or segment.confidence >= MIN_WORD_CONFIDENCE
    )


def remark(acoustic: EmotionScores, text: EmotionScores, weight: float) -> str | None:
    """Say in a sentence that words do not count, or that voice and words disagree more than chance explains.

    Both scores are taken as probabilities of what is felt. Voice and words can then mean the same with the probability
    that they name the same emotion, or that the words are neutral, which contradict nothing.

    Args:
        acoustic: what the voice says.
        text: what the words say.
        weight: their share in the answer.

    >>> angry, happy = (EmotionScores.from_dict({label: 1.0}) for label in ("anger", "happiness"))
    >>> remark(angry, happy, 0.5)
    'Voice and words disagree: the voice says anger, the words say happiness.'
    >>> remark(angry, angry, 0.5) is None
    True
    """
    if text.over_labels_of(acoustic)[0] is None:
        return "No label of this model means what words tell: only the voice was used."
    if weight == 0.0:
        return "The words say nothing certain of a feeling: only the voice was used."
    words, _ = text.over_labels_of(acoustic)
    assert words is not None
    neutral = {"neutral", *(label for label in words.labels if set(words.means.get(label, ())) == {"neutral"})}
    pairs = list(zip(words.labels, acoustic.probabilities, words.probabilities, strict=True))
    shared = sum(a * t for label, a, t in pairs if label not in neutral)
    if shared + sum(t for label, _, t in pairs if label in neutral) >= MIN_AGREEMENT:
        return None
    text = words
    return f"Voice and words disagree: the voice says {acoustic.label}, the words say {text.label}."


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
    """One opinion with the labels it does not know taken from the other, times `share`; sum 1."""
    unknown = own == 0
    borrowed = np.where(unknown, other * share, 0.0)
    return own * (1.0 - borrowed.sum()) + borrowed


WEIGHTS_FILE = "fusion.safetensors"
"""A few numbers, in the form that all weights have: what checks, keeps and publishes versions need know no other."""

PARAMETERS = ("max_weight", "acoustic_temperature", "text_temperature")
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
    values = {key: np.array([getattr(rule, key)], dtype=np.float64) for key in PARAMETERS}
    config = {key: getattr(rule, key) for key in PARAMETERS}
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
        return FusionRule(**{key: float(values[key][0]) for key in PARAMETERS}, name=meta.name)
    except (SafetensorError, KeyError, IndexError, ValueError) as error:
        raise ModelUnavailableError(
            f"{folder / WEIGHTS_FILE} is no rule of fusion ({error}); expected {', '.join(PARAMETERS)}. Train it again."
        ) from error


MIN_MARGIN = 0.15
"""Distance of the two largest probabilities below which an answer is unsure."""

NOVELTY_LIMIT = 1.0
"""Novelty above which a recording is unlike anything known; see `ser.acoustic.head.ClassifierHead`."""


def find_doubt(scores: EmotionScores, novelty: float | None = None) -> str | None:
    """The reason not to rely on an answer, as a sentence; None if nothing speaks against it.

    Args:
        scores: the whole answer.
        novelty: of the recording, 1 at the limit of what is known; None if the model has none.

    >>> find_doubt(EmotionScores.from_dict({"anger": 0.45, "fear": 0.4, "sadness": 0.15}))
    'Anger (45 %) and fear (40 %) are nearly as likely.'
    >>> find_doubt(EmotionScores.from_dict({"anger": 0.9, "fear": 0.1}), novelty=1.3)
    'This recording is unlike the speech that the model was trained on.'
    """
    if novelty is not None and novelty > NOVELTY_LIMIT:
        return "This recording is unlike the speech that the model was trained on."
    (first, p), (second, q) = sorted(scores.as_dict().items(), key=lambda pair: -pair[1])[:2]
    if p - q < MIN_MARGIN:
        return f"{first.capitalize()} ({p:.0%}) and {second} ({q:.0%}) are nearly as likely.".replace("%", " %")
    return None
