"""Votes by source, speaker and language, with their agreement with the model; hasty votes; agreement over time.

The part of `annotations.insights` that looks at where votes come from. Knows no page.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from annotations.labels.label_set import LabelSet
from annotations.raters.agreement import Agreement, label_agreement
from annotations.raters.ratings import Ratings
from annotations.store import AnnotationStore

GROUPINGS = ("source", "speaker", "language")

MOST_GROUPS = 15
"""Groups that are shown of each kind, those with the most votes."""

DRAWS = 200
"""Resamples for the interval of each stretch of time."""


@dataclass
class Group:
    """Votes on the clips of one source, speaker or language.

    Attributes:
        name: of it.
        labels: {label: votes}.
        compared: votes on clips that a model has answered.
        agreed: those of them that name the model's label.
    """

    name: str
    labels: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    agreed: int = 0

    @property
    def votes(self) -> int:
        """All votes that name a label."""
        return self.labels.total()


@dataclass(frozen=True)
class Haste:
    """Votes of a rater whose time is known, and those that came before half of the clip had been played."""

    timed: int
    hasty: int


def groups_of_votes(store: AnnotationStore, labels: LabelSet) -> dict[str, list[Group]]:
    """Count votes by source, speaker and language, most votes first; clips without the fact are in no group.

    Args:
        store: to read.
        labels: of the store; votes and answers are mapped to them.

    Returns:
        {one of `GROUPINGS`: groups, at most `MOST_GROUPS`}.
    """
    return {grouping: _groups(store, grouping, labels) for grouping in GROUPINGS}


def hasty_votes(store: AnnotationStore) -> dict[str, Haste]:
    """Count each rater's standing votes that came too fast to have listened."""
    rows = store.fetch(
        "SELECT judgements.rater AS rater, count(*) AS timed, sum(corrections.seconds < 0.5 * duration) AS hasty "
        "FROM judgements JOIN corrections ON corrections.id = judgements.correction_id "
        "JOIN queue_clips ON queue_clips.clip_id = judgements.clip_id "
        "WHERE judgements.verdict IS NOT NULL AND corrections.seconds IS NOT NULL GROUP BY judgements.rater"
    )
    return {row["rater"]: Haste(row["timed"], row["hasty"]) for row in rows}


def agreement_over_time(
    store: AnnotationStore, ratings: Ratings, stretches: Sequence[tuple[str, str]]
) -> list[Agreement]:
    """Compute the agreement on the clips whose last vote falls in each stretch of days.

    Args:
        store: to read the days of.
        ratings: votes to compute on.
        stretches: (first day, last day), ISO dates.
    """
    last: Mapping[int, str] = dict(
        tuple(row)
        for row in store.fetch(
            "SELECT judgements.clip_id, max(substr(created_at, 1, 10)) FROM judgements "
            "JOIN corrections ON corrections.id = judgements.correction_id "
            "WHERE judgements.label IS NOT NULL GROUP BY judgements.clip_id HAVING count(*) > 1"
        )
    )
    days = np.array([last.get(clip, "") for clip in ratings.clips.tolist()], dtype="U10")
    return [
        label_agreement(ratings.where((days >= first) & (days <= end)), resamples=DRAWS) for first, end in stretches
    ]


def _groups(store: AnnotationStore, grouping: str, labels: LabelSet) -> list[Group]:
    rows = store.fetch(
        f"SELECT queue_clips.{grouping} AS name, judgements.label AS voted, queue_clips.label AS answered, "
        "count(*) AS votes FROM judgements JOIN queue_clips USING (clip_id) "
        f"WHERE judgements.label IS NOT NULL AND queue_clips.{grouping} IS NOT NULL GROUP BY name, voted, answered"
    )
    found: dict[str, Group] = {}
    for row in rows:
        voted = labels.place_of(row["voted"])
        if voted is None:
            continue
        group = found.setdefault(row["name"], Group(row["name"]))
        group.labels[voted] += row["votes"]
        if row["answered"] is not None:
            group.compared += row["votes"]
            group.agreed += row["votes"] * (labels.place_of(row["answered"]) == voted)
    return sorted(found.values(), key=lambda group: -group.votes)[:MOST_GROUPS]
