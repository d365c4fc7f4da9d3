"""Makes recordings in many containers, whole and broken, for tests of decoding."""

import io
import struct

import av
import numpy as np
import numpy.typing as npt
import soundfile

from ser.audio.formats import FORMATS

CONTAINERS = ["wav", "flac", "ogg", "opus", "mp3", "aiff", "caf", "m4a", "aac", "webm", "wma", "mkv"]
AGAIN = f"Expected {FORMATS}. Record again, or choose another file."
NO_LEVELS = (
    "The recording holds samples that are no sound levels (not a number, infinite or absurdly large); "
    "values within ±1 are expected. Export it again."
)


ENCODERS = {"m4a": ("ipod", "aac", 44_100), "aac": ("adts", "aac", 44_100), "webm": ("webm", "libopus", 48_000)}
ENCODERS |= {"wma": ("asf", "wmav2", 44_100), "mkv": ("matroska", "pcm_s16le", 16_000)}


def voice(duration: float = 3.0, rate: int = 16_000) -> npt.NDArray[np.float32]:
    """Bursts of a buzzing 150 Hz tone with pauses, level -6 dBFS: shaped like speech, the same every time."""
    time = np.arange(round(duration * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 150 * harmonic * time) / harmonic for harmonic in range(1, 12))
    envelope = np.clip(np.sin(2 * np.pi * 1.5 * time) * 3, 0, 1) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * time))
    signal = buzz * envelope
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)


def wav_header(size: int, *, channels: int = 1, rate: int = 16_000, bits: int = 16, tag: int = 1) -> bytes:
    """44 bytes that announce `size` bytes of samples, true or not."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * frame % 2**32, frame, bits)
    return (
        struct.pack("<4sI4s4sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVE", b"fmt ", 16)
        + form
        + (struct.pack("<4sI", b"data", size))
    )


def encode(signal: npt.NDArray[np.float32], extension: str, rate: int = 16_000) -> bytes:
    """Encode with libsndfile (wav, flac, ogg, opus, mp3, aiff, caf) or FFmpeg (`ENCODERS`)."""
    buffer = io.BytesIO()
    if extension not in ENCODERS:
        container, subtype = ("OGG", "OPUS") if extension == "opus" else (extension.upper(), None)
        soundfile.write(buffer, signal, rate, format=container, subtype=subtype)
        return buffer.getvalue()
    container, codec, native_rate = ENCODERS[extension]
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=native_rate, layout="mono", bit_rate=64_000)
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=native_rate, frame_size=stream.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(signal[None], format="flt", layout="mono")
        frame.sample_rate = rate
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def silent_film() -> bytes:
    """A second of grey video without any sound."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(10):
            picture = np.full((64, 64, 3), 128, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def pcm(signal: np.ndarray) -> bytes:
    return np.rint(np.clip(signal, -1, 1) * 32767).astype("<i2").tobytes()
