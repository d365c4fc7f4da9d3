"""Speaker turns within one channel: voices of phrases are embedded and clustered. Knows no emotion."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import AgglomerativeClustering

from ser.errors import SettingsError
from ser.timeline.passages import Passage
from ser.timeline.segmentation import SegmentationConfig, cut_phrases
from ser.timeline.voices import Array, VoiceEncoder
from ser.types import Signal

OFF, AUTO = "off", "auto"
MOST_SPEAKERS = 12

MOST_PHRASES = 4000
"""Long phrases that are clustered, spread over the recording: their number's square is held in memory."""

ROUNDS = 3
"""Times that phrases are given to the nearest mean, and means taken anew."""


@dataclass(frozen=True)
class SpeakerConfig:
    """Limits of the clustering; chosen on speakers who are not reserved (benchmarks/README.md, "Timeline").

    Attributes:
        context: seconds around a short phrase that are embedded with it.
        short: seconds below which a phrase is short: it founds no speaker and gets that context.
        distance: mean cosine distance of two groups of phrases from which they are of two speakers.
        least_seconds: of long phrases that make a speaker, where their number is not given.
    """

    context: float = 0.15
    short: float = 1.0
    distance: float = 0.4
    least_seconds: float = 3.5


DEFAULT_CONFIG = SpeakerConfig()

Labels = npt.NDArray[np.int64]


def parse_speakers(given: str | int) -> int | str:
    """Read the option: `off`, `auto` or a number.

    >>> parse_speakers("2"), parse_speakers("auto")
    (2, 'auto')

    Raises:
        SettingsError: if it is something else.
    """
    text = str(given)
    if text in (OFF, AUTO):
        return text
    if text.isdecimal() and 1 <= int(text) <= MOST_SPEAKERS:
        return int(text)
    raise SettingsError(f"speakers is '{text}'; expected off, auto, or a number from 1 to {MOST_SPEAKERS}.")


def find_speakers(
    passages: Iterable[Passage],
    encoder: VoiceEncoder,
    speakers: int | None,
    segmentation: SegmentationConfig,
    config: SpeakerConfig = DEFAULT_CONFIG,
) -> list[Labels]:
    """Tell the voices of a channel apart.

    Args:
        passages: of the channel, in order; each is released once it is embedded.
        encoder: of voices.
        speakers: their number; None estimates it.
        segmentation: that phrases are cut by.
        config: limits of the clustering.

    Returns:
        For each passage the speaker of each of its phrases, counted from 0 by their first words.
    """
    rows, seconds = list[Array](), list[npt.NDArray[np.float64]]()
    for passage in passages:
        phrases = cut_phrases(passage.audio, passage.speech, segmentation)
        sounds = list[Signal]()
        for phrase in phrases:
            around = config.context if phrase.end - phrase.start < config.short else 0.0
            sounds.append(passage.audio.crop(phrase.start - around, phrase.end + around).signal)
        rows.append(encoder.embed(sounds))
        seconds.append(np.array([phrase.end - phrase.start for phrase in phrases]))
    if not rows:
        return []
    labels = cluster_voices(np.concatenate(rows), np.concatenate(seconds), speakers, config)
    return np.split(labels, np.cumsum([len(part) for part in rows])[:-1])


def cluster_voices(
    embeddings: Array,
    seconds: npt.NDArray[np.float64],
    speakers: int | None = None,
    config: SpeakerConfig = DEFAULT_CONFIG,
) -> Labels:
    """Group phrases by voice.

    Long phrases are joined by average linkage of their cosine distances; then each phrase goes to the nearest mean.

    Args:
        embeddings: shape (phrases, size), rows of length 1.
        seconds: of each phrase.
        speakers: their number; None estimates it.
        config: limits.

    Returns:
        The speaker of each phrase, counted from 0 by their first words.
    """
    founding = np.flatnonzero(seconds >= config.short)
    if speakers == 1 or len(founding) < max(2, speakers or 0):
        return np.zeros(len(embeddings), np.int64)
    founding = founding[:: -(-len(founding) // MOST_PHRASES)]
    given = {"n_clusters": speakers} if speakers else {"n_clusters": None, "distance_threshold": config.distance}
    groups = AgglomerativeClustering(metric="cosine", linkage="average", **given).fit_predict(embeddings[founding])
    means = _means(embeddings[founding], seconds[founding], groups)
    while speakers is None and len(means) > 1:
        # A few seconds that are unlike the rest are a laugh or a cough more often than a person.
        totals = {group: seconds[founding][groups == group].sum() for group in np.unique(groups)}
        least = min(totals, key=lambda group: totals[group])
        if totals[least] >= config.least_seconds:
            break
        others = [group for group in totals if group != least]
        of_least = means[list(totals).index(least)]
        near = [float(means[list(totals).index(other)] @ of_least) for other in others]
        groups[groups == least] = others[int(np.argmax(near))]
        means = _means(embeddings[founding], seconds[founding], groups)
    for _ in range(ROUNDS):
        nearest = (embeddings @ means.T).argmax(1)
        means = _means(embeddings, seconds, nearest)
        _, nearest = np.unique(nearest, return_inverse=True)
    _, first = np.unique(nearest, return_index=True)
    return np.argsort(np.argsort(first))[nearest].astype(np.int64)


def _means(embeddings: Array, seconds: npt.NDArray[np.float64], groups: Sequence[int] | Labels) -> Array:
    """Directions of the groups' means, weighted by seconds, in the order of their numbers."""
    members = np.asarray(groups)
    sums = np.stack([seconds[members == group] @ embeddings[members == group] for group in np.unique(members)])
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9), dtype=np.float32)
