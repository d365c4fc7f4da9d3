"""Labels of a store and their meaning in the seven emotions: votes and scores as the set sees them. Pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from annotations.errors import InvalidSettingError
from annotations.labels.colours import EMOTION_COLOURS, MIN_CONTRAST, SURFACE_DARK, SURFACE_LIGHT, contrast_ratio
from annotations.store.records import Correction, Prediction
from ser.labels import EMOTIONS, to_label

FEWEST, MOST = 2, 20
MAX_NAME = 30
"""Characters in the name of a label."""

KEYS = "1234567890acfhijklmnopqrtvwxy"
"""Keys for labels; the others have an act of their own on the page."""

RESERVED = ("unsure", "skip", "none")
"""Names of votes that are no labels."""

NAME = re.compile(r"[^\W_]+([ _'’-][^\W_]+)*")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

Shares = Mapping[str, float]
Known = Mapping[str, float | None]


@dataclass(frozen=True)
class Label:
    """A label that people can choose; checked and cleaned when it is made.

    Attributes:
        name: in lower case; the value of votes.
        key: on the keyboard, one of `KEYS`.
        light: `#rrggbb` on a light surface, at least 3:1 against it.
        dark: `#rrggbb` on a dark surface, likewise.
        means: emotions of the seven that this label stands for; empty if it is none of them.
        names: {language: name in it}; read as this label in imports.
    """

    name: str
    key: str
    light: str
    dark: str
    means: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = check_name(self.name)
        vars(self).update(name=name, means=tuple(e for e in EMOTIONS if e in self.means), key=str(self.key).lower())
        if len(self.key) != 1 or self.key not in KEYS:
            raise InvalidSettingError(f"The key of '{name}' is '{self.key}'; expected one of {' '.join(KEYS)}.")
        for what, colour, surface in (("light", self.light, SURFACE_LIGHT), ("dark", self.dark, SURFACE_DARK)):
            if not isinstance(colour, str) or not COLOUR.fullmatch(colour):
                raise InvalidSettingError(f"The {what} colour of '{name}' is {colour!r}; expected one like #0072b2.")
            if (ratio := contrast_ratio(colour, surface)) < MIN_CONTRAST:
                raise InvalidSettingError(
                    f"The {what} colour of '{name}' is {colour}, whose contrast to {surface} is {ratio:g}:1; at least "
                    f"{MIN_CONTRAST:g}:1 is needed. Choose another one, or leave it out to have one chosen."
                )

    @property
    def slug(self) -> str:
        """The name for style sheets.

        >>> Label("in distress", "1", "#d55e00", "#e8701a").slug
        'in-distress'
        """
        return slug(self.name)


@dataclass(frozen=True)
class LabelSet:
    """The labels of a store, in the order of the page.

    Attributes:
        labels: 2 to 20, with names and keys of their own.
        mapping: {label that votes were given with before: label of this set}. Votes stay as they were given and are
            mapped whenever they are read.
    """

    labels: tuple[Label, ...]
    mapping: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not FEWEST <= len(self.labels) <= MOST:
            raise InvalidSettingError(f"The set has {len(self.labels)} labels; expected {FEWEST} to {MOST}.")
        for what, values in (("name", [slug(n) for n in self.names]), ("key", [label.key for label in self.labels])):
            value, count = Counter(values).most_common(1)[0]
            if count > 1:
                raise InvalidSettingError(f"The {what} '{value}' is that of {count} labels. Give each one of its own.")
        for old, new in self.mapping.items():
            if new not in self.names:
                raise InvalidSettingError(
                    f"'{old}' is mapped to '{new}', which is no label of the set; expected one of "
                    f"{', '.join(self.names)}."
                )
            if old in self.names:
                raise InvalidSettingError(f"'{old}' is a label of the set and cannot be mapped to '{new}'.")

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def is_default(self) -> bool:
        """True if the labels are the seven emotions in their order, each meaning itself."""
        return self.names == EMOTIONS and all(label.means == (label.name,) for label in self.labels)

    @cached_property
    def accepted(self) -> tuple[str, ...]:
        """Labels that votes of an export may have: the set's, those that are mapped to it, and the seven."""
        return tuple(dict.fromkeys((*self.names, *self.mapping, *EMOTIONS)))

    def meaning(self, emotion: str) -> tuple[str, ...]:
        """Labels that mean an emotion."""
        return tuple(label.name for label in self.labels if emotion in label.means)

    def place_of(self, label: str) -> str | None:
        """The label of the set that a vote for `label` counts as; None if it has no place.

        A label of the set is itself; else what it is mapped to; else, for one of the seven, the only label that
        means it.
        """
        if label in self.names:
            return label
        if label in self.mapping:
            return self.mapping[label]
        means = self.meaning(label)
        return means[0] if len(means) == 1 else None

    def sources(self, label: str) -> tuple[str, ...]:
        """Names that stored answers and votes may have for a label of the set, its own first."""
        wanted = next((own for own in self.labels if own.name == label), None)
        mapped = [old for old, new in self.mapping.items() if new == label]
        return tuple(dict.fromkeys([label, *(wanted.means if wanted else ()), *mapped]))

    def spelling(self, text: str) -> str | None:
        """The label of the set that a table's label means: by name, by a translation, by mapping or by meaning."""
        wanted = " ".join(unicodedata.normalize("NFC", text).split()).casefold()
        for label in self.labels:
            if wanted in {label.name.casefold(), *(name.casefold() for name in label.names.values())}:
                return label.name
        return self.place_of(to_label(text, EMOTIONS) or wanted)

    def texts(self, language: str) -> dict[str, str]:
        """Names to show to a reader of a language: the translation where there is one, else the name.

        Args:
            language: tag such as `de` or `pt-BR`; of a regional one the general name will do.
        """
        tags = (language.lower(), language.lower().partition("-")[0])
        spoken = {own.name: {tag.lower(): text for tag, text in own.names.items()} for own in self.labels}
        return {name: next((names[tag] for tag in tags if tag in names), name) for name, names in spoken.items()}

    # Votes

    def shares(self, given: Shares) -> dict[str, float]:
        """Shares of a vote over the set, sum 1; empty if nothing of it has a place.

        >>> low = Label("low", "1", "#767676", "#a3a3a3", ("sadness", "neutral"))
        >>> LabelSet((low, emotion_label("anger", "2"))).shares({"sadness": 0.5, "neutral": 0.25, "fear": 0.25})
        {'low': 1.0}
        """
        if self.is_default and set(given) <= set(EMOTIONS):
            return dict(given)
        sums: Counter[str] = Counter()
        for name, share in given.items():
            if (place := self.place_of(name)) is not None:
                sums[place] += share  # type: ignore[assignment]
        total = sum(sums.values())
        return {name: sums[name] / total for name in self.names if sums[name]} if total else {}

    def vote(self, vote: Correction) -> Correction:
        """A vote as the set sees it: without a label if the given one has no place."""
        if self.is_default and vote.label in (None, *EMOTIONS):
            return vote
        shares = self.shares(vote.shares)
        label = max(shares, key=lambda name: shares[name]) if shares else None
        return replace(vote, label=label, distribution=shares if vote.distribution is not None and shares else None)

    # Answers

    def scores(self, given: Known) -> dict[str, float | None]:
        """Probability of each label from a model's answer; None for labels that the model was not trained on.

        An answer over the seven gives each label the sum of the emotions that it means; an emotion that several
        labels mean is shared evenly. An answer over own labels is taken by name and mapping. What has no place
        leaves the sum, and the rest is brought to 1.
        """
        seven = set(given) == set(EMOTIONS) and set(self.names) != set(EMOTIONS)
        if self.is_default and set(given) <= set(EMOTIONS):
            return dict(given)
        sums: dict[str, float] = {}
        for name, share in given.items():
            place = self.place_of(name)
            targets = self.meaning(name) if seven else (place,) if place is not None else ()
            for target in targets:
                sums[target] = sums.get(target, 0.0) + (share or 0.0) / len(targets)
        total = sum(sums.values())
        if total <= 0:
            return dict.fromkeys(self.names)
        return {name: sums[name] / total if name in sums else None for name in self.names}

    def most_probable(self, given: Known) -> str | None:
        """The label that an answer makes most probable; None if the model was trained on none of the set."""
        return most_probable(self.scores(given))

    def prediction(self, prediction: Prediction) -> Prediction:
        """A stored answer as the set sees it; its label is empty if the model was trained on none of the set."""
        if self.is_default and prediction.label in EMOTIONS:
            return prediction
        scores: dict[str, Known | None] = {
            part: None if given is None else self.scores(given) for part, given in prediction.scores.items()
        }
        return replace(prediction, label=most_probable(scores.get("fused") or {}) or "", scores=scores)  # type: ignore[arg-type]

    def answer(self, answer: dict[str, object]) -> dict[str, object]:
        """An answer in the form of `ser.serialization.recognition_to_dict` as the set sees it."""
        if self.is_default and answer.get("label") in EMOTIONS:
            return answer
        parts = {part: answer.get(part) for part in ("fused", "acoustic", "text")}
        mapped = {part: self.scores(given) if isinstance(given, Mapping) else None for part, given in parts.items()}
        rounded = {
            part: None if scores is None else {n: None if p is None else round(p, 4) for n, p in scores.items()}
            for part, scores in mapped.items()
        }
        label = most_probable(mapped["fused"] or {})
        confidence = (rounded["fused"] or {}).get(label) if label else None
        return {**answer, **rounded, "label": label, "confidence": confidence}


