"""Options, progress and report of an import, as values. Knows neither files nor the store."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from annotations.labels.label_set import DEFAULT, LabelSet

IMPORTER = "importer"
RATER_PREFIX = "import:"
"""Before the corpus's name: the rater that a corpus's own labels count as if none is named."""


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        consent: purposes allowed for what carries no consent of its own.
        consent_by: who says so.
        consent_wording: the words that were agreed to, or the name of their version; None if not known.
        labels: whether a table's label counts as a vote of `import:CORPUS`.
        labels_as: the rater that a table's labels count as; implies `labels`.
        gold: whether a table's label is the known right answer that raters are measured by.
        max_duration: seconds; longer recordings are refused. None for no limit but the decoder's own.
        readmit: whether recordings that were erased here may come back.
        workers: threads that decode; 0 for one a core, four at most.
        label_set: of the store that is imported into; an import fills it in.
    """

    consent: tuple[str, ...] = ()
    consent_by: str = IMPORTER
    labels: bool = False
    max_duration: float | None = None
    labels_as: str | None = None
    gold: bool = False
    consent_wording: str | None = None
    readmit: bool = False
    workers: int = 0
    label_set: LabelSet = DEFAULT


@dataclass(frozen=True)
class ImportProgress:
    """Progress of an import.

    Attributes:
        done: recordings looked at, good and bad.
        total: recordings found.
        name: of the last one.
        added: new clips on the disk so far.
        failed: recordings that cannot be read so far.
    """

    done: int
    total: int
    name: str
    added: int
    failed: int


OnProgress = Callable[[ImportProgress], None]
ShouldStop = Callable[[], bool]


@dataclass
class ImportReport:
    """Outcome of an import.

    Attributes:
        added: clips that are new to the store.
        known: recordings that were there before, or came twice.
        duplicates: those of `known` that came twice within this import.
        votes: votes added.
        gold: clips whose known answer was set.
        predictions: model answers added, from own exports.
        erased: recordings left out because they were erased here.
        failed: (file, reason) of what was not imported.
        unknown_labels: {label: clips} of unknown labels; those clips are stored without a vote.
        unlisted: recordings left out because the table beside them does not name them.
        finished_before: {source: when} of sources that were imported whole before.
        stopped: whether it was asked to stop before its end.
        clip_ids: of every clip met, in order, each once.
    """

    added: int = 0
    known: int = 0
    duplicates: int = 0
    votes: int = 0
    gold: int = 0
    predictions: int = 0
    erased: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    unknown_labels: Counter[str] = field(default_factory=Counter)
    unlisted: int = 0
    finished_before: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    clip_ids: dict[int, None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        return {
            "added": self.added,
            "known": self.known,
            "duplicates": self.duplicates,
            "votes": self.votes,
            "gold": self.gold,
            "predictions": self.predictions,
            "erased": self.erased,
            "failed": [{"file": name, "error": reason} for name, reason in self.failed],
            "unknown_labels": dict(self.unknown_labels),
            "unlisted": self.unlisted,
            "finished_before": self.finished_before,
            "stopped": self.stopped,
        }

    def lines(self) -> list[str]:
        """Describe it for people, a sentence a line."""
        lines = [f"{self.added} clips added, {self.known} were there already, {self.votes} votes added."]
        if self.stopped:
            lines.append("Stopped before the end. Run the import again to go on.")
        if self.duplicates:
            lines.append(f"{self.duplicates} recordings came more than once and are stored once.")
        if self.predictions:
            lines.append(f"{self.predictions} model answers added.")
        if self.gold:
            lines.append(f"{self.gold} clips have a known answer now.")
        if self.erased:
            lines.append(f"{self.erased} recordings were left out: they were erased here (--readmit takes them again).")
        if self.unlisted:
            lines.append(f"{self.unlisted} recordings were left out: the table beside them does not name them.")
        lines += [f"The label '{name}' of {count} clips is unknown." for name, count in self.unknown_labels.items()]
        lines += [f"{name} was imported before, on {when[:10]}." for name, when in self.finished_before.items()]
        if self.failed:
            lines.append(f"{len(self.failed)} files failed; they are named above.")
        return lines
