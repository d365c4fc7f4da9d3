"""Recordings of hours: a first pass measures a file, and a second hands out its sound block by block.

The beginning can be read alone. Memory does not grow with the length. What cannot be read is refused by
`ser.audio.decoding`, as for short recordings.
"""

import hashlib
import io
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from ser.audio.decoding import (
    HARD_MAX_DURATION,
    MAX_PEAK,
    MIX_LOSS,
    Collector,
    Decoded,
    Opener,
    Source,
    decode_bytes,
    describe_damage,
    read_whole,
    readable,
    refuse_unusable,
)
from ser.audio.streams import AudioStream, Block, UnreadableError, open_with_av, open_with_soundfile
from ser.errors import AudioError
from ser.types import SAMPLING_RATE, Audio, Signal

ENVELOPE_FRAME = 0.05
"""Seconds over which the channels' levels are compared."""

MAX_SIMILARITY = 0.5
"""Correlation of two channels' levels over time below which they hold different speech. Two microphones before one
speaker rise and fall together, whatever their phases; two people take turns."""

MIN_CHANNEL_POWER = 1e-4
"""Share of the loudest channel's power below which a channel holds nothing (-40 dB)."""

BLOCK = 60 * SAMPLING_RATE


@dataclass(frozen=True, eq=False)
class LongRecording:
    """A recording that was read once, to its end.

    Attributes:
        duration: in seconds.
        channels: of the file.
        used_channels: those that hold sound, counted from 0.
        similarity: least correlation of the levels of two used channels over time; 1 if there is only one.
        notes: what a listener should know, as sentences.
    """

    duration: float
    channels: int
    used_channels: tuple[int, ...]
    similarity: float
    notes: tuple[str, ...]
    _source: Source | Audio
    _open: Opener = open_with_soundfile
    _scale: float = 1.0
    _mix: int | None = None

    @property
    def differs(self) -> bool:
        """True if the channels hold different speech."""
        return self.similarity < MAX_SIMILARITY

    def blocks(self, channel: int | None = None) -> Iterator[Signal]:
        """Hand out the sound at 16 kHz in order, in blocks of any length.

        Args:
            channel: taken alone; None for the mean of all, or the loudest if they cancel each other.

        Raises:
            AudioError: if the file has changed or gone since it was read first.
        """
        if isinstance(self._source, Audio):
            for first in range(0, len(self._source.signal), BLOCK):
                yield self._source.signal[first : first + BLOCK]
            return
        try:
            with self._source() as file, self._open(file) as stream:
                collector = Collector(stream, HARD_MAX_DURATION, self._mix if channel is None else channel)
                for rate, block in stream.blocks:
                    collector.add(rate, block)
                    yield np.clip(collector.take() * self._scale, -1.0, 1.0)
                yield np.clip(collector.take(last=True) * self._scale, -1.0, 1.0)
        except AudioError:
            raise
        except Exception as error:
            # A decoder may raise anything (see `read_whole`), and this file could be read a moment ago.
            raise AudioError(f"The file could not be read a second time ({error}). Try again.") from error

    def crops(self, spans: Sequence[tuple[float, float]], channel: int | None = None) -> Iterator[Audio]:
        """Cut parts out; memory follows the longest part and not the recording.

        Args:
            spans: start and end of each in seconds, in order of their ends.
            channel: see `blocks`.
        """
        waiting = deque((round(start * SAMPLING_RATE), round(end * SAMPLING_RATE)) for start, end in spans)
        kept, first = np.zeros(0, np.float32), 0
        for block in self.blocks(channel):
            kept = np.concatenate([kept, block])
            while waiting and waiting[0][1] <= first + len(kept):
                start, end = waiting.popleft()
                yield Audio(kept[max(0, start - first) : end - first])
            # What no part begins before is let go.
            begin = min((start for start, _ in waiting), default=first + len(kept))
            gone = max(0, min(begin - first, len(kept)))
            kept, first = kept[gone:], first + gone
        for start, end in waiting:
            yield Audio(kept[max(0, start - first) : end - first])

    def sha256(self) -> str:
        """Hash of the mixed sound as 16-bit samples, the same as `Audio.sha256` of the whole."""
        found = hashlib.sha256()
        for block in self.blocks():
            found.update(np.clip(np.rint(block * 32768.0), -32768, 32767).astype("<i2").tobytes())
        return found.hexdigest()


