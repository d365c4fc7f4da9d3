"""Reads the beginning of a recording that is too long, without decoding the rest."""

import io
from pathlib import Path

import numpy as np
import soundfile

from ser.audio.decoding import decode_bytes
from ser.audio.streams import AudioStream, UnreadableError, open_with_av, open_with_soundfile
from ser.errors import AudioError
from ser.types import Audio


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
