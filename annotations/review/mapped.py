"""Columns of the review queue as a store's own labels see them: certainty of answers, and disputes of votes."""

import itertools
import json
import math
import operator
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from annotations.labels.label_set import LabelSet
from annotations.store.rows import disagreement, margin

CHUNK = 500
"""Clips that are named in one query; more are asked for as a range."""

Row = tuple[int, float | None, float | None, float | None, float]
"""Clip, entropy, margin and disagreement of its newest answer (None without one), dispute of its votes."""


def mapped_rows(connection: sqlite3.Connection, labels: LabelSet, clips: Sequence[int]) -> Iterator[Row]:
    """Compute what the stored columns say, for answers and votes mapped to a label set.

    The stored ones are of labels as they were given: over the seven a model may be torn between two emotions that are
    one label of the set, and two votes may differ that mean the same.

    Args:
        connection: to read.
        labels: the set.
        clips: ids, ascending.
    """
    step = CHUNK if len(clips) <= CHUNK else len(clips)
    for chunk in (clips[place : place + step] for place in range(0, len(clips), step)):
        where, values = f"IN ({','.join('?' * len(chunk))})", list(chunk)
        if len(chunk) > CHUNK:
            where, values = "BETWEEN ? AND ?", [chunk[0], chunk[-1]]
        disputes = dict(_disputes(connection, labels, where, values))
        answers = connection.execute(
            "SELECT queue_clips.clip_id, scores FROM queue_clips LEFT JOIN predictions "
            f"ON predictions.id = queue_clips.prediction_id WHERE queue_clips.clip_id {where}",
            values,
        )
        for clip, scores in answers:
            yield clip, *certainty(labels, json.loads(scores) if scores else {}), disputes.get(clip, 0.0)


def _disputes(
    connection: sqlite3.Connection, labels: LabelSet, where: str, values: Sequence[int]
) -> Iterator[tuple[int, float]]:
    """The dispute of every clip with a vote, clips chosen by a condition."""
    query = f"SELECT clip_id, label FROM judgements WHERE label IS NOT NULL AND clip_id {where} ORDER BY clip_id"
    for clip, votes in itertools.groupby(connection.execute(query, values), operator.itemgetter(0)):
        yield clip, dispute_of(Counter(place for _, label in votes if (place := labels.place_of(label)) is not None))


def certainty(
    labels: LabelSet, scores: Mapping[str, Mapping[str, float] | None]
) -> tuple[float | None, float | None, float | None]:
    """Entropy, margin and disagreement of an answer over the labels that its model knows; None for what it lacks.

    >>> from annotations.labels.label_set import DEFAULT
    >>> certainty(DEFAULT, {"fused": {"fear": 0.5, "anger": 0.5}})[1:]
    (0.0, None)
    """
    fused, sound, words = (_known(labels, scores.get(part)) for part in ("fused", "acoustic", "text"))
    if not fused:
        return None, None, None
    bits = -sum(share * math.log(share) for share in fused.values() if share > 0)
    entropy = min(max(bits / math.log(len(fused)), 0.0), 1.0) if len(fused) > 1 else 0.0
    return entropy, margin(fused), disagreement(sound, words) if sound and words else None


def dispute_of(votes: Mapping[str, int]) -> float:
    """Dispute of votes, 0 for equal ones: the same measure as the stored one.

    >>> dispute_of({"fear": 2}), dispute_of({"fear": 1, "anger": 1})
    (0.0, 0.5)
    """
    total = sum(votes.values())
    return (total * total - sum(n * n for n in votes.values())) / (total * (total - 1.0) + 2.0) if total else 0.0


def _known(labels: LabelSet, given: Mapping[str, float] | None) -> dict[str, float]:
    return {name: share for name, share in labels.scores(given).items() if share is not None} if given else {}
