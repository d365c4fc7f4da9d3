"""Rows as a reader of a layout yields them, and the Corpus made of them. Opens no audio, knows no layout by name."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ser.audio.formats import AUDIO_SUFFIXES
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS, to_label
from ser.types import Example


@dataclass(frozen=True)
class Row:
    """A recording as its corpus describes it.

    Attributes:
        file: relative to the corpus folder, or absolute.
        label: the emotion's name; in the owner's own words where no map knows it.
        speaker: unique across corpora; empty if unknown.
        transcript, language, gender, age, intensity, weight, split: as in `Example`; empty or None if unknown.
        session: groups recordings of one occasion.
        shares: {label in the owner's words: share or number of votes}; None if there is just the label.
        rater: who gave the label; None if nobody says.
        vote: what else they said, by the names of `annotations.store.new_records.NewVote`.
        sha256: of the decoded signal, where a table names recordings by it.
        consent: purposes that the speaker consented to, with spaces or commas between them.
        gold: the known right answer.
    """

    file: str
    label: str
    speaker: str = ""
    transcript: str | None = None
    language: str | None = None
    gender: str | None = None
    intensity: float | None = None
    weight: float = 1.0
    split: str | None = None
    session: str | None = None
    shares: Mapping[str, float] | None = None
    rater: str | None = None
    vote: Mapping[str, object] = field(default_factory=dict)
    age: float | None = None
    sha256: str | None = None
    consent: str = ""
    gold: str | None = None


@dataclass(frozen=True)
class Broken:
    """A row or file that cannot be understood.

    Attributes:
        where: the file, with the line where it is one of a table.
        why: what was found and what was expected, as half a sentence.
    """

    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@dataclass(frozen=True)
class Layout:
    """A way in which owners lay out a corpus.

    Attributes:
        name: to ask for it by, and of its examples' corpus.
        looks_like: the files that it is recognised by, for people.
        licence: of the recordings.
        source: where it comes from.
        recognises: whether a folder is laid out so.
        rows: what lies in such a folder (of an audio set: under such an id).
    """

    name: str
    looks_like: str
    licence: str
    source: str
    recognises: Callable[[Path], bool]
    rows: Callable[[Path], Iterable[Row | Broken]]


@dataclass(frozen=True)
class Corpus:
    """Contents of a corpus.

    Attributes:
        name: of its layout, or of the folder where its table is our own.
        examples: with a label we know and a file that is there.
        unknown_labels: {label: clips} that mean none of the labels wanted; those clips are left out.
        missing_files: named in a table, absent from the folder.
        speakers_known: False where some file counts as a speaker of its own.
        label_set: the labels that were asked for.
        broken: sentences on rows and files that could not be understood.
        layout: the name of its layout.
        licence: of the recordings; empty if unknown.
    """

    name: str
    examples: tuple[Example, ...]
    unknown_labels: Mapping[str, int]
    missing_files: tuple[str, ...]
    speakers_known: bool
    label_set: tuple[str, ...] = EMOTIONS
    broken: tuple[str, ...] = field(default=())
    layout: str = ""
    licence: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people on what was left out."""
        notes = []
        if self.unknown_labels:
            counts = ", ".join(f"{label} ({count})" for label, count in self.unknown_labels.items())
            notes.append(f"{self.name}: labels that mean none of the {len(self.label_set)} wanted, left out: {counts}.")
        if self.missing_files:
            first = ", ".join(self.missing_files[:3])
            notes.append(f"{self.name}: {len(self.missing_files)} file(s) of the table are missing, such as {first}.")
        if self.broken:
            first = "; ".join(self.broken[:3])
            notes.append(f"{self.name}: {len(self.broken)} row(s) or file(s) are not understood, such as {first}.")
        if not self.speakers_known:
            notes.append(
                f"{self.name}: no speakers are given for some files, so each of these counts as a speaker of its own, "
                "and figures on other speakers may be too good. Add a column 'speaker'."
            )
        return tuple(notes)


def build_corpus(
    rows: Iterable[Row | Broken],
    *,
    name: str,
    folder: Path,
    label_set: Sequence[str],
    layout: str,
    licence: str = "",
) -> Corpus:
    """Map labels, look for files, and count what is left out.

    Args:
        rows: of a layout's reader.
        name: of the corpus.
        folder: that the rows' files are relative to.
        label_set: the labels wanted.
        layout: the name of the layout.
        licence: of the recordings.

    Raises:
        TrainingDataError: if no usable example comes of it.
    """
    unknown: Counter[str] = Counter()
    missing: list[str] = []
    broken: list[str] = []
    said: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row, Broken):
            broken.append(str(row))
        else:
            said.setdefault(row.file or str(row.sha256), []).append(row)
    examples: list[Example] = []
    for file, about in said.items():
        label = _label(about, label_set, unknown)
        if label is None:
            continue
        if (folder / file).is_file():
            examples.append(_example(about, label, folder, name))
        else:
            missing.append(file)
    speakers_known = all(any(row.speaker for row in about) for about in said.values())
    corpus = Corpus(
        name,
        tuple(examples),
        dict(sorted(unknown.items())),
        tuple(missing),
        speakers_known,
        tuple(label_set),
        tuple(broken),
        layout,
        licence,
    )
    if not examples:
        reasons = " ".join(corpus.notes) or "It has no rows."
        raise TrainingDataError(f"{folder} gives no usable example as {layout}. {reasons}")
    return corpus


def _label(rows: Sequence[Row], label_set: Sequence[str], unknown: Counter[str]) -> str | dict[str, float] | None:
    """The label that all rows on a recording give, or the mean of what they say; None if they say nothing known."""
    votes = []
    for row in rows:
        if not (row.label or row.shares) and len(rows) > 1:
            continue
        vote: Counter[str] = Counter()
        for given, share in (row.shares or {row.label: 1.0}).items():
            label = to_label(given, label_set)
            if label is None:
                unknown[given.strip() or "(empty)"] += 1
            else:
                vote[label] += share  # type: ignore[assignment]
        if vote:
            votes.append({label: share / sum(vote.values()) for label, share in vote.items()})
    if not votes:
        return None
    labels = sorted({label for vote in votes for label in vote})
    mean = {label: sum(vote.get(label, 0.0) for vote in votes) / len(votes) for label in labels}
    return labels[0] if len(labels) == 1 else mean


def _example(rows: Sequence[Row], label: str | dict[str, float], folder: Path, corpus: str) -> Example:
    def first(name: str) -> Any:
        """The first known value; several tables may each say a part."""
        return next((value for row in rows if (value := getattr(row, name)) not in (None, "")), None)

    return Example(
        path=folder / rows[0].file,
        label=label,
        speaker=first("speaker") or f"{corpus}/{rows[0].file}",
        corpus=corpus,
        transcript=first("transcript"),
        language=first("language"),
        weight=rows[0].weight,
        intensity=first("intensity"),
        gender=first("gender"),
        split=first("split"),
        age=first("age"),
    )


def recordings(folder: Path) -> Iterator[Path]:
    """The recordings below a folder, sorted; hidden files (such as those that macOS leaves) are none."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith("."):
            yield path


def relative(path: Path, folder: Path) -> str:
    """The path below a folder, with forward slashes."""
    return path.relative_to(folder).as_posix()
