"""Summary of the votes for the page: labels over time, model against people, disputed clips, agreement, raters.

Computed on a sample if there are very many votes, and kept until the votes change. Knows no page.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from sqlite3 import Connection

import numpy as np
import numpy.typing as npt

from annotations.group_insights import Group, Haste, agreement_over_time, groups_of_votes, hasty_votes
from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set, votes_outside
from annotations.raters.agreement import (
    Agreement,
    PairAgreement,
    agreement_by_label,
    confusion_between_raters,
    label_agreement,
    pairwise_kappa,
    scale_agreement,
)
from annotations.raters.ratings import SCALES, Ratings, read_ratings
from annotations.raters.reliability import RaterReliability, agree
from annotations.raters.votes import gold_labels
from annotations.store import AnnotationStore
from ser.labels import EMOTIONS

Numbers = npt.NDArray[np.float64]

SAMPLE = 30_000
"""Votes that agreement and reliability are computed on at most; clips are drawn whole."""

DISPUTED = 50
"""Clips that are listed as the most disputed ones."""

PERIODS = 12
"""Bars of the drawing over time at most."""


@dataclass(frozen=True)
class Period:
    """Votes of one stretch of days: {label: votes}, from the first day to the last, ISO dates."""

    first: str
    last: str
    labels: Mapping[str, int]


@dataclass(frozen=True)
class DisputedClip:
    """A clip on which raters disagree: {label: votes}, and the model's answer if there is one."""

    clip_id: int
    votes: Mapping[str, int]
    model: str | None


@dataclass(frozen=True)
class Insights:
    """Figures and tables of the tab of this name.

    Attributes:
        clips: stored.
        labelled: clips with a vote that names a label.
        several: clips with such votes of two people or more.
        votes: that name a label.
        unsure: votes of people who were unsure.
        periods: votes over time, oldest first.
        agreement: on the label.
        by_label: on each label.
        scales: on intensity, valence and arousal.
        mistaken: how raters take one label for another: row said by one, column by another; NaN rows are unknown.
        model: how people vote on what the model said, shape (labels, labels): row people's vote, column the answer.
        disputed: the most disputed clips first.
        raters: reliability, by name.
        pairs: kappa of every two raters who share enough clips.
        sampled: whether agreement and reliability rest on a sample of the clips.
        labels: of the store, the order of every matrix.
        outside: {label: votes} of votes whose label has no place in the set.
        over_time: agreement on the label in each of `periods`.
        groups: votes by source, speaker and language.
        haste: votes too fast to have listened, by rater.
    """

    clips: int
    labelled: int
    several: int
    votes: int
    unsure: int
    periods: Sequence[Period]
    agreement: Agreement
    by_label: Mapping[str, Agreement]
    scales: Mapping[str, Agreement]
    mistaken: Numbers
    model: Numbers
    disputed: Sequence[DisputedClip]
    raters: Sequence[RaterReliability]
    pairs: Sequence[PairAgreement]
    sampled: bool
    labels: Sequence[str] = EMOTIONS
    outside: Mapping[str, int] = field(default_factory=dict)
    over_time: Sequence[Agreement] = ()
    groups: Mapping[str, Sequence[Group]] = field(default_factory=dict)
    haste: Mapping[str, Haste] = field(default_factory=dict)


