"""Sentences on the parts of an answer: words that are left out, voice and words that disagree, doubt. Pure."""

from collections.abc import Sequence

from ser.types import EmotionScores, Transcript

MIN_CONFIDENCE = 0.5
"""Transcript confidence below which the words abstain. With a weak acoustic model (35 % UAR) wrong words cost up
to 0.4 points at a threshold of 0.4 and none at 0.5; with the embedded one they cost nothing at either."""

MIN_WORD_CONFIDENCE = 0.5
"""Confidence from which a word counts as understood."""

MIN_CONFIDENT_WORDS = 2
"""Fewer understood words than this carry too little to be read."""

MIN_AGREEMENT = 0.05
"""Probability of voice and words meaning the same below which they are said to disagree: the usual level of a test."""

MIN_MARGIN = 0.15
"""Distance of the two largest probabilities below which an answer is unsure."""

MIN_PROBABILITY = 0.5
"""Largest probability below which an answer is unsure: it is more likely wrong than right. Of such answers 48 % are
right on new speakers of known corpora and 34 % on corpora that training has not seen, of the others 82 and 55 %."""

NOVELTY_LIMIT = 1.0
"""Novelty above which a recording is unlike anything known; see `ser.acoustic.head.ClassifierHead`."""

NO_WORDS = "The words are left out: none were recognised."

UNFAMILIAR = "This recording is unlike the speech that the model was trained on."


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
        return NO_WORDS
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


def find_doubt(scores: EmotionScores, novelty: float | None = None) -> str | None:
    """The reason not to rely on an answer, as a sentence; None if nothing speaks against it.

    Args:
        scores: the whole answer.
        novelty: of the recording, 1 at the limit of what is known; None if the model has none.

    >>> find_doubt(EmotionScores.from_dict({"anger": 0.45, "fear": 0.4, "sadness": 0.15}))
    'Anger (45 %) and fear (40 %) are nearly as likely.'
    >>> find_doubt(EmotionScores.from_dict({"anger": 0.9, "fear": 0.1}), novelty=1.3)
    'This recording is unlike the speech that the model was trained on.'
    >>> find_doubt(EmotionScores.from_dict({"anger": 0.45, "fear": 0.28, "sadness": 0.27}))
    'Anger is the likeliest, but has only 45 %.'
    """
    if novelty is not None and novelty > NOVELTY_LIMIT:
        return UNFAMILIAR
    (first, p), (second, q) = sorted(scores.as_dict().items(), key=lambda pair: -pair[1])[:2]
    if p - q < MIN_MARGIN:
        return f"{first.capitalize()} ({p:.0%}) and {second} ({q:.0%}) are nearly as likely.".replace("%", " %")
    if p < MIN_PROBABILITY:
        return f"{first.capitalize()} is the likeliest, but has only {p:.0%}.".replace("%", " %")
    return None
