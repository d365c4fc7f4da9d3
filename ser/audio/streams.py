"""Opens a recording's container and hands its samples out block by block, with soundfile or with PyAV.

Trusts no header: memory follows what is truly there. Knows nothing of what makes a recording usable.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
import numpy.typing as npt
import soundfile

BLOCK_SAMPLES = 1 << 18
"""Samples of all channels together that are decoded at a time: 1 MB as float32."""

UNKNOWN_BYTES = 0x7FFF_0000
"""Recorders that write to a pipe put a size near 2^31 or 2^32 into a WAV header: it announces nothing."""

AV_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,aac,flac,wav,w64,aiff,caf,asf,amr,au,avi,mpegts"
"""Containers PyAV may open. Playlists are absent on purpose: they would make it read other files and addresses."""

MAX_DAMAGED_SHARE = 0.5
"""Above this share of undecodable packets it was no recording: random bytes can resemble MP3 frames."""

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"RIFF", "a damaged WAV file"),
    (b"fLaC", "a damaged FLAC file"),
    (b"OggS", "a damaged Ogg file"),
    (b"FORM", "a damaged AIFF file"),
    (b"caff", "a damaged CAF file"),
    (b"ID3", "a damaged MP3 file"),
    (b"\x1a\x45\xdf\xa3", "a damaged WebM file"),
    (b"\x30\x26\xb2\x75", "a damaged WMA file"),
)
"""First bytes of common files, and what to call them once no reader could read them."""

Block = npt.NDArray[np.float32]


class UnreadableError(Exception):
    """A file that a reader cannot read; the message names its kind if that is known, else it is empty."""


@dataclass
class AudioStream:
    """An opened recording.

    Attributes:
        channels: constant over all blocks.
        blocks: pairs of the sampling rate in Hz and float32 samples of shape (frames, channels).
        announced: length in seconds by the header, or None if it has none.
        damaged: parts could not be decoded, or the end is missing; final once `blocks` is used up.
    """

    channels: int
    blocks: Iterator[tuple[int, Block]]
    announced: float | None
    damaged: bool = False


@contextmanager
def open_with_soundfile(file: BinaryIO) -> Iterator[AudioStream]:
    """Open with libsndfile: WAV, FLAC, Ogg, MP3, AIFF, CAF and older ones.

    Raises:
        UnreadableError: at opening or at any block; the reader loses the samples around damage, so another one
            should start from the beginning.
    """
    ogg_incomplete = _is_incomplete_ogg(file)
    try:
        # A bare stream object has no name from which raw, headerless formats would be guessed.
        with soundfile.SoundFile(_Unnamed(file)) as sound:
            yield AudioStream(sound.channels, _soundfile_blocks(sound), _announced_by(sound), ogg_incomplete)
    except soundfile.LibsndfileError as error:
        raise UnreadableError from error


class _Unnamed:
    """The part of a binary file that libsndfile calls, without its name."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.read, self.readinto = file.seek, file.tell, file.read, file.readinto  # type: ignore[attr-defined]

    def write(self, data: bytes) -> int:
        raise OSError("opened for reading only")


def _soundfile_blocks(sound: soundfile.SoundFile) -> Iterator[tuple[int, Block]]:
    frames = max(1, BLOCK_SAMPLES // sound.channels)
    while len(block := sound.read(frames, dtype="float32", always_2d=True)):
        yield sound.samplerate, block


def _announced_by(sound: soundfile.SoundFile) -> float | None:
    """Seconds by the header; libsndfile gives the true frames of WAV and AIFF, and the false claim in its log."""
    claim = re.search(r"(?:data|SSND) : (\d+) \(should be (\d+)\)", sound.extra_info)
    if claim and int(claim[2]) and int(claim[1]) < UNKNOWN_BYTES:
        return float(sound.frames / sound.samplerate * int(claim[1]) / int(claim[2]))
    return float(sound.frames / sound.samplerate) if 0 < sound.frames < 2**62 else None


def _is_incomplete_ogg(file: BinaryIO) -> bool:
    """Find out if an Ogg file lacks its last page, which carries an end-of-stream flag.

    Source: RFC 3533, section 6: header_type_flag 0x04; a page is 27 bytes, the segment table and the segments.
    """
    is_ogg = file.read(4) == b"OggS"
    size = file.seek(0, 2)
    file.seek(max(0, size - 2 * 65_307))
    tail = file.read() if is_ogg else b""
    file.seek(0)
    page = tail[tail.rfind(b"OggS") :] if is_ogg else b""
    if not is_ogg:
        return False
    if len(page) < 27 or len(page) < 27 + page[26]:
        return True
    return not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])


@contextmanager
def open_with_av(file: BinaryIO) -> Iterator[AudioStream]:
    """Open with FFmpeg's libraries: MP4, WebM, AAC, WMA and nearly everything else.

    Raises:
        UnreadableError: if it is no container of `AV_FORMATS`, holds no sound, or is mostly undecodable.
    """
    try:
        # Tags in another encoding than UTF-8 are common, and nobody reads them here.
        with av.open(file, options={"format_whitelist": AV_FORMATS}, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise UnreadableError("it holds video or pictures, but no sound")
            track = next((track for track in container.streams.audio if track.codec_context is not None), None)
            if track is None:
                raise UnreadableError("its sound is in a form that no decoder here knows")
            seconds: float | None = None
            # MP3 and AAC without an index: the duration is a guess from the bit rate.
            if container.format.name not in ("aac", "mp3"):
                if track.duration is not None and track.time_base is not None:
                    seconds = float(track.duration * track.time_base)
                elif container.duration is not None:
                    seconds = container.duration / av.time_base
            stream = AudioStream(max(1, track.codec_context.channels), iter(()), seconds)
            stream.blocks = _av_blocks(container, track, stream)
            yield stream
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableError from error


def _av_blocks(
    container: "av.container.InputContainer", track: "av.AudioStream", stream: AudioStream
) -> Iterator[tuple[int, Block]]:
    good = bad = 0
    for packet in container.demux(track):
        try:
            frames = packet.decode()
        except (av.FFmpegError, OSError):
            bad += 1
            continue
        good += bool(frames)
        for frame in frames:
            if frame.samples and frame.sample_rate:
                yield frame.sample_rate, _to_block(frame, stream.channels)
    if bad > MAX_DAMAGED_SHARE * (good + bad):
        raise UnreadableError
    stream.damaged = bad > 0


def _to_block(frame: "av.AudioFrame", channels: int) -> Block:
    """Samples of shape (frames, channels), full scale ±1, whatever the codec's own sample format."""
    samples = frame.to_ndarray()
    count = len(frame.layout.channels)
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, count)
    if samples.dtype == np.uint8:
        block = (samples.astype(np.float32) - 128.0) / 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        block = (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    else:
        block = samples.astype(np.float32)
    if count == channels:
        return np.ascontiguousarray(block)
    # The number of channels changed midway: keep what they have in common.
    return np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)


def describe_content(head: bytes) -> str:
    """Describe a file by its first bytes, for a message after no reader could read it.

    >>> describe_content(b"%PDF-1.7"), describe_content(b"Dear diary, today")
    ('it is a PDF document', 'it is text')
    """
    for signature, description in SIGNATURES:
        if head.startswith(signature):
            return f"it is {description}"
    if head[4:8] == b"ftyp":
        return "it is an MP4 file that is damaged or whose end is missing"
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < 4096 else "ignore")
    except UnicodeDecodeError:
        text = ""
    if text and sum(c.isprintable() or c.isspace() for c in text) >= 0.95 * max(len(text), len(head) // 2):
        return "it is text"
    return "its content is no known audio format"
