"""Columns of the review queue in memory, so that every order and filter is fast.

A copy of the tables `queue_clips` and `judgements`, brought up to date before each use by what `queue_clock` says is
newer; certainty and disputes are those of the store's own labels. Knows those tables; knows no order and no lease.
"""

import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from annotations.labels.label_set import DEFAULT
from annotations.labels.stored import read_label_set
from annotations.review.mapped import mapped_rows
from annotations.store import AnnotationStore

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]
Kind = TypeVar("Kind", bound=np.generic)

NUMBERS: dict[str, type[np.generic]] = {
    "id": np.int64,
    "duration": np.float32,
    "version": np.int32,
    "entropy": np.float32,
    "margin": np.float32,
    "disagreement": np.float32,
    "dispute": np.float32,
    "votes": np.int16,
    "judged": np.int16,
    "gold": np.bool_,
    "chance": np.uint32,
    "stored": np.int64,
    "consent": np.int8,
}
MAPPED = ("entropy", "margin", "disagreement", "dispute")
"""Columns that depend on the label set, in the order of `annotations.review.mapped.mapped_rows`."""

TEXTS = ("source", "language", "label", "speaker")
"""Kept as numbers: equal texts, equal numbers."""

NOTHING = -1
"""A number that is missing, in every column that may lack one."""

ROWS = f"""
SELECT clip_id, duration, coalesce(version_id, {NOTHING}), coalesce(entropy, {NOTHING}), coalesce(margin, {NOTHING}),
    coalesce(disagreement, {NOTHING}), dispute, min(votes, 32767), min(judged, 32767), gold, chance,
    stored, consent, source, language, label, speaker
FROM queue_clips
"""

BATCH = 50_000
KEPT_RATERS = 64
KEPT_SEARCHES = 32
"""Masks of raters and of searched words that are kept; the one that was used longest ago goes first."""


class QueueIndex:
    """The columns, one place a clip, in the order of the clips' ids.

    Attributes:
        lock: hold it from `refresh` until the last look at a column; other threads bring the columns up to date.
        size: places in use; slice every column by it.
        columns: the arrays, longer than `size`.
        alive: False at the places of clips that were erased or have lost their recording.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.size = 0
        self.columns = {name: np.zeros(0, kind) for name, kind in NUMBERS.items()}
        self.columns |= {name: np.zeros(0, np.int32) for name in TEXTS}
        self.alive = np.zeros(0, np.bool_)
        self._codes: dict[str, dict[str | None, int]] = {name: {None: NOTHING} for name in TEXTS}
        self._now = self._forgotten = -1
        self._labels = DEFAULT
        self._raters: OrderedDict[str, tuple[int, Mask]] = OrderedDict()
        self._searches: OrderedDict[str, tuple[int, Mask]] = OrderedDict()

    def refresh(self, connection: sqlite3.Connection) -> None:
        """Bring the columns up to the state that a connection sees.

        Args:
            connection: opened under the lock, so that no earlier one saw a later state.
        """
        now, forgotten = connection.execute("SELECT now, forgotten FROM queue_clock").fetchone()
        labels = read_label_set(connection)
        if labels != self._labels:
            self._labels, self._now = labels, -1
        if now <= self._now:
            return
        if self._now < 0:
            self._take(connection, f"{ROWS} ORDER BY clip_id")
        else:
            # The plus keeps SQLite from reading all clips by their ids, where the index on `changed` has few.
            self._take(connection, f"{ROWS} WHERE changed > ? ORDER BY +clip_id", (self._now,))
        # At the first look, too: clips that have lost their recording are listed here and keep their row above.
        erased = connection.execute("SELECT clip_id FROM queue_erased WHERE changed > ?", (self._now,))
        self.alive[self.places([row[0] for row in erased])] = False
        if forgotten != self._forgotten:
            self._raters.clear()
        self._now, self._forgotten = now, forgotten

    def places(self, clip_ids: Iterable[int]) -> Places:
        """Return the places of some clips; unknown ones are ignored."""
        wanted = np.fromiter(clip_ids, np.int64)
        ids = self.columns["id"][: self.size]
        found = np.searchsorted(ids, wanted)
        there = found < self.size
        there[there] = ids[found[there]] == wanted[there]
        return found[there]

    def code(self, column: str, text: str) -> int:
        """The number that stands for a text in a column; one that no row has if the text is unknown."""
        return self._codes[column].get(text, NOTHING - 1)

    def known_texts(self, column: str) -> list[str]:
        """List the texts of a column, in alphabetical order; some may stand on clips that were erased."""
        return sorted((text for text in self._codes[column] if text is not None), key=str.casefold)

    def ranks(self, column: str) -> npt.NDArray[np.float64]:
        """A number for each clip by the alphabetical order of a column's texts; NaN where there is none."""
        order = {text: place for place, text in enumerate(self.known_texts(column))}
        ranks = np.full(len(self._codes[column]) + 1, np.nan)
        for text, code in self._codes[column].items():
            if text is not None:
                ranks[code] = order[text]
        # Code -1 stands for no text, and is the last place.
        found: npt.NDArray[np.float64] = ranks[self.columns[column][: self.size]]
        return found

    def judged_by(self, connection: sqlite3.Connection, rater: str) -> Mask:
        """Return the mask of clips with a standing vote of a rater, skips and unsure ones included. Read only."""
        since, mask = self._raters.pop(rater, (-1, np.zeros(0, np.bool_)))
        mask = _grown(mask, len(self.alive))
        if since < self._now:
            rows = connection.execute(
                "SELECT clip_id, verdict IS NOT NULL FROM judgements WHERE rater = ? AND changed > ?",
                (rater, since),
            ).fetchall()
            for stands in (0, 1):
                mask[self.places(row[0] for row in rows if row[1] == stands)] = stands
        _keep(self._raters, rater, (self._now, mask), KEPT_RATERS)
        return mask[: self.size]

    def with_words(self, connection: sqlite3.Connection, text: str) -> Mask | None:
        """Return the mask of clips whose transcript matches a search, read only; None if it has no word."""
        words = search_words(text)
        if not words:
            return None
        since, mask = self._searches.pop(words, (-1, np.zeros(0, np.bool_)))
        mask = _grown(mask, len(self.alive))
        if since < 0:
            found = connection.execute("SELECT rowid FROM clip_words WHERE clip_words MATCH ?", (words,))
            mask[self.places(row[0] for row in found)] = True
        elif since < self._now:
            changed, matching = still_matching(connection, words, since)
            mask[self.places(changed)] = False
            mask[self.places(matching)] = True
        _keep(self._searches, words, (self._now, mask), KEPT_SEARCHES)
        return mask[: self.size]

    def _take(self, connection: sqlite3.Connection, query: str, values: Sequence[int] = ()) -> None:
        rows = connection.execute(query, values)
        while batch := rows.fetchmany(BATCH):
            table = list(zip(*batch, strict=True))
            self._put(table)
            if not self._labels.is_default:
                self._map(connection, table[0])

    def _map(self, connection: sqlite3.Connection, clips: Sequence[int]) -> None:
        """Set certainty and disputes to those of the store's own labels."""
        columns = list(zip(*mapped_rows(connection, self._labels, clips), strict=True))
        places = self.places(columns[0])
        for name, values in zip(MAPPED, columns[1:], strict=True):
            known = [NOTHING if value is None else value for value in values]
            self.columns[name][places] = np.array(known, np.float32)

    def _put(self, table: Sequence[Sequence[object]]) -> None:
        ids = np.array(table[0], np.int64)
        last = self.columns["id"][self.size - 1] if self.size else -1
        added = int(np.count_nonzero(ids > last))
        self._grow(self.size + added)
        # The rows come in the order of their ids, and a new clip's id is larger than that of any before it.
        fresh = np.arange(self.size, self.size + added)
        self.columns["id"][fresh] = ids[len(ids) - added :]
        self.size += added
        places = self.places(ids)
        self.alive[places] = True
        for (name, kind), values in zip(NUMBERS.items(), table, strict=False):
            self.columns[name][places] = np.array(values, kind)
        for name, texts in zip(TEXTS, table[len(NUMBERS) :], strict=True):
            codes = self._codes[name]
            for text in set(texts) - codes.keys():
                codes[text] = len(codes)  # type: ignore[index]
            self.columns[name][places] = np.fromiter((codes[text] for text in texts), np.int32)  # type: ignore[index]

    def _grow(self, size: int) -> None:
        if size > len(self.alive):
            room = max(size, 2 * self.size, 1024)
            self.columns = {name: _grown(column, room) for name, column in self.columns.items()}
            self.alive = _grown(self.alive, room)


