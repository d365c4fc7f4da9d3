"""Bytes or a file -> Audio: decoded, mixed to mono, brought to 16 kHz, and checked once.

The only place where recordings enter; knows nothing of speech regions, models or storage. Containers are
opened by `ser.audio.streams`, quality is described by `ser.audio.quality`.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import soxr

from ser.audio.formats import FORMATS
from ser.audio.quality import describe_quality, peak_level
from ser.audio.streams import AudioStream, Block, UnreadableError, describe_content, open_with_av, open_with_soundfile
from ser.errors import AudioError
from ser.types import SAMPLING_RATE, Audio, Signal

Source = Callable[[], BinaryIO]
"""Opens a recording's bytes from their beginning; called again for each attempt to read them."""

Opener = Callable[[BinaryIO], AbstractContextManager[AudioStream]]
"""A reader of containers."""

MIN_DURATION = 0.4
"""Seconds; shorter clips hold hardly a syllable, too little to predict an emotion from."""

HARD_MAX_DURATION = 4 * 3600.0
"""Seconds; the most that is ever decoded (0.9 GB as float32 at 16 kHz), so that no file can exhaust the memory."""

DURATION_SLACK = 0.1
"""Seconds by which a limit may be passed: encoders pad a recording of exactly 60 s to a little more."""

MIN_RATE, MAX_RATE = 4_000, 768_000
"""Hz; real recorders lie between. A false rate in a header would otherwise stretch a small file to days."""

MAX_LEVEL = 2.0**32
"""Times full scale; float files that hold integers reach 2^31, anything above is damage."""

SILENCE_LEVEL = -70.0
"""dBFS of the loudest sample. Dithered 16-bit silence peaks near -84 and a muted microphone's hiss near -75, while
even whispering recorded at a low gain peaks above -60."""

MAX_PEAK = 1.05
"""Times full scale from which the level is brought down: floating-point files may exceed it without being clipped, so
that scaling loses nothing and clipping would."""

MIX_LOSS = 0.1
"""Share of the loudest channel's power below which the mean of the channels has cancelled or diluted it."""

MISSING_SHARE, MISSING_DURATION = 0.05, 0.1
"""A recording is said to end early if both this share and these seconds of the announced length are missing."""


def decode_file(path: str | Path, max_duration: float | None = None) -> Audio:
    """Read a recording from a file.

    Args:
        path: of a file in any of `FORMATS`, at any rate and with any number of channels.
        max_duration: longest accepted recording in seconds; None for `HARD_MAX_DURATION`.

    Returns:
        Mono at 16 kHz, with `notes` on clipping, level, noise, bandwidth and missing parts.

    Raises:
        AudioError: if there is no such file, or where it is no usable recording; the message says why.
    """
    with readable(path) as source:
        return _decode(source, os.path.basename(path), max_duration)


@contextmanager
def readable(path: str | Path) -> Iterator[Source]:
    """Give what opens a file, and turn what goes wrong with the file itself into sentences.

    Raises:
        AudioError: if there is no such file, or it may not be read.
    """
    try:
        if not os.path.exists(path):
            raise AudioError(f"There is no file '{path}'. Check the path.")
        if os.path.isdir(path):
            raise AudioError(f"'{path}' is a folder; a file is expected. Name one of the files in it.")
        if not os.path.isfile(path):
            raise AudioError(f"'{path}' is not a regular file; a recording is expected. Save it to a file first.")
        yield lambda: open(path, "rb")
    except PermissionError as error:
        raise AudioError(f"'{path}' may not be read by this user. Change its permissions, or copy it.") from error
    except (OSError, ValueError) as error:
        raise AudioError(f"'{path}' cannot be opened as a file. Check the path.") from error


def decode_bytes(data: bytes, name: str = "", max_duration: float | None = None) -> Audio:
    """Read a recording from memory; like `decode_file`.

    Args:
        data: the content of a file in any of `FORMATS`.
        name: of the file, for messages.
        max_duration: longest accepted recording in seconds; None for `HARD_MAX_DURATION`.

    Raises:
        AudioError: if it is no usable recording; the message says why.
    """
    return _decode(lambda: io.BytesIO(data), name, max_duration)


