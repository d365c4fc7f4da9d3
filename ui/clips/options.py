"""Filters and orders of the clips tab: what the page offers to whom, and what it sent back, checked."""

from collections.abc import Mapping
from typing import Any

from annotations.labels.stored import label_set
from annotations.raters.people import Person
from annotations.review.clip_filters import SEE_VOTES, ClipFilter
from annotations.review.table import ORDERS, known_texts
from annotations.store import AnnotationStore, queries
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError

TEXTS = frozenset(
    "label voted also_voted rater other_rater source speaker language since until voted_since voted_until consent "
    "training disagreement votes rated text".split()
)
FLAGS = frozenset({"gold", "hasty", "mine", "suspected"})
NUMBERS = {"version_id": int, "min_duration": float, "max_duration": float}

NAMES: Mapping[str, str] = {
    "text": "Search",
    "voted": "Label by people",
    "also_voted": "and by others",
    "label": "Label by the model",
    "version_id": "Model version",
    "disagreement": "Disagreement",
    "votes": "Votes",
    "rater": "Rater",
    "other_rater": "and",
    "speaker": "Speaker",
    "source": "Source",
    "language": "Language",
    "since": "Stored from",
    "until": "Stored to",
    "voted_since": "Voted from",
    "voted_until": "Voted to",
    "min_duration": "Min. length (s)",
    "max_duration": "Max. length (s)",
    "consent": "Consent",
    "gold": "Gold",
    "training": "Training status",
    "hasty": "Votes too fast to have listened",
    "rated": "Rated by two or more",
    "mine": "Labelled by me",
    "clips": "Clips",
    "suspected": "Suspected label error",
}
"""{filter: words of the page}"""

OF_OTHERS = frozenset({"disagreement", "rater", "gold", "training", "hasty"})
"""Filters that tell of other people's votes, or which clips are gold."""

CHOICES: Mapping[str, Mapping[str, str]] = {
    "disagreement": {
        "raters": "raters disagree",
        "model": "people and model differ",
        "not-model": "people and model agree",
        "words": "voice and words disagree",
    },
    "training": {
        "trained": "trained on",
        "held out": "held out",
        "not yet": "labelled, not used yet",
        "suspected": "suspected label error",
        "queued again": "queued again",
    },
    "votes": {"none": "none", "one": "one", "some": "one or more", "several": "two or more"},
    "consent": {purpose: purpose for purpose in CONSENT_PURPOSES}
    | {f"no {purpose}": f"not for {purpose}" for purpose in CONSENT_PURPOSES},
    "gold": {"yes": "gold", "no": "not gold"},
    "hasty": {"yes": "with one"},
}
"""{filter: {value: words of the page}} of those that are chosen from a list."""

FROM_LINKS: Mapping[str, Mapping[str, str]] = {
    "disagreement": {"pair": "these two raters disagree", "not-pair": "these two raters agree"},
    "suspected": {"yes": "yes"},
}
"""More of them, which only links lead to."""

MOST_CHOICES = 200
"""Speakers or sources to choose from in a list; where there are more, the name is typed."""

MOST_IDS = 5000
"""Clips that a link may name."""


def fields(store: AnnotationStore, person: Person) -> list[dict[str, object]]:
    """List the filters that a person may use, in the order of the page."""
    labels = [(name, name) for name in label_set(store).names]
    versions = [(str(version.id), version.name) for version in queries.list_versions(store)]
    offered = [
        _field("voted", [*labels, ("unsure", "unsure"), ("skip", "skipped")]),
        _field("label", labels),
        _field("version_id", versions),
        _listed("disagreement"),
        _listed("votes"),
        _field("rater"),
        _field("speaker", _known(store, "speaker")),
        _field("source", _known(store, "source")),
        _field("language", _known(store, "language")),
        _listed("consent"),
        _listed("gold"),
        _listed("training"),
        _listed("hasty"),
        _field("since", kind="date"),
        _field("until", kind="date"),
        _field("min_duration", kind="number"),
        _field("max_duration", kind="number"),
    ]
    return [field for field in offered if field["name"] not in OF_OTHERS or person.may(SEE_VOTES)]


def words_of(name: str, value: str) -> str:
    """The words of the page for a filter's value; the value itself if it has none.

    >>> words_of("votes", "several"), words_of("disagreement", "not-pair"), words_of("speaker", "ann")
    ('two or more', 'these two raters agree', 'ann')
    """
    return CHOICES.get(name, {}).get(value) or FROM_LINKS.get(name, {}).get(value) or value


def to_filter(given: Mapping[str, Any]) -> ClipFilter:
    """The filter that a browser sent, or an address says.

    Raises:
        SerError: if a name or a value is none.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        text = str(value).strip()
        if not text:
            continue
        if name in TEXTS:
            values[name] = text
        elif name in FLAGS:
            values[name] = _flag(name, text)
        elif name in NUMBERS:
            values[name] = _number(name, text)
        elif name == "clips":
            values[name] = tuple(_number(name, one, int) for one in text.split(",")[:MOST_IDS])
        else:
            raise SerError(f"There is no filter '{name}'; expected one of {', '.join(NAMES)}. Clear the filters.")
    return ClipFilter(**values)


def to_order(value: object) -> tuple[str, bool]:
    """An order, and if the largest come first: `-votes` is the most votes first.

    >>> to_order("-votes"), to_order("speaker"), to_order(None)
    (('votes', True), ('speaker', False), ('stored', True))
    """
    text = str(value or "-stored")
    name = text.removeprefix("-")
    return (name, text.startswith("-")) if name in ORDERS else ("stored", True)


def _field(name: str, choices: list[tuple[str, str]] | None = None, kind: str = "text") -> dict[str, object]:
    field: dict[str, object] = {"name": name, "text": NAMES[name]}
    return {**field, "choices": choices} if choices is not None else {**field, "kind": kind}


def _listed(name: str) -> dict[str, object]:
    return _field(name, list(CHOICES[name].items()))


def _known(store: AnnotationStore, column: str) -> list[tuple[str, str]] | None:
    texts = known_texts(store, column)
    return [(text, text) for text in texts] if len(texts) <= MOST_CHOICES else None


def _flag(name: str, text: str) -> bool | None:
    if text not in ("yes", "no"):
        raise SerError(f"The filter {name} is '{text}'; expected yes or no.")
    # Only the known answer can be asked for by its absence.
    return text == "yes" if name == "gold" or text == "yes" else None


def _number(name: str, text: str, kind: type | None = None) -> Any:
    try:
        return (kind or NUMBERS[name])(text)
    except ValueError as error:
        raise SerError(f"The filter {name} is '{text}'; expected a number. Correct it, or clear it.") from error
