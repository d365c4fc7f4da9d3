"""Clips, votes and model versions about to be stored, and the checks of what people and programs say of them. Pure."""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

from annotations.errors import ConsentRequiredError, InvalidVoteError, StoreError
from annotations.store.faces import NewFace
from annotations.store.records import CONSENT_PURPOSES, VERDICTS
from ser.labels import EMOTIONS

LABELLING_VERDICTS = ("accept", "correct")
MAX_NAME = 80
"""Characters in the name of a rater, a speaker or a session."""

MAX_TRANSCRIPT = 2000
"""Characters; speech of a minute is about a thousand."""

MAX_SOURCE = 200

MAX_WORDING = 2000
"""Characters; the words of a consent that do not fit are better named by their version."""


def check_rater(name: object) -> str:
    """A rater's name in its one spelling: outer spaces gone, inner runs of spaces made one, Unicode composed.

    Raises:
        InvalidVoteError: if nothing is left, or it is too long or holds control characters.

    >>> check_rater("  Ann   Lee ")
    'Ann Lee'
    """
    text = _clean("The rater's name", name, MAX_NAME)
    if text is None:
        raise InvalidVoteError("The rater's name is empty. Say who you are; any name will do.")
    return text


def check_name(what: str, name: object, limit: int = MAX_NAME) -> str | None:
    """Check a name that may be missing; an empty one counts as missing.

    >>> check_name("The speaker", "  ") is None
    True
    """
    return _clean(what, name, limit)


def check_verdict(verdict: object, label: object, labels: Sequence[str] = EMOTIONS) -> tuple[str, str | None]:
    """A verdict and its label, which an accept and a correct need and a skip and an unsure may not have.

    Args:
        verdict: one of `VERDICTS`.
        label: one of `labels`, or nothing.
        labels: those of the store.

    >>> check_verdict("skip", None)
    ('skip', None)
    """
    if verdict not in VERDICTS:
        raise InvalidVoteError(f"The verdict is {verdict!r}; expected one of {', '.join(VERDICTS)}.")
    assert isinstance(verdict, str)
    if label in (None, ""):
        if verdict in LABELLING_VERDICTS:
            raise InvalidVoteError(f"The verdict '{verdict}' needs a label. Choose one of {', '.join(labels)}.")
        return verdict, None
    if verdict not in LABELLING_VERDICTS:
        raise InvalidVoteError(f"The verdict '{verdict}' takes no label, but '{label}' was given. Leave one out.")
    if not isinstance(label, str) or label not in labels:
        raise InvalidVoteError(f"The label is {label!r}; expected one of {', '.join(labels)}.")
    return verdict, label


def check_intensity(intensity: object, what: str = "intensity") -> int | None:
    """A whole number in 0..100, or None; of valence and arousal too.

    >>> check_intensity(49.6)
    50
    """
    if intensity is None:
        return None
    if not _is_number(intensity) or not 0 <= intensity <= 100:  # type: ignore[operator]
        raise InvalidVoteError(f"The {what} is {intensity!r}; expected a number from 0 to 100.")
    return round(intensity)  # type: ignore[call-overload]


def check_transcript(transcript: object) -> str | None:
    """A transcript without outer spaces; an empty one is None.

    >>> check_transcript(" kids are talking ")
    'kids are talking'
    """
    return check_text("transcript", transcript)


