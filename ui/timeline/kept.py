"""Timelines that are on somebody's page, with the recordings that they are of. Knows no component."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ser.audio.long_recordings import LongRecording, read_long
from ser.errors import SerError
from ser.timeline.regions import Timeline
from ser.types import Audio

MOST_KEPT = 64
"""Timelines that are remembered, those used last; a quarter of an hour takes some 100 kB."""


@dataclass(frozen=True, eq=False)
class KeptTimeline:
    """A timeline.

    Attributes:
        path: of the upload, which its session holds.
        file: its name.
        timeline: as the model answered.
        session: of the page.
        limit: seconds that a recording may last.
    """

    path: Path
    file: str
    timeline: Timeline
    session: str
    limit: float

    def read(self) -> LongRecording:
        """Read the recording again.

        Raises:
            SerError: if its session has let it go.
        """
        if not self.path.is_file():
            raise SerError(f"The recording {self.file} was let go. Choose it again, then save.")
        return read_long(self.path, self.limit)


class KeptTimelines:
    """The timelines of all open pages, each under a token that only its page knows; safe to call from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, KeptTimeline] = OrderedDict()

    def keep(self, kept: KeptTimeline) -> str:
        """Remember a timeline; returns its token."""
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = kept
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return token

    def get(self, token: object) -> KeptTimeline:
        """The timeline of a token.

        Raises:
            SerError: if it is not remembered.
        """
        with self._lock:
            kept = self._kept.get(token) if isinstance(token, str) else None
            if kept is None:
                raise SerError("This timeline is not remembered any more. Choose the recording again.")
            self._kept.move_to_end(str(token))
            return kept


def read_channel(recording: LongRecording, channel: int | None) -> Audio:
    """The sound of one channel, counted from 1, or of all mixed."""
    used = channel is not None and recording.channels > 1
    return Audio(np.concatenate(list(recording.blocks(channel - 1 if used and channel is not None else None))))
