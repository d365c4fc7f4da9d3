"""The review queue: the next clip for a rater, by order and filters.

Chooses in memory (`annotations.review.index`); what it gives out is read from the database.
"""

import itertools
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from sqlite3 import Connection

import numpy as np

from annotations.raters.votes import gold_is_due
from annotations.review.filters import NO_FILTER, QueueFilter, apply_filter
from annotations.review.index import Mask, Places, QueueIndex, index_of
from annotations.review.items import read_items
from annotations.review.leases import leased_to_others, release_lease, take_lease
from annotations.review.order import DEFAULT_ORDER, POOL, RETURNED_FIRST, QueueOrder, covering, first_places, order_keys
from annotations.review.second_votes import new_and_doubtful
from annotations.review.suspects import returned_clips
from annotations.store import AnnotationStore
from annotations.store.embeddings import Embeddings, read_embeddings
from annotations.store.new_records import check_rater
from annotations.store.records import WHOLE, ReviewItem
from annotations.store.settings import AnnotationSettings, settings_in_force

__all__ = ["QueueFilter", "QueueOrder", "next_clip", "order_note", "queue_length", "queue_page", "release_lease"]

CANDIDATES = 32
"""Clips of which a rater gets the first that nobody else has taken meanwhile; more than people ask at once."""

LATELY = 128
"""Most recently labelled clips that count as known to `QueueOrder.MOST_INFORMATIVE`."""

MOST_VOTES = 3
"""Votes on a clip from which on `QueueOrder.NEW_OR_SECOND` asks for no further one."""

DOUBTFUL = 128
"""Clips with votes that it looks at, drawn at random."""

VOTES = 8
"""Greatest mean number of clips of each that are searched for them."""


def next_clip(
    store: AnnotationStore,
    rater: str,
    *,
    order: QueueOrder = DEFAULT_ORDER,
    filters: QueueFilter = NO_FILTER,
    exclude: Collection[int] = (),
) -> ReviewItem | None:
    """Return the next clip for a rater, reserved for a while unless everybody may have it at once.

    Clips without a vote that nobody else is labelling come first, so that people who label together spread over them;
    where votes per clip are limited, that many may label one together. Nobody gets a clip that they have labelled; a
    skip and an unsure count, a vote taken back does not, so that its clip comes again. Gold clips come at the rate that
    the settings say, and where nothing else is left; they are given to everybody.

    Args:
        store: to read; a lease is written to it.
        rater: who asks.
        order: which one first.
        filters: among which.
        exclude: ids of clips not to give, such as the one on the page now.

    Returns:
        The clip with its newest prediction, or None if the rater has labelled all that they may have.

    Raises:
        InvalidVoteError: if the rater's name cannot be.
    """
    rater = check_rater(rater)
    left_out = set(exclude)
    while True:
        with _looking(store, rater, filters, left_out) as look:
            candidates, free = _candidates(look, order)
            if not candidates:
                return None
            if free:
                return next(iter(read_items(store, look.connection, candidates[:1])), None)
            settings = look.settings
        # A second vote may be wanted on a clip that has one: then only who labels it now is counted.
        any_number = order is QueueOrder.NEW_OR_SECOND and settings.overlap is None
        overlap = None if any_number else settings.overlap or 1
        clip_id = take_lease(store, rater, candidates, overlap=overlap, minutes=settings.lease_minutes)
        if clip_id is not None:
            with store.reading() as connection:
                items = read_items(store, connection, [clip_id])
            if items:  # Else it was erased this very moment.
                return items[0]
        left_out.update(candidates)


def queue_page(
    store: AnnotationStore,
    rater: str,
    order: QueueOrder = DEFAULT_ORDER,
    filters: QueueFilter = NO_FILTER,
    *,
    limit: int = 50,
) -> list[ReviewItem]:
    """List a rater's queue in its order; takes no lease, and does not tell which clips are gold.

    Args:
        store: to read.
        rater: whose queue.
        order: which first.
        filters: among which.
        limit: clips at most.
    """
    with _looking(store, check_rater(rater), filters, ()) as look:
        return read_items(store, look.connection, _ordered(look, order, look.mask, limit))