def _grown(column: npt.NDArray[Kind], size: int) -> npt.NDArray[Kind]:
    if len(column) >= size:
        return column
    return np.concatenate([column, np.zeros(size - len(column), column.dtype)])


def _keep(kept: OrderedDict[str, tuple[int, Mask]], key: str, value: tuple[int, Mask], limit: int) -> None:
    kept[key] = value
    while len(kept) > limit:
        kept.popitem(last=False)


_INDEXES: WeakKeyDictionary[AnnotationStore, QueueIndex] = WeakKeyDictionary()
"""Index and masks in memory of each open store, filled when it is first asked for a clip."""


def index_of(store: AnnotationStore) -> QueueIndex:
    """The one index of a store in this process."""
    return _INDEXES.setdefault(store, QueueIndex())


CHUNK = 500


def search_words(text: str) -> str:
    """Convert typed words to a query of the full-text index: all words, in any order; `*` ends a prefix.

    >>> search_words('Kids "talk*", by')
    '"Kids" "talk"* "by"'
    >>> search_words("?!")
    ''
    """
    return " ".join(f'"{word}"{star}' for word, star in re.findall(r"(\w+)(\*?)", text))


def still_matching(connection: sqlite3.Connection, words: str, since: int) -> tuple[list[int], list[int]]:
    """List the clips whose words changed since a moment of the clock, and those of them that a search finds."""
    rows = connection.execute("SELECT clip_id FROM clip_texts WHERE changed > ?", (since,))
    changed = [row[0] for row in rows]
    matching: list[int] = []
    for start in range(0, len(changed), CHUNK):
        chunk = changed[start : start + CHUNK]
        marks = ",".join("?" * len(chunk))
        rows = connection.execute(
            f"SELECT rowid FROM clip_words WHERE clip_words MATCH ? AND rowid IN ({marks})", (words, *chunk)
        )
        matching += [row[0] for row in rows]
    return changed, matching
