"""A timeline as values: regions of one feeling, changes and shares, and plain values for JSON. Pure."""

from dataclasses import dataclass

from ser.serialization import scores_to_dict
from ser.types import EmotionScores, Timings


@dataclass(frozen=True)
class FeelingRegion:
    """A stretch of speech with one feeling.

    Attributes:
        start: seconds from the beginning of the recording.
        end: the same.
        speaker: who speaks; None if speakers are not distinguished.
        channel: counted from 1; None if several are mixed.
        scores: of voice and words.
        unsure: why the label should not be relied on, as a sentence; None if nothing speaks against it.
        transcript: its words; None without a transcriber.
    """

    start: float
    end: float
    speaker: str | None
    channel: int | None
    scores: EmotionScores
    unsure: str | None
    transcript: str | None

    @property
    def label(self) -> str:
        """The most probable emotion."""
        return self.scores.label


@dataclass(frozen=True)
class Timeline:
    """Feeling over the time of a recording.

    Attributes:
        duration: of the recording, seconds.
        channels: of the file.
        regions: in order of their starts.
        timings: seconds.
        notes: what a person should know, as sentences.
    """

    duration: float
    channels: int
    regions: tuple[FeelingRegion, ...]
    timings: Timings
    notes: tuple[str, ...]

    @property
    def speakers(self) -> list[str]:
        """The distinguished speakers, in order of their first words."""
        return list(dict.fromkeys(region.speaker for region in self.regions if region.speaker is not None))

    @property
    def changes(self) -> list[tuple[FeelingRegion, FeelingRegion]]:
        """Regions of one speaker in a row whose labels differ, in order of time."""
        latest: dict[tuple[int | None, str | None], FeelingRegion] = {}
        found = []
        for region in self.regions:
            before = latest.get((region.channel, region.speaker))
            if before is not None and before.label != region.label:
                found.append((before, region))
            latest[region.channel, region.speaker] = region
        return found

    @property
    def summary(self) -> dict[str, float]:
        """Share of the speech by label, sum 1; in the order of the answers' labels, without those that are absent."""
        labels = dict.fromkeys(label for region in self.regions for label in region.scores.labels)
        seconds = {label: sum(r.end - r.start for r in self.regions if r.label == label) for label in labels}
        total = sum(seconds.values())
        return {label: part / total for label, part in seconds.items() if part > 0}

    def as_regions(self) -> list[dict[str, object]]:
        """The regions as plain values."""
        return [
            {
                "start": round(region.start, 3),
                "end": round(region.end, 3),
                "speaker": region.speaker,
                "channel": region.channel,
                "label": region.label,
                "confidence": round(region.scores.confidence, 4),
                "scores": scores_to_dict(region.scores),
                "unsure": region.unsure,
                "transcript": region.transcript,
            }
            for region in self.regions
        ]

    def as_dict(self, file: str | None = None) -> dict[str, object]:
        """Plain values for JSON: `file, duration, channels, speakers, regions, changes, summary, timings, notes`."""
        return {
            "file": file,
            "duration": round(self.duration, 3),
            "channels": self.channels,
            "speakers": self.speakers,
            "regions": self.as_regions(),
            "changes": [
                {"time": round(after.start, 3), "from": before.label, "to": after.label, "speaker": after.speaker}
                for before, after in self.changes
            ],
            "summary": {label: round(share, 4) for label, share in self.summary.items()},
            "timings": self.timings.as_dict(),
            "notes": list(self.notes),
        }
