"""The seven emotions, and the maps from other people's label names to them.

Knows nothing of models or files.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

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


def to_emotion(name: str) -> str | None:
    """Map a foreign label to one of `EMOTIONS`.

    Args:
        name: a label as a corpus or a checkpoint spells it; case and outer spaces do not matter.

    Returns:
        The emotion, or None where the name means none of the seven (boredom, contempt, "other").

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
        The label, or None where the name means none of them.

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
