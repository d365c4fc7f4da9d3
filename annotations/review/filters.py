"""Filters of the review queue, applied to its columns in memory."""

from dataclasses import dataclass
from sqlite3 import Connection

import numpy as np

from annotations.labels.stored import read_label_set
from annotations.review.index import Mask, QueueIndex
from annotations.review.suspects import open_suspects
from annotations.store.new_records import check_rater


@dataclass(frozen=True)
class QueueFilter:
    """Filters of the queue; None does not filter.

    Attributes:
        label: that the newest answer names.
        version_id: the model version that gave the newest answer.
        rater: somebody who has labelled the clip.
        source: where the clip comes from, as in `Clip.source`.
        min_duration: seconds.
        max_duration: seconds.
        language: of the clip, else as the transcriber detected it.
        suspected: only clips with a suspected label error.
        text: words that all stand in the transcript, as corrected or else as transcribed; `talk*` finds talking.
    """

    label: str | None = None
    version_id: int | None = None
    rater: str | None = None
    source: str | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    language: str | None = None
    text: str | None = None
    suspected: bool | None = None


NO_FILTER = QueueFilter()


def apply_filter(index: QueueIndex, connection: Connection, filters: QueueFilter, mask: Mask) -> None:
    """Take the clips that a filter leaves out off a mask; the index is up to date and locked."""
    columns, size = index.columns, index.size
    for name in ("label", "source", "language"):
        wanted = getattr(filters, name)
        if wanted is not None:
            # An answer may have been given over the seven, or over an earlier set.
            names = read_label_set(connection).sources(wanted) if name == "label" else (wanted,)
            mask &= np.isin(columns[name][:size], [index.code(name, other) for other in names])
    if filters.version_id is not None:
        mask &= columns["version"][:size] == filters.version_id
    if filters.min_duration is not None:
        mask &= columns["duration"][:size] >= filters.min_duration
    if filters.max_duration is not None:
        mask &= columns["duration"][:size] <= filters.max_duration
    if filters.rater is not None:
        mask &= index.judged_by(connection, check_rater(filters.rater))
    if filters.suspected:
        mask &= np.isin(np.arange(size), index.places(open_suspects(connection)))
    if filters.text is not None:
        found = index.with_words(connection, filters.text)
        if found is not None:
            mask &= found