def queue_length(store: AnnotationStore, rater: str, filters: QueueFilter = NO_FILTER) -> int:
    """Count the clips that a rater may still label."""
    with _looking(store, check_rater(rater), filters, ()) as look:
        return int(np.count_nonzero(look.mask))


_NO_MODEL = "No model has analysed the clips yet, so they come as they were stored."

_NO_EMBEDDING = (
    "embeddings",
    "No clip has been embedded yet, so the least sure come first. Pre-label the clips under Manage to change that.",
)

_NEEDS = {
    QueueOrder.LEAST_CERTAIN: ("queue_clips WHERE entropy IS NOT NULL", _NO_MODEL),
    QueueOrder.SMALLEST_MARGIN: ("queue_clips WHERE margin IS NOT NULL", _NO_MODEL),
    QueueOrder.SOUND_AGAINST_WORDS: (
        "queue_clips WHERE disagreement IS NOT NULL",
        "No words have been read for their emotion yet, so that the clips come as they were stored.",
    ),
    QueueOrder.MOST_DISPUTED: (
        "queue_clips WHERE dispute > 0",
        "No two raters disagree yet, so that the clips come as they were stored.",
    ),
    QueueOrder.MOST_INFORMATIVE: _NO_EMBEDDING,
    QueueOrder.NEW_OR_SECOND: _NO_EMBEDDING,
}
"""{order: (rows that it needs, the note where there are none)}"""


def order_note(store: AnnotationStore, order: QueueOrder) -> str | None:
    """Explain why an order cannot work yet; None if it can."""
    rows, note = _NEEDS.get(order, ("queue_clock", None))
    return None if store.fetch(f"SELECT 1 FROM {rows} LIMIT 1") else note


_JUDGED_LAST = """
SELECT clip_id FROM (SELECT id, clip_id FROM corrections ORDER BY id DESC LIMIT ?)
GROUP BY clip_id ORDER BY max(id) DESC LIMIT ?
"""


@dataclass(frozen=True)
class _Look:
    """One look at the queue: the columns as of one moment, and which clips a rater may have.

    Attributes:
        mask: which clips they may have, filters applied.
        returned: clips with a suspected label error, or queued again by hand.
    """

    index: QueueIndex
    connection: Connection
    settings: AnnotationSettings
    rater: str
    given: int
    mask: Mask
    returned: Places


@contextmanager
def _looking(store: AnnotationStore, rater: str, filters: QueueFilter, exclude: Collection[int]) -> Iterator[_Look]:
    index = index_of(store)
    with index.lock, store.reading() as connection:
        index.refresh(connection)
        settings = settings_in_force(connection)
        judged = index.judged_by(connection, rater)
        mask = index.alive[: index.size] & ~judged
        # A suspected label error, and what was queued again, is to be labelled once more, by anybody.
        returned = index.places(returned_clips(connection))
        mask[returned] = index.alive[returned]
        lost = connection.execute("SELECT clip_id FROM missing_media")
        mask[index.places(row["clip_id"] for row in lost)] = False
        # Its parts are labelled, not a recording of an hour.
        mask &= index.columns["source"][: index.size] != index.code("source", WHOLE)
        if settings.overlap is not None:
            _leave_finished(index, connection, rater, settings, mask, returned)
        apply_filter(index, connection, filters, mask)
        left_out = index.places(exclude)
        given = int(np.count_nonzero(judged)) + int(np.count_nonzero(~judged[left_out]))
        mask[left_out] = False
        yield _Look(index, connection, settings, rater, given, mask, returned)


def _leave_finished(
    index: QueueIndex, connection: Connection, rater: str, settings: AnnotationSettings, mask: Mask, returned: Places
) -> None:
    """Remove clips with enough votes, counting those who are labelling them now; gold is for everybody."""
    people = index.columns["judged"][: index.size]
    held = leased_to_others(connection, rater)
    lacking = people < settings.overlap
    for clip_id, others in held.items():
        place = index.places([clip_id])
        lacking[place] = people[place] + others < settings.overlap
    lacking[returned] = True
    if settings.gold_rate > 0:
        lacking |= index.columns["gold"][: index.size]
    mask &= lacking


