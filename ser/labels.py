"""The seven emotions, and the maps from other people's label names to them.

Names only: no models, no files.
"""

import re
import unicodedata
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

_SPELLINGS = {
    "anger": "angry, ang, mad, furious, rage, irate, wut, wütend, ärger, zorn, colère, en colère, ira, enojo, enfado, "
    "enojado, enfadado, rabbia, arrabbiato, raiva, złość, gniew, öfke, kızgın, kızgınlık, sinirli, злость, гнев, злой, "
    "生气, 愤怒, 憤怒, 怒り, 분노, 화남, غضب, गुस्सा, क्रोध",
    "disgust": "disgusted, dis, ekel, dégoût, dégoûté, asco, disgusto, nojo, wstręt, obrzydzenie, iğrenme, tiksinti, "
    "отвращение, 厌恶, 厭惡, 恶心, 嫌悪, 혐오, اشمئزاز, घृणा",
    "fear": "fearful, fea, afraid, scared, fright, frightened, angst, ängstlich, furcht, peur, apeuré, miedo, temor, "
    "paura, medo, strach, korku, страх, испуг, 恐惧, 恐懼, 害怕, 恐れ, 恐怖, 공포, 두려움, خوف, डर, भय",
    "happiness": "happy, hap, joy, joyful, glad, exc, excited, excitement, freude, fröhlich, glücklich, joie, joyeux, "
    "heureux, heureuse, alegría, alegre, felicidad, feliz, gioia, felicità, felice, alegria, felicidade, radość, "
    "szczęście, mutlu, mutluluk, радость, счастье, 高兴, 高興, 开心, 開心, 快乐, 快樂, 喜悦, "
    "喜び, 기쁨, 행복, سعادة, فرح, खुशी",
    "neutral": "neu, neutrality, no emotion, neutre, neutro, neutrale, neutralny, nötr, neutralität, нейтральный, "
    "нейтральная, нейтрально, 中立, 中性, 중립, محايد, तटस्थ",
    "sadness": "sad, sorrow, unhappy, trauer, traurig, traurigkeit, tristesse, triste, tristeza, tristezza, smutek, "
    "smutny, üzgün, üzüntü, грусть, печаль, 难过, 難過, 悲伤, 悲傷, 伤心, 悲しみ, 슬픔, حزن, उदासी, दुख",
    "surprise": "surprised, sur, surp, pleasant surprise, pleasant surprised, überraschung, überrascht, surpris, "
    "sorpresa, sorprendido, surpresa, zaskoczenie, zdziwienie, şaşkın, şaşkınlık, удивление, 吃惊, 惊讶, 驚訝, 驚き, "
    "놀람, مفاجأة, دهشة, आश्चर्य",
    "boredom": "bored, langeweile, gelangweilt",
    "frustration": "frustrated, fru",
    "contempt": "contemptuous, verachtung",
}
"""Adjectives, the codes of IEMOCAP, CREMA-D, SAVEE and most published checkpoints, emotion2vec's Chinese names, and the
names in other languages. Excitement is happiness, as everyone counts IEMOCAP. Labels beyond the seven only count where
a label set asks for them.

Source: Busso et al. 2008, https://doi.org/10.1007/s10579-008-9076-6; Ma et al. 2024, "emotion2vec",
https://arxiv.org/abs/2312.15185; Burkhardt et al. 2005, "A Database of German Emotional Speech".
"""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **{name: label for label, names in _SPELLINGS.items() for name in names.split(", ")},
        # RAVDESS and TurEV: their owners offer calm as a second, softer baseline next to neutral.
        # Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391
        "calm": "neutral",
        "平静": "neutral",
    }
)
"""Names that other corpora and checkpoints use for our emotions, in lower case."""

QUALIFIERS = frozenset(
    "female male woman man women men girl boy adult child young old f m strong weak mild medium normal low high "
    "intense slight slightly very emotion emo label feeling speech voice 女 男".split()
)
"""Words next to a label that do not change it: who speaks, and how strongly."""

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
        name: a label as a corpus or a checkpoint spells it; case and spaces do not matter, nor do words next to it that
            say who speaks or how strongly.
        label_set: the labels wanted, in lower case.

    Returns:
        The label, or None if the name means none of them.

    >>> to_label("Calm", RAVDESS_EIGHT), to_label("angry", RAVDESS_EIGHT), to_label("bored", ("anger", "boredom"))
    ('calm', 'anger', 'boredom')
    >>> [to_label(name, EMOTIONS) for name in ("生气/angry", "female_angry", "Anger (strong)", "not angry")]
    ['anger', 'anger', 'anger', None]
    """
    key = name.strip().lower()
    if key in label_set:
        return key
    key = _plain(name)
    label = key if key in label_set else ALIASES.get(key)
    if label is None and key not in ALIASES:
        # Otherwise every word must be that label's name or say nothing of it: "not angry" is no anger.
        words = {word for word in re.split(r"[\W_]+", key) if word and not word.isdigit() and word not in QUALIFIERS}
        meant = {word if word in label_set else ALIASES.get(word) for word in words}
        label = meant.pop() if len(meant) == 1 else None
    return label if label in label_set else None


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("_", " ").replace("-", " ").split())


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
