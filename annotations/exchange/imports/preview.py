"""Plan of an import: clips, votes, speakers, labels with their mapping, what is left out. Opens no recording."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from annotations.errors import ConsentRequiredError
from annotations.exchange.imports.incoming import Incoming
from annotations.exchange.imports.labels_in import read_labels
from annotations.exchange.imports.options import ImportOptions, ImportReport
from annotations.exchange.imports.sources import find_recordings
from annotations.store.new_records import check_consent
from ser.errors import SerError
from ser.wording import counted


@dataclass
class Preview:
    """Plan of an import.

    Attributes:
        clips: recordings that would be read; which of them can be decoded shows only then.
        votes: {rater: votes}.
        by_label: {label here: votes}.
        gold: clips with a known answer.
        without_consent: clips that carry no consent, if none is given for them.
        size: bytes of their files, as far as that is known without reading them.
        report: labels, speakers and what would be left out, as after an import.
        headers: of the columns of the tables.
        columns: {one of `ser.corpora.tables.columns.COLUMNS`: the header that it is read from}.
    """

    clips: int = 0
    votes: Counter[str] = field(default_factory=Counter)
    by_label: Counter[str] = field(default_factory=Counter)
    gold: int = 0
    without_consent: int = 0
    size: int = 0
    report: ImportReport = field(default_factory=ImportReport)
    headers: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """Exit code of the import, as far as it can be predicted."""
        return 2 if self.without_consent else self.report.exit_code

    @property
    def asked_labels(self) -> list[tuple[str, str | None, int]]:
        """(label as given, label here, votes) of all that the sources say; None for those that mean nothing here."""
        known = [(given, label, count) for (given, label), count in self.report.labels.most_common()]
        return [*((given, None, count) for given, count in self.report.unknown_labels.most_common()), *known]

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        kept = (
            "failed",
            "labels",
            "unknown_labels",
            "unasked_labels",
            "unlisted",
            "speakers",
            "without_speaker",
            "notes",
        )
        found = self.report.as_dict()
        return {
            "clips": self.clips,
            "bytes": self.size,
            "votes": sum(self.votes.values()),
            "raters": dict(self.votes),
            "by_label": dict(self.by_label),
            "gold": self.gold,
            "without_consent": self.without_consent,
            "headers": self.headers,
            "columns": self.columns,
            **{name: found[name] for name in kept},
        }

    def lines(self) -> list[str]:
        """Describe it for people, a sentence a line."""
        speakers = len(self.report.speakers.keys() - {""})
        lines = [
            f"{counted(self.clips, 'clip')} of {counted(speakers, 'known speaker')} would be read, "
            f"with {counted(self.votes.total(), 'vote')}."
        ]
        if self.votes:
            lines.append(f"Raters: {_counts(self.votes)}.")
            lines.append(f"Votes by label: {_counts(self.by_label)}.")
        if self.gold:
            lines.append(f"{self.gold} clip{'' if self.gold == 1 else 's'} would have a known answer.")
        if self.without_consent:
            lines.append(
                f"{self.without_consent} {'clip carries' if self.without_consent == 1 else 'clips carry'} no consent: "
                "name it with --consent, or nothing is stored."
            )
        lines += self.report.content_lines()
        if failed := len(self.report.failed):
            lines.append(f"{failed} {'file or row' if failed == 1 else 'files or rows'} would fail, named above.")
        return [*lines, "Nothing was stored. Whether every recording can be decoded shows in the import itself."]


def preview_sources(sources: Sequence[Path | str], options: ImportOptions) -> Preview:
    """Tell what `import_sources` would do with the same arguments.

    Raises:
        ExchangeError: if a source as a whole cannot be read.
    """
    preview = Preview()
    with ExitStack() as stack:
        for source in sources:
            findings = find_recordings(source, stack, options)
            report = preview.report
            report.failed += findings.refused
            report.unlisted += len(findings.unlisted)
            report.unlisted_names += findings.unlisted
            report.notes += findings.notes
            preview.headers += [header for header in findings.headers if header not in preview.headers]
            preview.columns = {**findings.columns, **preview.columns}
            for item in findings.incoming:
                _add(preview, item, options)
    preview.report.added = preview.clips
    try:
        check_consent(options.consent)
        preview.without_consent = 0
    except ConsentRequiredError:
        pass
    return preview


def _add(preview: Preview, item: Incoming, options: ImportOptions) -> None:
    report = preview.report
    if item.sha256 is None and not item.place.has(item.name):
        report.failed.append(
            (item.name, f"{item.name} is not in {item.place.name}. Put it there, or remove its row from the table.")
        )
        return
    preview.clips += 1
    preview.size += item.place.size(item.name) if item.sha256 is None else 0
    preview.without_consent += not item.brings_consent
    if item.record is not None:
        speaker, votes = item.record.get("speaker"), item.record.get("votes")
        report.speakers[str(speaker or "")] += 1
        for vote in votes if isinstance(votes, list) else ():
            _count(preview, vote)
        return
    report.speakers[item.fact("speaker") or ""] += 1
    try:
        labels = read_labels(item, options, report)
    except SerError as error:
        report.failed.append((item.name, str(error)))
        return
    preview.gold += labels.gold is not None
    for given in labels.votes:
        _count(preview, {"rater": given.rater, "label": given.label or given.verdict})


def _count(preview: Preview, vote: Mapping[str, object]) -> None:
    preview.votes[str(vote.get("rater"))] += 1
    preview.by_label[str(vote.get("label") or vote.get("verdict"))] += 1


def _counts(counter: Counter[str], most: int = 12) -> str:
    named = [f"{name} {count}" for name, count in counter.most_common(most)]
    return ", ".join(named) + (f" and {len(counter) - most} more" if len(counter) > most else "")
