"""Order and filters of the review queue: what the page offers, and what it sent back, checked. Knows no component."""

from collections.abc import Mapping
from typing import Any

from annotations import queries
from annotations.people import Person
from annotations.queue import QueueFilter, QueueOrder
from annotations.store import AnnotationStore
from ser.errors import SerError
from ser.labels import EMOTIONS


def orders() -> list[tuple[str, str]]:
    """(value, words) of every order."""
    return [(order.value, order.value) for order in QueueOrder]


def fields(store: AnnotationStore, reviewer: Person) -> list[dict[str, object]]:
    """What can be filtered by; by other raters only for those who may see what others have judged."""
    versions = [(str(version.id), version.name) for version in queries.list_versions(store)]
    offered: list[dict[str, object]] = [
        {"name": "text", "text": "words in the transcript", "kind": "search"},
        {"name": "label", "text": "the model says", "choices": [(label, label) for label in EMOTIONS]},
        {"name": "version_id", "text": "answered by", "choices": versions},
        {"name": "source", "text": "comes from"},
        {"name": "language", "text": "language, such as en"},
        {"name": "min_duration", "text": "at least, seconds", "kind": "number"},
        {"name": "max_duration", "text": "at most, seconds", "kind": "number"},
        {"name": "suspected", "text": "training", "choices": [("yes", "doubts the label")]},
    ]
    if reviewer.may("see other people's votes"):
        offered.append({"name": "rater", "text": "judged by"})
    return offered


def to_order(value: object) -> QueueOrder:
    """The order of that name; the usual one where a browser remembers one that is no more.

    >>> to_order("random"), to_order("whim")
    (<QueueOrder.RANDOM: 'random'>, <QueueOrder.LEAST_CERTAIN: 'least certain'>)
    """
    known = {order.value: order for order in QueueOrder}
    return known.get(str(value), QueueOrder.LEAST_CERTAIN)


def to_filter(given: Mapping[str, Any], reviewer: Person) -> QueueFilter:
    """The filter that a browser sent.

    Raises:
        SerError: where a number is none.
        NotAllowedError: where it asks what the reviewer may not see.
    """
    given = {name: str(value).strip() for name, value in given.items() if str(value).strip()}
    if "rater" in given:
        reviewer.require("see other people's votes")
    return QueueFilter(
        label=given.get("label"),
        version_id=_number(given, "version_id", int),
        rater=given.get("rater"),
        source=given.get("source"),
        min_duration=_number(given, "min_duration", float),
        max_duration=_number(given, "max_duration", float),
        language=given.get("language"),
        text=given.get("text"),
        suspected=True if "suspected" in given else None,
    )


def _number(given: Mapping[str, str], name: str, kind: type) -> Any:
    if name not in given:
        return None
    try:
        return kind(given[name])
    except ValueError as error:
        raise SerError(f"The filter {name} is '{given[name]}'; expected a number. Correct it, or clear it.") from error
