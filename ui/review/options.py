"""Order and filters of the review queue: what the page offers, and what it sent back, checked. Knows no component."""

from collections.abc import Mapping
from typing import Any

from annotations.labels.stored import label_set
from annotations.raters.people import Person
from annotations.review.filters import QueueFilter
from annotations.review.order import DEFAULT_ORDER
from annotations.review.queue import QueueOrder
from annotations.store import AnnotationStore, queries
from ser.errors import SerError

ORDER_NAMES = {
    QueueOrder.LEAST_CERTAIN: "Least sure first",
    QueueOrder.SMALLEST_MARGIN: "Close calls",
    QueueOrder.SOUND_AGAINST_WORDS: "Voice and words disagree",
    QueueOrder.MOST_DISPUTED: "Raters disagree",
    QueueOrder.MOST_INFORMATIVE: "Typical first",
    QueueOrder.NEW_OR_SECOND: "New clips, doubtful ones again",
    QueueOrder.RANDOM: "Random",
    QueueOrder.OLDEST: "Oldest first",
}


def orders() -> list[tuple[str, str]]:
    """List (value, words) of every order, the default one first."""
    listed = sorted(QueueOrder, key=lambda order: order is not DEFAULT_ORDER)
    return [(order.value, ORDER_NAMES[order]) for order in listed]


def fields(store: AnnotationStore, reviewer: Person) -> list[dict[str, object]]:
    """List the filters; by other raters only for those who may see their votes."""
    versions = [(str(version.id), version.name) for version in queries.list_versions(store)]
    offered: list[dict[str, object]] = [
        {"name": "text", "text": "Words in the transcript", "kind": "search"},
        {"name": "label", "text": "Model label", "choices": [(label, label) for label in label_set(store).names]},
        {"name": "version_id", "text": "Model version", "choices": versions},
        {"name": "source", "text": "Source"},
        {"name": "language", "text": "Language, such as en"},
        {"name": "min_duration", "text": "Min. length (s)", "kind": "number"},
        {"name": "max_duration", "text": "Max. length (s)", "kind": "number"},
        {"name": "suspected", "text": "Training status", "choices": [("yes", "suspected label error")]},
    ]
    if reviewer.may("see other people's votes"):
        offered.append({"name": "rater", "text": "Rater"})
    return offered


def to_order(value: object) -> QueueOrder:
    """Parse an order; the default one if a browser remembers one that no longer exists.

    >>> to_order("random"), to_order("whim")
    (<QueueOrder.RANDOM: 'random'>, <QueueOrder.MOST_INFORMATIVE: 'most informative'>)
    """
    known = {order.value: order for order in QueueOrder}
    return known.get(str(value), DEFAULT_ORDER)


def to_filter(given: Mapping[str, Any], reviewer: Person) -> QueueFilter:
    """The filter that a browser sent.

    Raises:
        SerError: if a number is none.
        NotAllowedError: if it asks what the reviewer may not see.
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