class InsightsDesk:
    """Cache of the insights, valid as long as no vote, clip, answer or gold mark has come since.

    Args:
        store: to read.
    """

    def __init__(self, store: AnnotationStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._state: tuple[object, ...] | None = None
        self._found: Insights | None = None

    def look(self) -> Insights:
        """Return the insights as the votes stand; callers that come meanwhile wait for the same answer."""
        with self._lock:
            state = _state(self._store)
            if self._found is None or state != self._state:
                self._found, self._state = compute_insights(self._store), state
            return self._found


def compute_insights(store: AnnotationStore, *, sample: int = SAMPLE) -> Insights:
    """Compute all insights from the store as it stands.

    Args:
        store: to read.
        sample: votes that agreement and reliability rest on at most.
    """
    ratings = read_ratings(store)
    labelled = ratings.labelled()
    drawn = draw_clips(ratings, sample)
    gold, labels = gold_labels(store), label_set(store)
    with store.reading() as connection:
        clips = connection.execute("SELECT count(*) FROM clips").fetchone()[0]
        days = connection.execute(_DAYS).fetchall()
        answers = connection.execute(_ANSWERS).fetchall()
        disputed = _disputed(connection, labels)
    per_clip = np.unique(labelled.clips, return_counts=True)[1]
    periods = gather_periods(
        [(row["day"], place, row["votes"]) for row in days if (place := labels.place_of(row["label"]))]
    )
    return Insights(
        clips=clips,
        labelled=len(per_clip),
        several=int((per_clip > 1).sum()),
        votes=len(labelled),
        unsure=int(ratings.unsure.sum()),
        periods=periods,
        over_time=agreement_over_time(store, drawn, [(one.first, one.last) for one in periods]),
        groups=groups_of_votes(store, labels),
        haste=hasty_votes(store),
        agreement=label_agreement(drawn),
        by_label=agreement_by_label(drawn),
        scales={scale: scale_agreement(drawn, scale) for scale in SCALES},
        mistaken=confusion_between_raters(drawn),
        model=_matrix([(row["voted"], row["answered"], row["votes"]) for row in answers], labels),
        labels=labels.names,
        outside=votes_outside(store),
        disputed=disputed,
        raters=_raters(ratings, drawn, gold),
        pairs=pairwise_kappa(ratings),
        sampled=len(drawn) < len(ratings),
    )


def draw_clips(ratings: Ratings, sample: int) -> Ratings:
    """All votes if they are at most `sample`, else those of clips drawn until it is reached."""
    if len(ratings) <= sample:
        return ratings
    clips, counts = np.unique(ratings.clips, return_counts=True)
    order = np.random.default_rng(0).permutation(len(clips))
    kept = clips[order[: np.searchsorted(counts[order].cumsum(), sample, side="right")]]
    return ratings.where(np.isin(ratings.clips, kept))


def gather_periods(days: Sequence[tuple[str, str, int]]) -> list[Period]:
    """Days brought together to at most `PERIODS` stretches of equal length; days without a vote count too.

    Args:
        days: (ISO date, label, votes).

    >>> gather_periods([("2026-01-01", "fear", 2), ("2026-01-01", "anger", 1)])
    [Period(first='2026-01-01', last='2026-01-01', labels={'fear': 2, 'anger': 1})]
    """
    if not days:
        return []
    first, last = (date.fromisoformat(choose(day for day, _, _ in days)) for choose in (min, max))
    length = -(-((last - first).days + 1) // PERIODS)
    gathered: list[Counter[str]] = [Counter() for _ in range(((last - first).days // length) + 1)]
    for day, label, votes in days:
        gathered[(date.fromisoformat(day) - first).days // length][label] += votes
    starts = [first + timedelta(days=length * index) for index in range(len(gathered))]
    return [
        Period(str(start), str(min(start + timedelta(days=length - 1), last)), dict(labels))
        for start, labels in zip(starts, gathered, strict=True)
    ]


_DAYS = """
SELECT substr(corrections.created_at, 1, 10) AS day, judgements.label AS label, count(*) AS votes
FROM judgements JOIN corrections ON corrections.id = judgements.correction_id
WHERE judgements.label IS NOT NULL GROUP BY day, judgements.label ORDER BY day
"""

_ANSWERS = """
SELECT judgements.label AS voted, queue_clips.label AS answered, count(*) AS votes
FROM judgements JOIN queue_clips ON queue_clips.clip_id = judgements.clip_id
WHERE judgements.label IS NOT NULL AND queue_clips.label IS NOT NULL GROUP BY voted, answered
"""

_DISPUTED = """
SELECT clip_id, label FROM queue_clips WHERE votes >= 2 AND dispute > 0
ORDER BY dispute DESC, votes DESC, clip_id LIMIT ?
"""


def _disputed(connection: Connection, labels: LabelSet) -> list[DisputedClip]:
    found = []
    for row in connection.execute(_DISPUTED, (DISPUTED,)).fetchall():
        votes = connection.execute(
            "SELECT label, count(*) FROM judgements WHERE clip_id = ? AND label IS NOT NULL GROUP BY label",
            (row["clip_id"],),
        )
        counted = Counter[str]()
        for label, count in votes:
            counted[labels.place_of(label) or ""] += count
        ordered = {label: counted[label] for label in labels.names if label in counted}
        # Votes that mean the same in this set are no dispute.
        if len(ordered) > 1:
            answer = row["label"] and (labels.place_of(row["label"]) or row["label"])
            found.append(DisputedClip(row["clip_id"], ordered, answer))
    return found


def _matrix(cells: Sequence[tuple[str, str, int]], labels: LabelSet) -> Numbers:
    matrix = np.zeros((len(labels), len(labels)))
    place = {label: index for index, label in enumerate(labels.names)}
    for row, column, count in cells:
        voted, answered = labels.place_of(row), labels.place_of(column)
        if voted is not None and answered is not None:
            matrix[place[voted], place[answered]] += count
    return matrix


def _raters(ratings: Ratings, drawn: Ratings, gold: Mapping[int, str]) -> list[RaterReliability]:
    """Reliability from the sample; votes and gold are counted over all."""
    labelled = ratings.labelled()
    votes = np.bincount(labelled.raters, minlength=len(ratings.names))
    known = np.array(
        [ratings.labels.index(gold[clip]) if clip in gold else -1 for clip in labelled.clips.tolist()], dtype=int
    )
    right = (known >= 0) & (labelled.shares.argmax(1) == known)
    place = {name: index for index, name in enumerate(ratings.names)}
    on_gold, right_ones = (
        np.bincount(labelled.raters, chosen, minlength=len(ratings.names)) for chosen in (known >= 0, right)
    )
    return [
        replace(
            rater,
            votes=int(votes[place[rater.rater]]),
            gold_right=round(right_ones[place[rater.rater]]),
            gold_total=round(on_gold[place[rater.rater]]),
        )
        for rater in agree(drawn, gold).raters
    ]


def _state(store: AnnotationStore) -> tuple[object, ...]:
    with store.reading() as connection:
        clock = connection.execute("SELECT now, forgotten FROM queue_clock").fetchone()
        counts = connection.execute(
            "SELECT (SELECT count(*) FROM clips), (SELECT max(id) FROM gold_marks), (SELECT max(id) FROM label_sets)"
        ).fetchone()
    return (*clock, *counts)
