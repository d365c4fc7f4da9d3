"""Regions between the server and the page's script: checked on their way in, plain values on their way out. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annotations.labels.label_set import LabelSet
from ser.errors import SerError
from ser.timeline.regions import FeelingRegion, Timeline
from ser.types import EmotionScores
from ui.parts.palette import UNSURE

SHORTEST = 0.3
"""Seconds under which a region is no clip."""

MOST_REGIONS = 2000


@dataclass(frozen=True)
class EditedRegion:
    """A region as a person left it.

    Attributes:
        start: seconds from the beginning of the recording.
        end: the same.
        label: one of the store's, or `unsure`.
        speaker: as the timeline tells them apart, or None.
        channel: counted from 1, or None.
        transcript: as it stands.
        written: a person wrote the transcript.
    """

    start: float
    end: float
    label: str
    speaker: str | None
    channel: int | None
    transcript: str | None
    written: bool = False


def page_regions(timeline: Timeline, labels: LabelSet) -> list[dict[str, object]]:
    """The regions as the script draws them: labels and scores are those of the store."""
    rows = []
    for region, row in zip(timeline.regions, timeline.as_regions(), strict=True):
        scores = labels.scores(region.scores.as_dict())
        rows.append({**row, "label": labels.most_probable(region.scores.as_dict()) or UNSURE, "scores": scores})
    return rows


def read_regions(given: object, duration: float, labels: LabelSet) -> list[EditedRegion]:
    """Check what the script sends.

    Raises:
        SerError: if a region lies outside of the recording, is too short, or has a label that is none.
    """
    if not isinstance(given, list) or len(given) > MOST_REGIONS:
        raise SerError(f"The regions are no list of at most {MOST_REGIONS}. Load the page again.")
    return [_read_region(one, duration, labels) for one in given]


def _read_region(given: Any, duration: float, labels: LabelSet) -> EditedRegion:
    if not isinstance(given, Mapping):
        raise SerError(f"A region is of type {type(given).__name__}; expected {{name: value}}.")
    start, end = (_seconds(given.get(name), name) for name in ("start", "end"))
    if not 0 <= start < end <= duration + 0.05:
        raise SerError(f"A region lies at {start:g} to {end:g} s; the recording has {duration:.1f} s.")
    if round(end - start, 3) < SHORTEST:
        raise SerError(f"The region at {start:.1f} s lasts {end - start:.2f} s; at least {SHORTEST:g} s are needed.")
    label, channel = given.get("label"), given.get("channel")
    if label not in (*labels.names, UNSURE):
        raise SerError(f"The label is '{str(label)[:60]}'; expected one of {', '.join(labels.names)} or {UNSURE}.")
    texts = {name: given.get(name) for name in ("speaker", "transcript")}
    if any(text is not None and not isinstance(text, str) for text in texts.values()):
        raise SerError("A region's speaker or transcript is no text. Load the page again.")
    counted = channel if isinstance(channel, int) and not isinstance(channel, bool) and channel > 0 else None
    written = given.get("written") is True
    return EditedRegion(start, min(end, duration), str(label), texts["speaker"], counted, texts["transcript"], written)


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SerError(f"The {name} of a region is {str(value)[:60]}; expected seconds.")
    return float(value)


def in_labels(timeline: Timeline, labels: LabelSet) -> Timeline:
    """A timeline in the labels of a store; a region whose emotions have no place in them keeps its own."""
    if labels.is_default:
        return timeline
    return replace(
        timeline, regions=tuple(replace(one, scores=_in_labels(one.scores, labels)) for one in timeline.regions)
    )


def _in_labels(scores: EmotionScores, labels: LabelSet) -> EmotionScores:
    shares = {name: share or 0.0 for name, share in labels.scores(scores.as_dict()).items()}
    total = sum(shares.values())
    if not total:
        return scores
    return EmotionScores(tuple(share / total for share in shares.values()), labels=tuple(shares), means=_means(labels))


def _means(labels: LabelSet) -> dict[str, tuple[str, ...]]:
    return {label.name: label.means for label in labels}


def with_regions(timeline: Timeline, regions: Sequence[EditedRegion], labels: LabelSet) -> Timeline:
    """A timeline with regions as a person left them; labels of a person are certain, others keep their scores.

    Args:
        timeline: in the labels of the store, see `in_labels`.
        regions: in their place.
        labels: of the store.
    """
    return replace(timeline, regions=tuple(_to_feeling(timeline, region, labels) for region in regions))


def _to_feeling(timeline: Timeline, region: EditedRegion, labels: LabelSet) -> FeelingRegion:
    answered = [one for one in timeline.regions if one.channel == region.channel]
    nearest = max(answered or timeline.regions, key=lambda one: min(one.end, region.end) - max(one.start, region.start))
    kept = region.label in (nearest.label, UNSURE)
    return FeelingRegion(
        region.start,
        region.end,
        region.speaker,
        region.channel,
        nearest.scores if kept else _certain(region.label, labels),
        "A person was not sure." if region.label == UNSURE else nearest.unsure if kept else None,
        region.transcript,
    )


def _certain(label: str, labels: LabelSet) -> EmotionScores:
    sure = tuple(float(name == label) for name in labels.names)
    return EmotionScores(sure) if labels.is_default else EmotionScores(sure, labels=labels.names, means=_means(labels))