def check_text(what: str, value: object) -> str | None:
    """A transcript or a comment: text of several lines without outer spaces; an empty one is None.

    >>> check_text("comment", " a dog barks ")
    'a dog barks'
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidVoteError(f"The {what} is of type {type(value).__name__}; expected text.")
    text = unicodedata.normalize("NFC", value).strip()
    if len(text) > MAX_TRANSCRIPT:
        raise InvalidVoteError(f"The {what} has {len(text)} characters; at most {MAX_TRANSCRIPT} are kept. Shorten it.")
    if any(character == "\0" or unicodedata.category(character) == "Cs" for character in text):
        raise InvalidVoteError(f"The {what} holds characters that are no text. Remove them.")
    return text or None


def check_distribution(
    verdict: object, label: object, distribution: object, labels: Sequence[str] = EMOTIONS
) -> dict[str, float] | None:
    """Shares of the labels that sum to 1, from weights of any sum, as sliders give them; those of nothing left out.

    Args:
        verdict: of the same vote; only an accept and a correct may have shares.
        label: of the same vote; must be a largest share, or empty.
        distribution: {label: weight}, or None.
        labels: those of the store, in order.

    >>> check_distribution("correct", "fear", {"fear": 60, "sadness": 20, "anger": 0})
    {'fear': 0.75, 'sadness': 0.25}
    """
    if distribution is None:
        return None
    if verdict not in LABELLING_VERDICTS:
        raise InvalidVoteError(f"The verdict '{verdict}' takes no shares of labels. Leave them out.")
    if not isinstance(distribution, Mapping):
        raise InvalidVoteError(f"The shares are of type {type(distribution).__name__}; expected {{label: share}}.")
    for name, weight in distribution.items():
        if name not in labels:
            raise InvalidVoteError(f"The label is {name!r}; expected one of {', '.join(labels)}.")
        if not _is_number(weight) or weight < 0:
            raise InvalidVoteError(f"The share of '{name}' is {weight!r}; expected a number of 0 or more.")
    total = sum(distribution.values())
    if not 0 < total < math.inf:
        raise InvalidVoteError("All shares are 0. Give at least one label a share.")
    shares = {name: round(distribution[name] / total, 6) for name in labels if distribution.get(name)}
    top = max(shares.values())
    if label not in (None, "") and shares.get(str(label), 0.0) < top:
        raise InvalidVoteError(f"The label is '{label}', but another one has a larger share. Choose that one.")
    return shares


def check_seconds(seconds: object) -> float | None:
    """A time of 0 s or more, or None.

    >>> check_seconds(3)
    3.0
    """
    if seconds is None:
        return None
    if not _is_number(seconds) or seconds < 0:  # type: ignore[operator]
        raise InvalidVoteError(f"The time taken is {seconds!r}; expected seconds, 0 or more.")
    return round(float(seconds), 3)  # type: ignore[arg-type]


def check_consent(consent: Iterable[str]) -> tuple[str, ...]:
    """The purposes consented to, each once, in the order of `CONSENT_PURPOSES`.

    Raises:
        ConsentRequiredError: if there is none, or one that is not known.

    >>> check_consent(["training", "research", "training"])
    ('research', 'training')
    """
    given = [consent] if isinstance(consent, str) else list(consent or ())
    unknown = [purpose for purpose in given if purpose not in CONSENT_PURPOSES]
    if unknown:
        raise ConsentRequiredError(
            f"Consent to {unknown[0]!r} means nothing here; expected some of {', '.join(CONSENT_PURPOSES)}."
        )
    if not given:
        raise ConsentRequiredError(
            "Nothing is stored without consent. Consent to at least one of "
            f"{', '.join(CONSENT_PURPOSES)}, or do not save the clip."
        )
    return tuple(purpose for purpose in CONSENT_PURPOSES if purpose in given)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _clean(what: str, name: object, limit: int) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise InvalidVoteError(f"{what} is of type {type(name).__name__}; expected text.")
    text = re.sub(r"\s+", " ", unicodedata.normalize("NFC", name)).strip()
    if len(text) > limit:
        raise InvalidVoteError(f"{what} has {len(text)} characters; at most {limit} are allowed. Shorten it.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
        raise InvalidVoteError(f"{what} holds control characters. Remove them.")
    return text or None


@dataclass(frozen=True)
class Grant:
    """Consent to one purpose.

    Attributes:
        purpose: one of `CONSENT_PURPOSES`.
        given_by: who consents; None if it was not said.
        created_at: for imports that carry their own time; None is now.
        wording: what was agreed to, in the words that were shown, or the name of their version; None if not known.
    """

    purpose: str
    given_by: str | None = None
    created_at: str | None = None
    wording: str | None = None


def grant(consent: Iterable[str], given_by: str | None, wording: str | None = None) -> tuple[Grant, ...]:
    """Consent of one person to some purposes, now.

    Raises:
        ConsentRequiredError: if there is none, or one that is not known.
    """
    given_by = check_name("The name of who consents", given_by)
    wording = check_name("The wording of the consent", wording, MAX_WORDING)
    return tuple(Grant(purpose, given_by, wording=wording) for purpose in check_consent(consent))


@dataclass(frozen=True)
class Parent:
    """The longer recording that a clip was cut from.

    Attributes:
        sha256: of its decoded signal.
        start: where the clip begins in it, seconds.
        end: where the clip ends in it.
    """

    sha256: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise StoreError(f"The parent's hash is '{self.sha256[:80]}'; expected 64 hexadecimal digits.")
        if not (math.isfinite(self.end) and 0 <= self.start < self.end):
            raise StoreError(f"A part lies at {self.start} to {self.end} s; expected 0 or later, and an end after it.")


@dataclass(frozen=True)
class NewClip:
    """Description of a recording about to be stored; checked and cleaned when it is made.

    Attributes:
        grants: what was consented to, at least one purpose.
        created_at: for imports that carry their own time; None is now.
        parent: the longer recording that it was cut from; None for a whole one.
        face: a picture of who speaks, with a consent of its own.
    """

    source: str
    speaker: str | None = None
    session: str | None = None
    grants: tuple[Grant, ...] = ()
    created_at: str | None = None
    language: str | None = None
    parent: Parent | None = None
    face: NewFace | None = None

    def __post_init__(self) -> None:
        source = check_name("The source", self.source, MAX_SOURCE)
        if source is None:
            raise StoreError("The clip's source is empty; say where it comes from, such as 'page'.")
        names = {part: check_name(f"The {part}", getattr(self, part)) for part in ("speaker", "session", "language")}
        vars(self).update(names, source=source)
        check_consent(given.purpose for given in self.grants)


@dataclass(frozen=True)
class NewVote:
    """A vote about to be stored, as in `annotations.store.records.Correction`; checked and cleaned when it is made.

    Attributes:
        label: may be left out if there is a distribution, whose largest share it then is.
        distribution: {label: weight} of any sum; stored as shares.
        created_at: for imports that carry their own time; None is now.
        retracted_at: when an imported vote was taken back, or None.
        may_replace: whether it may take the place of a vote of the rater that stands: not if nothing proves the name.
        label_set: labels that can be chosen, in order.
    """

    rater: str
    verdict: str
    label: str | None = None
    intensity: float | None = None
    transcript: str | None = None
    created_at: str | None = None
    retracted_at: str | None = None
    distribution: Mapping[str, float] | None = None
    valence: float | None = None
    arousal: float | None = None
    comment: str | None = None
    seconds: float | None = None
    answer_shown: bool | None = None
    may_replace: bool = True
    label_set: InitVar[Sequence[str]] = EMOTIONS

    def __post_init__(self, label_set: Sequence[str]) -> None:
        shares = check_distribution(self.verdict, self.label, self.distribution, label_set)
        largest = max(shares, key=lambda label: shares[label]) if shares else None
        verdict, label = check_verdict(self.verdict, self.label or largest, label_set)
        vars(self).update(
            rater=check_rater(self.rater),
            verdict=verdict,
            label=label,
            distribution=shares,
            intensity=check_intensity(self.intensity),
            valence=check_intensity(self.valence, "valence"),
            arousal=check_intensity(self.arousal, "arousal"),
            transcript=check_text("transcript", self.transcript),
            comment=check_text("comment", self.comment),
            seconds=check_seconds(self.seconds),
        )


@dataclass(frozen=True)
class NewVersion:
    """A model version about to be recorded.

    Attributes:
        name: new among the versions, such as `v2`.
        sha256: of the weights file.
        path: the version's folder relative to the store's folder; empty for weights that are not in the store.
        lineage: facts of its origin in addition to those of its run.
        metrics: figures as JSON values.
        parent_id: id of the version that training started from.
        run_id: id of the run that made it.
    """

    name: str
    sha256: str
    path: str = ""
    lineage: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    parent_id: int | None = None
    run_id: int | None = None
