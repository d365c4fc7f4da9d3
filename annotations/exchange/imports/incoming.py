"""Descriptions of recordings to import, from any source. Reads nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotations.exchange.imports.places import Place
from ser.corpora.corpus import Row


@dataclass(frozen=True)
class Incoming:
    """A recording to import.

    Attributes:
        place: where it lies.
        name: of its file there.
        corpus: the name of what it is a part of.
        rows: what tables, or the names of folders and files, say of it.
        record: the line of an own export; None for anything else.
        sha256: of its signal, if only the store can have the recording.
    """

    place: Place
    name: str
    corpus: str
    rows: tuple[Row, ...] = ()
    record: Mapping[str, object] | None = None
    sha256: str | None = None

    @property
    def brings_consent(self) -> bool:
        """True if its description lists purposes that were consented to, or it is stored with its consent already."""
        return self.record is not None or self.sha256 is not None or bool(listed_purposes(self.fact("consent")))

    def read_near(self, file: str) -> bytes:
        """A further file that the line of an own export names, from where it names its recording."""
        assert self.record is not None
        listed = PurePosixPath(str(self.record["file_name"]).replace("\\", "/")).as_posix()
        return self.place.read(self.name.removesuffix(listed) + file)

    def fact(self, name: str) -> str | None:
        """The first that the rows say of the recording by that name; several tables may each say a part."""
        return next((value for row in self.rows if (value := getattr(row, name))), None)


@dataclass(frozen=True)
class Findings:
    """Contents of a source.

    Attributes:
        incoming: recordings, in a fixed order.
        refused: (name, reason) of what will not be read.
        unlisted: recordings in the folder of a table which does not name them; they are left out.
        notes: sentences on what of the tables was left aside.
        headers: of the columns of its tables.
        columns: {one of `ser.corpora.tables.columns.COLUMNS`: the header that it was read from}.
    """

    incoming: tuple[Incoming, ...]
    refused: tuple[tuple[str, str], ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    headers: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


def listed_purposes(consent: str | None) -> tuple[str, ...]:
    """The purposes that a column `consent` lists, with spaces or commas between them.

    >>> listed_purposes("research, training"), listed_purposes(None)
    (('research', 'training'), ())
    """
    return tuple((consent or "").replace(",", " ").replace(";", " ").split())