@dataclass(frozen=True)
class Decoded:
    """Samples of a container, before any check of its content.

    Attributes:
        signal: mono at 16 kHz; what was not taken out before.
        duration: of the file, seconds.
        rate: of the file, Hz.
        announced: seconds by the header, or None.
        damaged: parts could not be decoded.
        peak: largest magnitude in the file, times full scale.
        mix_power: of the mean of the channels.
        channel_powers: of each channel, shape (channels,).
    """

    signal: Signal
    duration: float
    rate: int
    announced: float | None
    damaged: bool
    peak: float
    mix_power: float
    channel_powers: npt.NDArray[np.float64]

    @property
    def ends_early(self) -> bool:
        """A good part of what the header announces is missing."""
        missing = (self.announced or 0.0) - self.duration
        return missing > MISSING_DURATION and missing > MISSING_SHARE * (self.announced or 0.0)


CollectorType = TypeVar("CollectorType", bound="Collector")


def _decode(source: Source, name: str, max_duration: float | None) -> Audio:
    limit = HARD_MAX_DURATION if max_duration is None else min(max_duration, HARD_MAX_DURATION)
    decoded = read_whole(source, name, lambda stream: Collector(stream, limit)).finish()
    if decoded.mix_power < MIX_LOSS * decoded.channel_powers.max():
        # Opposite phases cancel in the mean, and one voice among many silent channels drowns: take the loudest alone.
        loudest = int(decoded.channel_powers.argmax())
        decoded = read_whole(source, name, lambda stream: Collector(stream, limit, loudest)).finish()
    return _check(decoded)


def read_whole(source: Source, name: str, make: Callable[[AudioStream], CollectorType]) -> CollectorType:
    """Try each reader in turn; the first that reads something to the end wins.

    Args:
        source: of the recording.
        name: of the file, for messages.
        make: a collector for an opened stream; it gets all blocks.

    Raises:
        AudioError: if no reader can read it, or the collector refuses what it gets.

    This is where the libraries' failures end, whatever they raise: files are other people's, and what a decoder makes
    of damage is without limit (a stream without a decoder is an AttributeError, false tags a UnicodeDecodeError). One
    file must never end a batch.
    """
    with source() as file:
        head = file.read(4096)
    if not head:
        raise AudioError("The file is empty (0 bytes). Record or export it again.")
    reason = ""
    for open_stream in (open_with_soundfile, open_with_av):
        try:
            with source() as file, open_stream(file) as stream:
                collector = make(stream)
                collector.opened_by = open_stream
                for rate, block in stream.blocks:
                    collector.add(rate, block)
                if collector.frames:
                    return collector
        except AudioError:
            raise
        except UnreadableError as error:
            reason = str(error)
        except Exception as error:
            reason = f"{describe_content(head)}, and its reader failed ({type(error).__name__}: {error})"
    label = f"'{name}'" if name else "The file"
    raise AudioError(
        f"{label} cannot be read as sound: {reason or describe_content(head)}. "
        f"Expected {FORMATS}. Record again, or choose another file."
    )


