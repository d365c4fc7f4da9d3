"""Options, progress and report of an import, as values. Knows neither files nor the store."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from annotations.errors import ExchangeError
from annotations.labels.label_set import DEFAULT, LabelSet
from ser.wording import counted

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
        label_map: {label as the source spells it: label here}; an empty one leaves it out on purpose, None means that
            it is none of the labels here.
        columns: {one of `ser.corpora.tables.columns.COLUMNS`: header} that a person named.
        speaker_from: regular expression whose first group is the speaker in a file's name.
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
    label_map: Mapping[str, str | None] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    speaker_from: str | None = None
    label_set: LabelSet = DEFAULT

    def __post_init__(self) -> None:
        unknown = sorted({label for label in self.label_map.values() if label and label not in self.label_set.names})
        if unknown:
            raise ExchangeError(
                f"'{unknown[0]}' is no label here, so nothing can be mapped to it. Choose one of "
                f"{', '.join(self.label_set.names)}, or leave it empty to leave the label out."
            )

    @property
    def wants_labels(self) -> bool:
        """True if labels of tables count as votes or known answers."""
        return self.labels or self.labels_as is not None or self.gold

    def label_of(self, name: str) -> str | None:
        """The label here that a foreign one means; None for one that means none, empty for one left out on purpose."""
        given = {foreign.strip().casefold(): label for foreign, label in self.label_map.items()}
        key = name.strip().casefold()
        return given[key] if key in given else self.label_set.spelling(name)


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
        labels: {(label as given, label here): votes} of those that count; an empty one was left out on purpose.
        unknown_labels: {label: votes} of unknown labels, kept as the clips' original labels.
        unasked_labels: votes that the tables hold, left out as labels were not asked for.
        unlisted: recordings left out because the table in their folder does not name them.
        unlisted_names: of these.
        notes: sentences on what of the sources was left aside.
        speakers: {speaker: clips}; those without one under an empty name.
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
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown_labels: Counter[str] = field(default_factory=Counter)
    unasked_labels: int = 0
    unlisted: int = 0
    unlisted_names: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speakers: Counter[str] = field(default_factory=Counter)
    finished_before: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    clip_ids: dict[int, None] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if all came in, 1 if something was left out, 2 if nothing could be done."""
        left_out = self.failed or self.unlisted or self.unknown_labels or self.erased or self.stopped
        nothing = self.failed and not self.added and not self.known
        return 2 if nothing else 1 if left_out else 0

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        numbers = ("added", "known", "votes", "gold", "predictions", "erased")
        return {
            **{name: getattr(self, name) for name in numbers},
            "failed": [{"file": name, "error": reason} for name, reason in self.failed],
            "labels": [{"given": given, "label": label, "votes": n} for (given, label), n in self.labels.items()],
            "unknown_labels": dict(self.unknown_labels),
            "unasked_labels": self.unasked_labels,
            "unlisted": self.unlisted,
            "speakers": len(self.speakers.keys() - {""}),
            "without_speaker": self.speakers[""],
            "notes": self.notes,
            "finished_before": self.finished_before,
            "stopped": self.stopped,
        }

    def lines(self) -> list[str]:
        """Describe it for people, a sentence a line."""
        lines = [
            f"{counted(self.added, 'clip')} added, {self.known:,} there already, {counted(self.votes, 'vote')} added."
        ]
        if self.stopped:
            lines.append("Stopped before the end. Run the import again to go on.")
        if self.duplicates:
            lines.append(
                f"{self.duplicates} recording{' came' if self.duplicates == 1 else 's came'} more than once, stored "
                "once."
            )
        if self.predictions:
            lines.append(f"{self.predictions} model answer{'' if self.predictions == 1 else 's'} added.")
        if self.gold:
            lines.append(f"{self.gold} {'clip has' if self.gold == 1 else 'clips have'} a known answer now.")
        if self.erased:
            lines.append(
                f"{self.erased} recording{' was' if self.erased == 1 else 's were'} left out: erased here before "
                "(--readmit takes them again)."
            )
        lines += self.content_lines()
        lines += [f"{name} was imported before, on {when[:10]}." for name, when in self.finished_before.items()]
        if self.failed:
            lines.append(
                f"{len(self.failed)} {'file or row' if len(self.failed) == 1 else 'files or rows'} failed, named above."
            )
        return lines

    def content_lines(self) -> list[str]:
        """Describe labels, speakers and what was left aside, the same before an import and after it."""
        lines = []
        renamed = [(pair, count) for pair, count in self.labels.most_common() if pair[0] != pair[1]]
        if renamed:
            shown = [f"{given} → {label or 'left out'} ({count})" for (given, label), count in renamed]
            lines.append(f"Labels: {', '.join(shown)}.")
        if self.unknown_labels:
            names = [f"{name} ({count})" for name, count in self.unknown_labels.most_common()]
            lines.append(
                f"Unknown labels: {first_of(names)}. They give no vote and are kept as the clips' original labels. "
                f"--map-label {next(iter(self.unknown_labels))!r}=LABEL maps one; nothing after the sign leaves it out."
            )
        if self.unasked_labels:
            lines.append(
                f"{self.unasked_labels} label{' was' if self.unasked_labels == 1 else 's were'} not counted, only kept "
                "as original labels of the clips. --labels counts them as votes, --gold as known answers."
            )
        if self.unlisted:
            lines.append(
                f"{self.unlisted} recording{' was' if self.unlisted == 1 else 's were'} left out, as the table in "
                "their folder does not name them: "
                f"{first_of(self.unlisted_names)}."
            )
        if unknown := self.speakers[""]:
            lines.append(
                f"The speaker of {unknown} clip{'' if unknown == 1 else 's'} is unknown, so that nothing can be shown "
                "on new speakers "
                "with them. --speaker-column NAME or --speaker-from PATTERN tells who speaks."
            )
        return [*lines, *self.notes]


NAMED = 3
"""Examples that are named of what may be thousands."""


def first_of(names: Iterable[str]) -> str:
    """The first of some names, and how many more there are.

    >>> first_of("abcde")
    'a, b, c and 2 more'
    """
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def failure_lines(failed: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The first failures of each kind, and a count of the others, as (name, reason).

    >>> failure_lines([(f"{n}.wav", f"{n}.wav is not in x.") for n in range(10)])[-2:]
    [('2.wav', '2.wav is not in x.'), ('7 more', 'likewise.')]
    """
    kinds: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, reason in failed:
        kinds[re.sub(r"'[^']*'|\d+", "", reason.replace(name, ""))[:60]].append((name, reason))
    lines: list[tuple[str, str]] = []
    for alike in kinds.values():
        lines += alike[:NAMED]
        if len(alike) > NAMED:
            lines.append((f"{len(alike) - NAMED:,} more", "likewise."))
    return lines
