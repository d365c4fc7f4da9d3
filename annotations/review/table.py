"""The list of all stored clips: found by filters, put in an order, read a page at a time.

Finds in memory (`annotations.review.index`), as the queue does; what a page shows is read from the database. People who
may not see others' votes find and see clips by their own votes alone, and visitors their own clips alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from annotations.errors import StoreError
from annotations.labels.stored import label_set
from annotations.raters.disclosure import hides_answers, voting_is_over
from annotations.raters.people import Person
from annotations.raters.votes import gold_labels
from annotations.review.clip_filters import (
    SEE_VOTES,
    ClipFilter,
    apply_columns,
    check_allowed,
    chosen_by_votes,
    mask_of,
    with_text,
)
from annotations.review.filters import apply_filter
from annotations.review.index import NOTHING, QueueIndex, index_of
from annotations.store import AnnotationStore
from annotations.store.records import Clip
from annotations.store.rows import CLIPS, to_clip

Ids = npt.NDArray[np.int64]

ORDERS = ("stored", "voted", "duration", "label", "certainty", "words", "dispute", "votes", "source", "speaker")
"""Columns that the list can be sorted by; `voted` is the time of the rater's vote, else of the person's own."""


@dataclass(frozen=True)
class ClipRow:
    """A clip as the list shows it.

    Attributes:
        clip: the recording.
        file: name of the file that it was imported from.
        text: what was said, as last corrected.
        label: of the newest answer; None without one, or where it is hidden until the person's own vote.
        confidence: of that label.
        version: that gave the answer.
        votes: {label: standing votes}, as far as the person may see them; `unsure` and `skip` among them.
        mine: the person's own standing vote, likewise.
        count: labels that people gave.
        gold: known label, for who may know it.
    """

    clip: Clip
    file: str | None = None
    text: str = ""
    label: str | None = None
    confidence: float | None = None
    version: str | None = None
    votes: Mapping[str, int] = field(default_factory=dict)
    mine: str | None = None
    count: int = 0
    gold: str | None = None


def find_clips(
    store: AnnotationStore,
    person: Person,
    filters: ClipFilter | None = None,
    *,
    order: str = "stored",
    descending: bool = True,
) -> Ids:
    """Find all clips that a person may see and that filters let through, in an order.

    Args:
        store: to read.
        person: who looks.
        filters: which clips; None for all.
        order: one of `ORDERS`; clips without the value come last.
        descending: the largest, newest, or last in the alphabet first.

    Returns:
        Their ids, shape (clips,).

    Raises:
        NotAllowedError: if a filter or an order would show what the person may not see.
        StoreError: if there is no such order.
    """
    filters = filters or ClipFilter()
    if order not in ORDERS:
        raise StoreError(f"The order is '{order}'; expected one of {', '.join(ORDERS)}.")
    check_allowed(store, person, filters, order)
    # What is read of other tables is read before the lock is taken, so that votes need not wait for it.
    chosen = chosen_by_votes(store, person, filters)
    times = _vote_times(store, filters.rater or person.name) if order == "voted" else {}
    index = index_of(store)
    with index.lock, store.reading() as connection:
        index.refresh(connection)
        mask = index.alive[: index.size].copy()
        mask[index.places(row["clip_id"] for row in connection.execute("SELECT clip_id FROM missing_media"))] = True
        # Rows whose clip was erased are marked dead and have no row any more.
        apply_filter(index, connection, replace(filters, text=None), mask)
        apply_columns(index, filters, mask)
        for ids in chosen:
            mask &= mask_of(index, ids)
        if filters.text is not None:
            mask &= with_text(index, connection, person, filters.text)
        places = np.flatnonzero(mask)
        keys = _keys(index, order, times)[places]
        ids = index.columns["id"][places]
    sign = -1 if descending else 1
    found: Ids = ids[np.lexsort((sign * ids, sign * keys))]
    return found


def read_rows(store: AnnotationStore, person: Person, clip_ids: Sequence[int]) -> list[ClipRow]:
    """Read what the list shows of some clips, in the order asked for; those erased meanwhile are left out.

    Args:
        store: to read.
        person: who looks; decides which votes and answers are shown.
        clip_ids: of a page.
    """
    labels = label_set(store)
    gold = gold_labels(store) if person.may("change settings") else {}
    listed = json.dumps([int(clip_id) for clip_id in clip_ids])
    with store.reading() as connection:
        stored = connection.execute(_PAGE, (listed,)).fetchall()
        said = connection.execute(_VOTES_ON, (listed,)).fetchall()
        over = voting_is_over(connection, clip_ids) if person.may("review stored clips") else frozenset()
        own = {row["clip_id"]: row["label"] or row["verdict"] for row in said if row["rater"] == person.name}
        hidden = hides_answers(connection, person)
    own = own if person.proved else {}
    votes: dict[int, dict[str, int]] = {}
    for row in said:
        mine = person.proved and row["rater"] == person.name
        if mine or person.may(SEE_VOTES) or row["clip_id"] in over:
            name = labels.place_of(row["label"]) or row["label"] if row["label"] else row["verdict"]
            counts = votes.setdefault(row["clip_id"], {})
            counts[name] = counts.get(name, 0) + 1
    rows = {}
    for row in stored:
        clip = to_clip(row)
        shown = row["scores"] is not None and (not hidden or clip.id in own)
        scores = labels.scores(json.loads(row["scores"])["fused"]) if shown else {}
        label = max((n for n in scores if scores[n] is not None), key=lambda n: scores[n] or 0.0, default=None)
        rows[clip.id] = ClipRow(
            clip,
            file=row["original_name"],
            text=row["text"] or "",
            label=label,
            confidence=scores[label] if label else None,
            version=row["version"] if shown else None,
            votes=votes.get(clip.id, {}),
            mine=own.get(clip.id),
            count=row["votes"],
            gold=gold.get(clip.id),
        )
    return [rows[int(clip_id)] for clip_id in clip_ids if int(clip_id) in rows]


def known_texts(store: AnnotationStore, column: str) -> list[str]:
    """List the sources, speakers or languages that there are, in alphabetical order."""
    index = index_of(store)
    with index.lock, store.reading() as connection:
        index.refresh(connection)
        return index.known_texts(column)


_PAGE = f"""
SELECT page.*, text, queue_clips.votes, scores, model_versions.name AS version
FROM ({CLIPS} WHERE clips.id IN (SELECT value FROM json_each(?))) AS page
JOIN queue_clips ON queue_clips.clip_id = page.id
LEFT JOIN clip_texts ON clip_texts.clip_id = page.id
LEFT JOIN predictions ON predictions.id = queue_clips.prediction_id
LEFT JOIN model_versions ON model_versions.id = predictions.model_version_id
"""

_VOTES_ON = """
SELECT clip_id, rater, label, verdict FROM judgements
WHERE verdict IS NOT NULL AND clip_id IN (SELECT value FROM json_each(?)) ORDER BY clip_id
"""


def _vote_times(store: AnnotationStore, rater: str) -> Mapping[int, int]:
    """{clip: number of a rater's standing vote}, which grows with time."""
    query = "SELECT clip_id, correction_id FROM judgements WHERE rater = ? AND verdict IS NOT NULL"
    return dict(tuple(row) for row in store.fetch(query, (rater,)))


def _keys(index: QueueIndex, order: str, times: Mapping[int, int]) -> npt.NDArray[np.float64]:
    if order in ("label", "source", "speaker"):
        return index.ranks(order)
    if order == "voted":
        keys = np.full(index.size, np.nan)
        keys[index.places(times)] = [times[int(n)] for n in index.columns["id"][index.places(times)]]
        return keys
    name = {"certainty": "entropy", "words": "disagreement"}.get(order, order)
    keys = index.columns[name][: index.size].astype(np.float64)
    if name in ("entropy", "disagreement"):
        keys[keys == NOTHING] = np.nan
    return 1 - keys if order == "certainty" else keys