class Collector:
    """Mixes and resamples blocks as they come, so that memory holds little more than the result.

    Args:
        stream: that the blocks come from.
        limit: longest accepted recording in seconds.
        channel: taken alone; None for the mean of all.

    Attributes:
        frames: taken so far.
        opened_by: the reader of the stream.
    """

    opened_by: Opener = open_with_soundfile

    def __init__(self, stream: AudioStream, limit: float, channel: int | None = None) -> None:
        self.frames = 0
        self._stream, self._limit, self._channel = stream, limit, channel
        self._samples = bytearray()
        self._duration = 0.0
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None
        self._peak = 0.0
        self._mix_energy = 0.0
        self._channel_energies = np.zeros(stream.channels)

    def add(self, rate: int, block: Block) -> None:
        """Take samples of shape (frames, channels).

        Raises:
            AudioError: on a rate or samples out of bounds, or once the recording is longer than the limit.
        """
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AudioError(
                f"The file claims a sampling rate of {rate} Hz; {MIN_RATE} to {MAX_RATE} Hz are expected. "
                "Export it again at 16000 Hz."
            )
        peak = float(np.abs(block).max(initial=0.0))
        if not peak <= MAX_LEVEL:
            raise AudioError(
                "The recording holds samples that are no sound levels (not a number, infinite or absurdly large); "
                "values within ±1 are expected. Export it again."
            )
        self.frames += len(block)
        self._duration += len(block) / rate
        if self._duration > self._limit + DURATION_SLACK:
            raise AudioError(
                f"The recording is longer than {self._limit:g} s, the most that is accepted here. "
                "Cut it into shorter pieces."
            )
        mono = block.mean(axis=1, dtype=np.float32) if self._channel is None else block[:, self._channel].copy()
        self._peak = max(self._peak, peak)
        self._mix_energy += float(np.square(mono, dtype=np.float64).sum())
        self._channel_energies += np.square(block, dtype=np.float64).sum(axis=0)
        self._resample(rate, mono)

    def _resample(self, rate: int, mono: Signal) -> None:
        if rate != self._rate:
            self._flush()
            self._rate = rate
            if rate != SAMPLING_RATE:
                self._resampler = soxr.ResampleStream(rate, SAMPLING_RATE, 1, dtype="float32", quality="HQ")
        self._samples += (mono if self._resampler is None else self._resampler.resample_chunk(mono)).tobytes()

    def _flush(self) -> None:
        if self._resampler is not None:
            self._samples += self._resampler.resample_chunk(np.zeros(0, np.float32), last=True).tobytes()
            self._resampler = None

    def take(self, last: bool = False) -> Signal:
        """Hand out the samples at 16 kHz so far, which are kept no longer; `last` empties the resampler, too."""
        if last:
            self._flush()
        signal = np.frombuffer(bytes(self._samples), dtype=np.float32)
        self._samples.clear()
        return signal

    def finish(self) -> Decoded:
        """Return everything taken so far; needs at least one frame."""
        self._flush()
        return Decoded(
            signal=np.frombuffer(self._samples, dtype=np.float32),
            duration=self._duration,
            rate=self._rate,
            announced=self._stream.announced,
            damaged=self._stream.damaged,
            peak=self._peak,
            mix_power=self._mix_energy / self.frames if self._channel is None else np.inf,
            channel_powers=self._channel_energies / self.frames,
        )


def refuse_unusable(decoded: Decoded, level: float) -> None:
    """Refuse what is too short or silent.

    Args:
        decoded: the recording.
        level: of its loudest sound, dBFS.

    Raises:
        AudioError: if it is.
    """
    duration = decoded.duration
    if duration < MIN_DURATION:
        if decoded.ends_early:
            raise AudioError(
                f"The file ends early: it announces {decoded.announced:.1f} s, and {duration:.2f} s are there; "
                f"at least {MIN_DURATION} s is needed. Record or export it again."
            )
        raise AudioError(f"The recording is {duration:.2f} s long; at least {MIN_DURATION} s is needed. Record again.")
    if level < SILENCE_LEVEL:
        found = "all its samples are equal" if level == -np.inf else f"its loudest sound is at {level:.0f} dBFS"
        raise AudioError(
            f"The recording is silent: {found}; speech above {SILENCE_LEVEL:.0f} dBFS is needed. "
            "Check the microphone and record again."
        )


def describe_damage(decoded: Decoded) -> list[str]:
    """Say what of a file is missing, damaged or beyond full scale, as sentences."""
    notes = []
    if decoded.ends_early:
        notes.append(
            f"The file ends early: it announces {decoded.announced:.1f} s, and {decoded.duration:.1f} s are there."
        )
    elif decoded.damaged:
        notes.append("Parts of the file are damaged or missing; what could be read is used.")
    if decoded.peak > MAX_PEAK:
        notes.append(f"The samples exceeded full scale {decoded.peak:.3g} times; the level was brought down.")
    return notes


def _check(decoded: Decoded) -> Audio:
    """Refuse what is too short or silent; bring the level within full scale; note what a person should know."""
    signal = decoded.signal
    # The level is not defined for less than the edges that it leaves out, and so short a recording is refused anyway.
    refuse_unusable(decoded, peak_level(signal) if decoded.duration >= MIN_DURATION else 0.0)
    if decoded.peak > MAX_PEAK:
        signal = (signal / max(decoded.peak, float(np.abs(signal).max()))).astype(np.float32)
    signal = np.clip(signal, -1.0, 1.0)
    return Audio(signal, SAMPLING_RATE, (*describe_damage(decoded), *describe_quality(signal, decoded.rate)))
