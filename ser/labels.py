"""The seven emotions, and the maps from other people's label names to them.

Names only: no models, no files.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from ser.errors import ModelUnavailableError

EMOTIONS: tuple[str, ...] = (
    "anger",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""Ekman's six basic emotions and neutral, in alphabetical order: the order of every score vector."""

RAVDESS_EIGHT: tuple[str, ...] = ("anger", "calm", *EMOTIONS[1:])
"""The eight classes of RAVDESS, calm apart from neutral, in alphabetical order: what its benchmarks count.

Source: EmoBox, https://arxiv.org/abs/2406.07162
"""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        # Adjectives and three-letter codes of IEMOCAP, CREMA-D, SAVEE and of most published checkpoints.
        "angry": "anger",
        "ang": "anger",
        "disgusted": "disgust",
        "dis": "disgust",
        "fearful": "fear",
        "fea": "fear",
        "afraid": "fear",
        "happy": "happiness",
        "hap": "happiness",
        "joy": "happiness",
        "joyful": "happiness",
        "neu": "neutral",
        "sad": "sadness",
        "surprised": "surprise",
        "sur": "surprise",
        "pleasant_surprise": "surprise",
        "pleasant surprise": "surprise",
        # RAVDESS and TurEV: their owners offer calm as a second, softer baseline beside neutral.
        # Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391
        "calm": "neutral",
        # EMO-DB's German names. Source: Burkhardt et al. 2005, "A Database of German Emotional Speech".
        "wut": "anger",
        "ekel": "disgust",
        "angst": "fear",
        "freude": "happiness",
        "trauer": "sadness",
    }
)
"""Names that other corpora and checkpoints use for our emotions, in lower case."""

GOEMOTIONS: Mapping[str, str] = MappingProxyType(
    {
        fine: emotion
        for emotion, names in {
            "anger": "anger annoyance",
            "disgust": "disgust",
            "fear": "fear nervousness",
            "happiness": "admiration amusement excitement joy love pride relief",
            "neutral": "approval caring confusion curiosity desire disapproval gratitude neutral optimism realization",
            "sadness": "disappointment embarrassment grief remorse sadness",
            "surprise": "surprise",
        }.items()
        for fine in names.split()
    }
)
"""GoEmotions' 28 labels in seven groups, for speech.

Source: GoEmotions' own grouping to Ekman's six (Demszky et al. 2020, https://arxiv.org/abs/2005.00547), of which
what names an act of speech rather than a feeling (thanks, approval, curiosity) went to neutral; see
ser/weights/text/README.md.
"""

DIALOGUE_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "anger": 1022 / 102979,
        "disgust": 353 / 102979,
        "fear": 174 / 102979,
        "happiness": 12885 / 102979,
        "neutral": 85572 / 102979,
        "sadness": 1150 / 102979,
        "surprise": 1823 / 102979,
    }
)
"""Shares of the labels in everyday dialogue.

Source: Li et al. 2017, "DailyDialog", https://arxiv.org/abs/1710.03957
"""


def to_emotion(name: str) -> str | None:
    """Map a foreign label to one of `EMOTIONS`.

    Args:
        name: a label as a corpus or a checkpoint spells it; case and outer spaces do not matter.

    Returns:
        The emotion, or None if the name means none of the seven (boredom, contempt, "other").

    >>> to_emotion("Angry"), to_emotion("calm"), to_emotion("boredom")
    ('anger', 'neutral', None)
    """
    return to_label(name, EMOTIONS)


def to_label(name: str, label_set: Collection[str]) -> str | None:
    """Map a foreign label to one of a label set.

    A label that the set names itself stays, so that `calm` is neutral for `EMOTIONS` and calm for `RAVDESS_EIGHT`.

    Args:
        name: a label as a corpus or a checkpoint spells it; case and outer spaces do not matter.
        label_set: the labels wanted, in lower case.

    Returns:
        The label, or None if the name means none of them.

    >>> to_label("Calm", RAVDESS_EIGHT), to_label("angry", RAVDESS_EIGHT), to_label("boredom", ("anger", "boredom"))
    ('calm', 'anger', 'boredom')
    """
    key = name.strip().lower()
    label = key if key in label_set else ALIASES.get(key)
    return label if label in label_set else None


def map_labels(names: Iterable[str]) -> tuple[dict[int, str], list[str]]:
    """Map a checkpoint's output labels to `EMOTIONS` by name.

    Args:
        names: the checkpoint's labels in the order of its outputs.

    Returns:
        The emotion of each mapped output index, and the names that mean none of the seven.

    >>> map_labels(["neu", "hap", "boredom"])
    ({0: 'neutral', 1: 'happiness'}, ['boredom'])
    """
    mapped: dict[int, str] = {}
    unmapped: list[str] = []
    for index, name in enumerate(names):
        emotion = to_emotion(name)
        if emotion is None:
            unmapped.append(name)
        else:
            mapped[index] = emotion
    return mapped, unmapped


def require_two_labels(name: str, names: Sequence[str], mapped: Collection[str]) -> None:
    """Refuse a classifier that does not know two emotions: its one label would get 100 % of every clip.

    Args:
        name: of the model, for the message.
        names: its labels in the order of its outputs.
        mapped: the emotions that some of them mean, as `map_labels` gives them.

    Raises:
        ModelUnavailableError: if fewer than two different emotions are among them.

    >>> require_two_labels("mine", ["angry", "sad", "bored"], ["anger", "sadness"])
    """
    known = sorted(set(mapped))
    if len(known) >= 2:
        return
    found = f"only {known[0]} is" if known else "none is"
    raise ModelUnavailableError(
        f"The labels of {name} are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}; {found} one of "
        f"{', '.join(EMOTIONS)} by any known name, and at least two are needed. Choose a model of emotions, or name "
        "its labels in config.json (id2label)."
    )
