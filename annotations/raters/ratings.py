"""All standing votes as columns, read in one query, for agreement, reliability and insights.

Knows SQL and numpy, no statistics.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set
from annotations.store import AnnotationStore
from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

STANDING_VOTES = """
SELECT judgements.clip_id, judgements.rater, judgements.verdict, judgements.label,
    corrections.distribution, corrections.intensity, corrections.valence, corrections.arousal
FROM judgements JOIN corrections ON corrections.id = judgements.correction_id
WHERE judgements.verdict IS NOT NULL AND judgements.verdict != 'skip'
ORDER BY judgements.clip_id, judgements.rater
"""
"""Newest standing vote of each rater on each clip, without skips."""

SCALES = ("intensity", "valence", "arousal")
"""Ratings from 0 to 100."""

FEWEST_RATINGS = 20
"""Ratings of a scale from which on a rater's own level can be told."""


@dataclass(frozen=True)
class Ratings:
    """Votes as columns of one length, one entry a rater and clip.

    Attributes:
        clips: ids, shape (votes,).
        raters: positions in `names`, shape (votes,).
        names: of the raters, sorted.
        shares: what each vote says of each of `labels`, shape (votes, labels): a row of one 1, a
            distribution if the rater gave one, or zeros if the vote names no label.
        unsure: whether the rater said that they were unsure, shape (votes,).
        scales: `intensity`, `valence`, `arousal`: numbers of shape (votes,), NaN where not given.
        labels: of the store, in order.
    """

    clips: Codes
    raters: Codes
    names: tuple[str, ...]
    shares: Numbers
    unsure: npt.NDArray[np.bool_]
    scales: Mapping[str, Numbers]
    labels: tuple[str, ...] = EMOTIONS

    def __len__(self) -> int:
        return len(self.clips)

    def labelled(self) -> "Ratings":
        """The votes that name a label."""
        return self.where(self.shares.sum(1) > 0)

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Ratings":
        """The votes for which `chosen` is true; names stay."""
        return Ratings(
            self.clips[chosen],
            self.raters[chosen],
            self.names,
            self.shares[chosen],
            self.unsure[chosen],
            {name: values[chosen] for name, values in self.scales.items()},
            self.labels,
        )


def read_ratings(store: AnnotationStore) -> Ratings:
    """Read everyone's newest standing vote on each clip, without skips."""
    rows, labels = store.fetch(STANDING_VOTES), label_set(store)
    names = sorted({row["rater"] for row in rows})
    code = {name: index for index, name in enumerate(names)}
    return Ratings(
        clips=np.array([row["clip_id"] for row in rows], dtype=np.int64),
        raters=np.array([code[row["rater"]] for row in rows], dtype=np.int64),
        names=tuple(names),
        shares=_shares(rows, labels),
        unsure=np.array([row["verdict"] == "unsure" for row in rows], dtype=np.bool_),
        # A missing number becomes NaN.
        scales={scale: np.array([row[scale] for row in rows], dtype=np.float64) for scale in SCALES},
        labels=labels.names,
    )


def mean_ratings(ratings: Ratings, clips: Sequence[int]) -> dict[str, Numbers]:
    """The mean rating of each clip on each scale, NaN where nobody gave one; raters' own levels are made equal.

    Some people rate everything higher than others do: each rater's ratings are moved so that their mean is that of all.

    Args:
        ratings: of all raters.
        clips: in the order of the result.

    Returns:
        {scale: shape (clips,)}.
    """
    place = {clip: index for index, clip in enumerate(clips)}
    means = {}
    for scale, values in ratings.scales.items():
        rows = np.flatnonzero(~np.isnan(values) & np.isin(ratings.clips, list(place)))
        given, raters = values[rows], ratings.raters[rows]
        counts = np.bincount(raters, minlength=len(ratings.names))
        level = np.bincount(raters, given, minlength=len(counts)) / np.maximum(counts, 1)
        steady = counts >= FEWEST_RATINGS
        moved = given - np.where(steady[raters], level[raters] - given.mean(), 0.0) if len(rows) else given
        places = np.array([place[clip] for clip in ratings.clips[rows].tolist()], dtype=np.int64)
        number = np.bincount(places, minlength=len(clips))
        sums = np.bincount(places, moved, minlength=len(clips))
        means[scale] = np.divide(sums, number, out=np.full(len(clips), np.nan), where=number > 0)
    return means


def _shares(rows: Sequence[sqlite3.Row], labels: LabelSet) -> Numbers:
    place = {label: index for index, label in enumerate(labels.names)}
    shares = np.zeros((len(rows), len(labels)))
    for index, row in enumerate(rows):
        spread = json.loads(row["distribution"]) if row["distribution"] else {row["label"]: 1.0}
        for label, share in (spread if labels.is_default else labels.shares(spread)).items():
            if label in place:
                shares[index, place[label]] = share
    return shares
