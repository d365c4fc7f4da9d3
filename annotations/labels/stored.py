"""The label set of a store: read, changed, and every earlier one."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from sqlite3 import Connection, Row

from annotations.labels.files import parse_labels, to_plain
from annotations.labels.label_set import DEFAULT, LabelSet, combine_mappings
from annotations.store import AnnotationStore
from annotations.store.new_records import check_rater
from annotations.store.rows import insert_row, timestamp, to_json


@dataclass(frozen=True)
class LabelSetChange:
    """A label set as somebody left it.

    Attributes:
        labels: the set.
        by: who.
        at: when, ISO 8601.
    """

    labels: LabelSet
    by: str
    at: str


def label_set(store: AnnotationStore) -> LabelSet:
    """The label set in force; the seven emotions if nobody chose another one."""
    with store.reading() as connection:
        return read_label_set(connection)


def read_label_set(connection: Connection) -> LabelSet:
    """The label set in force, on an open connection."""
    row = connection.execute("SELECT * FROM label_sets ORDER BY id DESC LIMIT 1").fetchone()
    return DEFAULT if row is None else _of(row).labels


def change_label_set(store: AnnotationStore, labels: LabelSet, *, by: str) -> LabelSet:
    """Let another label set hold from now on; earlier ones stay on record, and votes as they were given.

    Args:
        store: to write to.
        labels: the set, with what earlier labels are mapped to.
        by: who decides.

    Returns:
        The set, its mapping joined with that of the one before.

    Raises:
        InvalidVoteError: if nobody is named.
    """
    by = check_rater(by)
    with store.database.writing() as connection:
        mapping = combine_mappings(read_label_set(connection), labels.labels, labels.mapping)
        joined = LabelSet(labels.labels, mapping)
        insert_row(connection, "label_sets", labels=to_json(to_plain(joined)), changed_by=by, created_at=timestamp())
    return joined


def list_label_sets(store: AnnotationStore) -> list[LabelSetChange]:
    """List every change ever made, newest first."""
    return [_of(row) for row in store.fetch("SELECT * FROM label_sets ORDER BY id DESC")]


def votes_outside(store: AnnotationStore) -> Mapping[str, int]:
    """Count standing votes whose label has no place in the set: {label: votes}."""
    with store.reading() as connection:
        labels = read_label_set(connection)
        rows = connection.execute("SELECT label, count(*) FROM judgements WHERE label IS NOT NULL GROUP BY label")
        counts = Counter({label: count for label, count in rows})
    return {label: counts[label] for label, _ in counts.most_common() if labels.place_of(label) is None}


def _of(row: Row) -> LabelSetChange:
    return LabelSetChange(parse_labels(json.loads(row["labels"])), row["changed_by"], row["created_at"])
