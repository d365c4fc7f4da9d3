"""Report of an erasure, as a value and in sentences."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ser.wording import counted


@dataclass
class ErasureReport:
    """Counts and places of what was erased, or would be.

    Attributes:
        kind: clip, speaker, rater, consent or retention.
        subject: what was to be erased, in words.
        dry_run: whether nothing was done, only counted.
        clips: erased.
        votes: erased, or made anonymous.
        recordings: files deleted.
        rows: {table: rows} erased or changed.
        files: derived files, cached copies, and copies of the database that were deleted or changed.
        exports: places of exports made anew without it.
        versions: names of model versions that trained on it, now marked.
        elsewhere: sentences about what lies where the program cannot reach.
        remains: sentences about what could not be removed.
    """

    kind: str
    subject: str
    dry_run: bool = False
    clips: int = 0
    votes: int = 0
    recordings: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the counts that the log keeps."""
        return {"clips": self.clips, "votes": self.votes, "recordings": self.recordings, **self.rows}

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        return {**asdict(self), "rows": dict(self.rows)}

    def lines(self) -> list[str]:
        """Describe it for people, a sentence a line."""
        said = "would be erased" if self.dry_run else "erased"
        if not self.clips and set(self.rows) == {"faces"}:
            return self._and_beyond(
                [
                    f"The picture of {self.subject} would be erased; the recording and its votes would stay."
                    if self.dry_run
                    else f"The picture of {self.subject} is erased; the recording and its votes stay."
                ]
            )
        rows = ", ".join(f"{count} of {table}" for table, count in sorted(self.rows.items())) or "none"
        lines = [
            f"{self.subject}: {counted(self.clips, 'clip')}, {counted(self.recordings, 'recording')} and "
            f"{counted(self.votes, 'vote')} {said}.",
            f"Rows {'that would be ' if self.dry_run else ''}erased or changed: {rows}.",
        ]
        return self._and_beyond(lines)

    def _and_beyond(self, lines: list[str]) -> list[str]:
        lines += [f"Erased in or with: {path}" for path in self.files]
        lines += [f"Export made anew without it: {path}" for path in self.exports]
        if self.versions:
            lines.append(
                f"Models that were trained on it: {', '.join(self.versions)}. They are marked; `versions` lists them, "
                "and `retrain --without-erased` trains one without it."
            )
        return lines + self.elsewhere + self.remains
