"""Descriptions of recordings to import, whatever they come from. Reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from annotations.exchange.imports.places import Place


@dataclass(frozen=True)
class Incoming:
    """A recording to import.

    Attributes:
        place: where it lies.
        name: of its file there.
        corpus: the name of what it is a part of.
        fields: what a table says of it, as text: label, speaker, transcript, session.
        record: the line of an own export; None for anything else.
    """

    place: Place
    name: str
    corpus: str
    fields: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, object] | None = None

    @property
    def brings_consent(self) -> bool:
        """True if its description lists purposes that were consented to."""
        return self.record is not None or bool(listed_purposes(self.fields))


@dataclass(frozen=True)
class Findings:
    """Contents of a source.

    Attributes:
        incoming: recordings, in a fixed order.
        refused: (name, reason) of what will not be read.
        unlisted: recordings that lie beside a table which does not name them; they are left out.
    """

    incoming: tuple[Incoming, ...]
    refused: tuple[tuple[str, str], ...]
    unlisted: int


def listed_purposes(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The purposes that a table's column `consent` lists, with spaces or commas between them.

    >>> listed_purposes({"consent": "research, training"}), listed_purposes({})
    (('research', 'training'), ())
    """
    return tuple(fields.get("consent", "").replace(",", " ").split())
