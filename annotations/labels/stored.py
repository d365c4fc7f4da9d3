"""The label set of a store: read, previewed, changed, and every earlier one."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Connection, Row

from annotations.errors import InvalidSettingError
from annotations.labels.files import parse_labels, to_plain
from annotations.labels.label_set import DEFAULT, LabelSet, combine_mappings
from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater
from annotations.store.rows import insert_row, timestamp, to_json


@dataclass(frozen=True)
class LabelSetChange:
    """A label set as somebody left it.

    Attributes:
        number: of the change, 1 for the first one.
        labels: the set.
        by: who.
        at: when, ISO 8601.
    """

    number: int
    labels: LabelSet
    by: str
    at: str


@dataclass(frozen=True)
class Move:
    """Votes for one label, as they were given, and what they count as.

    Attributes:
        given: label of the votes.
        votes: standing ones.
        before: label of the present set that they count as; None if they count nowhere.
        after: the same in another set.
    """

    given: str
    votes: int
    before: str | None
    after: str | None

    def words(self) -> str:
        """Say it in a sentence.

        >>> Move("fear", 3, "fear", "in distress").words(), Move("fear", 1, "fear", None).words()
        ("3 votes for 'fear': would count as 'in distress'.", "1 vote for 'fear': kept, would not count.")
        """
        votes = f"{self.votes} vote{'' if self.votes == 1 else 's'} for '{self.given}'"
        if self.after is None:
            return f"{votes}: kept, would not count."
        if self.after == self.before:
            return f"{votes}: count as '{self.after}' as before."
        return f"{votes}: would count as '{self.after}'."


def label_set(store: AnnotationStore) -> LabelSet:
    """The label set in force; the seven emotions if nobody chose another one."""
    with store.reading() as connection:
        return read_label_set(connection)


def read_label_set(connection: Connection) -> LabelSet:
    """The label set in force, on an open connection."""
    row = connection.execute("SELECT * FROM label_sets ORDER BY id DESC LIMIT 1").fetchone()
    return DEFAULT if row is None else _of(row).labels


def label_set_number(store: AnnotationStore) -> int:
    """The number of the last change; 0 if nobody chose a label set yet."""
    with store.reading() as connection:
        return _number(connection)


def preview_label_set(
    store: AnnotationStore, labels: LabelSet, *, forget: Sequence[str] = ()
) -> tuple[LabelSet, list[Move]]:
    """Show what `change_label_set` would do; changes nothing.

    Returns:
        The set as it would hold, and every label that standing votes were given with, the most frequent first.
    """
    with store.reading() as connection:
        before = read_label_set(connection)
        joined = _joined(before, labels, forget)
        counts = _given(connection)
    return joined, [Move(name, count, before.place_of(name), joined.place_of(name)) for name, count in counts.items()]


def change_label_set(
    store: AnnotationStore, labels: LabelSet, *, by: str, forget: Sequence[str] = (), replaces: int | None = None
) -> LabelSet:
    """Let another label set hold from now on; earlier ones stay on record, and votes as they were given.

    Args:
        store: to write to.
        labels: the set, with what earlier labels are mapped to.
        by: who decides.
        forget: earlier labels whose mapping is not carried over.
        replaces: number of the change that the decision was made upon; None for whichever holds.

    Returns:
        The set, its mapping joined with that of the one before.

    Raises:
        InvalidSettingError: if somebody else changed the set meanwhile.
        InvalidVoteError: if nobody is named.
    """
    by = check_rater(by)
    with store.database.writing() as connection:
        if replaces is not None and replaces != _number(connection):
            raise InvalidSettingError(
                "Somebody else has changed the labels meanwhile, and nothing was saved. Open the labels again."
            )
        joined = _joined(read_label_set(connection), labels, forget)
        insert_row(connection, "label_sets", labels=to_json(to_plain(joined)), changed_by=by, created_at=timestamp())
    return joined


def list_label_sets(store: AnnotationStore) -> list[LabelSetChange]:
    """List every change ever made, newest first."""
    return [_of(row) for row in store.fetch("SELECT * FROM label_sets ORDER BY id DESC")]


def votes_outside(store: AnnotationStore) -> Mapping[str, int]:
    """Count standing votes whose label has no place in the set: {label: votes}."""
    with store.reading() as connection:
        labels, counts = read_label_set(connection), _given(connection)
    return {label: count for label, count in counts.items() if labels.place_of(label) is None}


def _joined(before: LabelSet, labels: LabelSet, forget: Sequence[str]) -> LabelSet:
    mapping = combine_mappings(before, labels.labels, labels.mapping)
    return LabelSet(labels.labels, {old: new for old, new in mapping.items() if old not in forget})


def _given(connection: Connection) -> Mapping[str, int]:
    rows = connection.execute("SELECT label, count(*) FROM judgements WHERE label IS NOT NULL GROUP BY label")
    return dict(Counter({label: count for label, count in rows}).most_common())


def _number(connection: Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM label_sets").fetchone()[0])


def _of(row: Row) -> LabelSetChange:
    return LabelSetChange(row["id"], parse_labels(json.loads(row["labels"])), row["changed_by"], row["created_at"])