def most_probable(scores: Known) -> str | None:
    """The label with the largest probability, the first on a tie; None if nothing is known."""
    known = {name: share for name, share in scores.items() if share is not None}
    return max(known, key=lambda name: known[name]) if known else None


def check_name(name: object) -> str:
    """A label's name in its one spelling: lower case, Unicode composed, single spaces.

    Raises:
        InvalidSettingError: if it is none.

    >>> check_name(" In  Distress")
    'in distress'
    """
    text = " ".join(unicodedata.normalize("NFC", name).split()).lower() if isinstance(name, str) else ""
    if not NAME.fullmatch(text) or len(text) > MAX_NAME or text in RESERVED:
        raise InvalidSettingError(
            f"The name of a label is {name!r}; expected up to {MAX_NAME} letters and digits, words joined by a space "
            f"or a hyphen, and none of {', '.join(RESERVED)}."
        )
    return text


def slug(name: str) -> str:
    """A label's name for style sheets and attributes, of ASCII letters, digits and hyphens."""
    return "".join(c if c.isascii() and c.isalnum() else f"x{ord(c):x}" if c.isalnum() else "-" for c in name)


def emotion_label(emotion: str, key: str = "1") -> Label:
    """One of the seven as a label."""
    light, dark = EMOTION_COLOURS[emotion]
    return Label(emotion, key, light, dark, (emotion,))


def combine_mappings(before: LabelSet, labels: Sequence[Label], mapping: Mapping[str, str]) -> dict[str, str]:
    """Carry the mapping of the set before over to new labels, so that the oldest votes find their place too."""
    names = [label.name for label in labels]
    carried = {old: new if new in names else mapping.get(new) for old, new in before.mapping.items()}
    kept = {old: new for old, new in carried.items() if new is not None and old not in names}
    return {**kept, **mapping}


DEFAULT = LabelSet(tuple(emotion_label(emotion, str(place)) for place, emotion in enumerate(EMOTIONS, 1)))
"""The seven emotions."""