class _Scanner(Collector):
    """Measures blocks and keeps none of them."""

    def __init__(self, stream: AudioStream, limit: float) -> None:
        super().__init__(stream, limit)
        self.channels = stream.channels
        self.low, self.high = np.inf, -np.inf
        self._pending = np.zeros((0, stream.channels), np.float32)
        self._count, self._sum, self._products = 0, np.zeros(self.channels), np.zeros((self.channels, self.channels))

    def add(self, rate: int, block: Block) -> None:
        super().add(rate, block)
        mono = self.take()
        self.low, self.high = min(self.low, mono.min(initial=np.inf)), max(self.high, mono.max(initial=-np.inf))
        size = max(1, round(ENVELOPE_FRAME * rate))
        self._pending = np.concatenate([self._pending, block])
        count = len(self._pending) // size
        frames = self._pending[: count * size].reshape(count, size, self.channels)
        levels = np.sqrt(np.square(frames, dtype=np.float64).mean(axis=1))
        self._pending = self._pending[count * size :]
        self._count += count
        self._sum += levels.sum(axis=0)
        self._products += levels.T @ levels

    def similarity(self, used: Sequence[int]) -> float:
        """Least correlation of two of the used channels' levels; 1 if it is unknown."""
        if len(used) < 2 or self._count < 2:
            return 1.0
        means = self._sum / self._count
        covariances = (self._products / self._count - np.outer(means, means))[np.ix_(used, used)]
        deviations = np.sqrt(np.maximum(covariances.diagonal(), 1e-20))
        return float((covariances / np.outer(deviations, deviations)).min())


def read_long(source: str | Path | bytes | Audio, max_duration: float | None = None) -> LongRecording:
    """Read a recording once, and measure it.

    Args:
        source: a path, the bytes of an audio file, or decoded `Audio`.
        max_duration: longest accepted recording in seconds; None for `HARD_MAX_DURATION`.

    Raises:
        AudioError: if it is no usable recording; the message says why.
    """
    if isinstance(source, Audio):
        return LongRecording(source.duration, 1, (0,), 1.0, source.notes, source)
    if isinstance(source, bytes):
        return _scan(lambda: io.BytesIO(source), "", max_duration)
    with readable(source) as opened:
        return _scan(opened, os.path.basename(source), max_duration)


def _scan(source: Source, name: str, max_duration: float | None) -> LongRecording:
    limit = HARD_MAX_DURATION if max_duration is None else min(max_duration, HARD_MAX_DURATION)
    scanner = read_whole(source, name, lambda stream: _Scanner(stream, limit))
    decoded = scanner.finish()
    loudest = int(decoded.channel_powers.argmax())
    cancels = decoded.mix_power < MIX_LOSS * decoded.channel_powers[loudest]
    refuse_unusable(decoded, _level(decoded, scanner, cancels))
    used = _used(decoded.channel_powers)
    return LongRecording(
        decoded.duration,
        scanner.channels,
        used,
        scanner.similarity(used),
        tuple(describe_damage(decoded)),
        source,
        scanner.opened_by,
        1.0 / decoded.peak if decoded.peak > MAX_PEAK else 1.0,
        loudest if cancels else None,
    )


def _level(decoded: Decoded, scanner: _Scanner, cancels: bool) -> float:
    """Level of the loudest sound in dBFS: half the way from the lowest to the highest sample."""
    excursion = decoded.peak if cancels else (scanner.high - scanner.low) / 2
    return 20 * float(np.log10(excursion)) if excursion > 0 else -np.inf


def _used(powers: npt.NDArray[np.float64]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(powers >= MIN_CHANNEL_POWER * powers.max()).tolist())


def decode_beginning(path: str | Path, seconds: float) -> Audio:
    """Read the first seconds of a recording.

    Args:
        path: of a file in any format that `decode_file` reads.
        seconds: to read; the rest is not decoded.

    Returns:
        Mono at 16 kHz, as `decode_file` gives it.

    Raises:
        AudioError: if it is no usable recording.
    """
    reason = ""
    for open_stream in (open_with_soundfile, open_with_av):
        try:
            with open(path, "rb") as file, open_stream(file) as stream:
                beginning = _beginning(stream, seconds)
            return decode_bytes(beginning, Path(path).name, seconds)
        except OSError as error:
            raise AudioError(f"'{path}' cannot be opened as a file. Check the path.") from error
        except UnreadableError as error:
            reason = str(error) or reason
    raise AudioError(
        f"The beginning of the recording cannot be read{f': {reason}' if reason else ''}. Export it again."
    )


def _beginning(stream: AudioStream, seconds: float) -> bytes:
    """The first seconds as the bytes of a WAV file of 32-bit floats."""
    blocks, rate, frames = [], 0, 0
    for block_rate, block in stream.blocks:
        # A stream whose rate changes ends where it does: a WAV file has but one.
        if rate not in (0, block_rate):
            break
        rate = block_rate
        blocks.append(block[: round(seconds * rate) - frames])
        frames += len(blocks[-1])
        if frames >= round(seconds * rate):
            break
    if not frames:
        raise UnreadableError("it holds no samples")
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(blocks), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()