def _candidates(look: _Look, order: QueueOrder) -> tuple[list[int], bool]:
    """Clips that would do, best first, and whether the first may be given to several people at once."""
    mask, index = look.mask, look.index
    rate = look.settings.gold_rate
    if rate > 0:
        gold = index.columns["gold"][: index.size]
        known, ordinary = mask & gold, mask & ~gold
        if known.any() and (not ordinary.any() or gold_is_due(look.rater, look.given, rate)):
            return _ordered(look, QueueOrder.RANDOM, known, 1), True
        mask = ordinary
    if order is QueueOrder.NEW_OR_SECOND:
        return _new_or_second(look, mask), False
    if look.settings.overlap is not None:
        return _ordered(look, order, mask, CANDIDATES), False
    second = order is QueueOrder.MOST_DISPUTED or (order in RETURNED_FIRST and mask[look.returned].any())
    fresh = mask & (index.columns["judged"][: index.size] == 0)
    fresh[index.places(leased_to_others(look.connection, look.rater))] = False
    if second or not fresh.any():
        return _ordered(look, order, mask, CANDIDATES), True
    return _ordered(look, order, fresh, CANDIDATES), False


def _new_or_second(look: _Look, mask: Mask) -> list[int]:
    """Clips for a first or another vote; suspected label errors before all, and none that somebody is labelling.

    Of clips with votes some drawn at random are looked at; beyond `MOST_VOTES` another vote tells little.
    """
    index = look.index
    voted = index.columns["judged"][: index.size]
    free = mask.copy()
    free[index.places(leased_to_others(look.connection, look.rater))] = False
    returned = look.returned[free[look.returned]]
    free[returned] = False
    new = _ordered(look, QueueOrder.MOST_INFORMATIVE, free & (voted == 0), CANDIDATES)
    several = free & (voted > 0) & (voted < MOST_VOTES)
    doubtful = _ordered(look, QueueOrder.RANDOM, several, DOUBTFUL)
    merged = new_and_doubtful(look.connection, new, doubtful) if doubtful else new
    rest = [] if merged else _ordered(look, QueueOrder.RANDOM, free, CANDIDATES)
    return [*(int(clip) for clip in index.columns["id"][returned]), *merged, *rest][:CANDIDATES]


def _ordered(look: _Look, order: QueueOrder, mask: Mask, limit: int) -> list[int]:
    """The ids of the first clips of a mask in an order."""
    index = look.index
    first: list[int] = []
    if order is QueueOrder.NEW_OR_SECOND:
        first = _new_or_second(look, mask)[:limit]
        mask = mask.copy()
        mask[index.places(first)] = False
        order = QueueOrder.RANDOM
    elif order is QueueOrder.MOST_INFORMATIVE:
        mask = mask.copy()
        returned = look.returned[mask[look.returned]]
        mask[returned] = False
        first = [int(clip_id) for clip_id in index.columns["id"][returned]][:limit]
        pool = _pool(look, mask)
        first += itertools.islice(_informative(look, pool), limit - len(first))
        mask[index.places(pool)] = False
        order = order if pool else QueueOrder.LEAST_CERTAIN
    if len(first) == limit:
        return first
    keys = order_keys(index, order, look.rater, look.returned)
    chosen = first_places(keys, mask, limit - len(first))
    return first + [int(clip_id) for clip_id in index.columns["id"][chosen]]


def _pool(look: _Look, mask: Mask) -> Embeddings:
    """Draw clips of a mask at random, from which the most informative are chosen; only those with an embedding."""
    keys = order_keys(look.index, QueueOrder.MOST_INFORMATIVE, look.rater)
    drawn = look.index.columns["id"][first_places(keys, mask, POOL)].tolist()
    embeddings = read_embeddings(look.connection, drawn)
    return {clip_id: embeddings[clip_id] for clip_id in drawn if clip_id in embeddings}


def _informative(look: _Look, pool: Embeddings) -> Iterator[int]:
    """The clips of a pool, the most informative first."""
    if not pool:
        return
    lately = look.connection.execute(_JUDGED_LAST, (VOTES * LATELY, LATELY))
    known = [*read_embeddings(look.connection, [row["clip_id"] for row in lately]).values()]
    clip_ids, embeddings = list(pool), np.stack([*pool.values()])
    for place in covering(embeddings, np.stack(known) if known else embeddings[:0]):
        yield clip_ids[place]
