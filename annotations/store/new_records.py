"""Clips, votes and model versions about to be stored; clips and votes are checked and cleaned when they are made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from annotations.errors import StoreError
from annotations.store.validation import (
    MAX_SOURCE,
    check_consent,
    check_distribution,
    check_intensity,
    check_name,
    check_rater,
    check_seconds,
    check_text,
    check_transcript,
    check_verdict,
)

MAX_WORDING = 2000
"""Characters; the words of a consent that do not fit are better named by their version."""


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
class NewClip:
    """Description of a recording about to be stored; checked and cleaned when it is made.

    Attributes:
        grants: what was consented to, at least one purpose.
        created_at: for imports that carry their own time; None is now.
    """

    source: str
    speaker: str | None = None
    session: str | None = None
    grants: tuple[Grant, ...] = ()
    created_at: str | None = None
    language: str | None = None

    def __post_init__(self) -> None:
        source = check_name("The source", self.source, MAX_SOURCE)
        if source is None:
            raise StoreError("The clip's source is empty; say where it comes from, such as 'page'.")
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "speaker", check_name("The speaker", self.speaker))
        object.__setattr__(self, "session", check_name("The session", self.session))
        object.__setattr__(self, "language", check_name("The language", self.language))
        check_consent(given.purpose for given in self.grants)


@dataclass(frozen=True)
class NewVote:
    """A vote about to be stored, as in `annotations.store.records.Correction`; checked and cleaned when it is made.

    Attributes:
        label: may be left out beside a distribution, whose largest share it then is.
        distribution: {label: weight} of any sum; stored as shares.
        created_at: for imports that carry their own time; None is now.
        retracted_at: when an imported vote was taken back, or None.
        may_replace: whether it may take the place of a vote of the rater that stands: not if nothing proves the name.
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

    def __post_init__(self) -> None:
        shares = check_distribution(self.verdict, self.label, self.distribution)
        largest = max(shares, key=lambda label: shares[label]) if shares else None
        verdict, label = check_verdict(self.verdict, self.label or largest)
        object.__setattr__(self, "distribution", shares)
        object.__setattr__(self, "valence", check_intensity(self.valence, "valence"))
        object.__setattr__(self, "arousal", check_intensity(self.arousal, "arousal"))
        object.__setattr__(self, "comment", check_text("comment", self.comment))
        object.__setattr__(self, "seconds", check_seconds(self.seconds))
        object.__setattr__(self, "rater", check_rater(self.rater))
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "verdict", verdict)
        object.__setattr__(self, "intensity", check_intensity(self.intensity))
        object.__setattr__(self, "transcript", check_transcript(self.transcript))


@dataclass(frozen=True)
class NewVersion:
    """A model version about to be recorded.

    Attributes:
        name: new among the versions, such as `v2`.
        sha256: of the weights file.
        path: the version's folder relative to the store's folder; empty for weights that are not in the store.
        lineage: facts of its origin beside those of its run.
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
