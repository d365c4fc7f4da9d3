"""Degradations of recordings in the wild, as pure functions of the waveform: conditions of `benchmarks.robustness`.

Signals are float32 of shape (samples,) at 16 kHz. Nothing here is shared with `ser.audio.augmentation` on purpose: what
a model was trained against must not be what it is tested with. Knows no model and no corpus.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pyroomacoustics
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from benchmarks.acoustic.speech_level import LEVEL_FRAME, active_level, frame_powers, speech_start
from ser.audio.decoding import decode_bytes, decode_file
from ser.errors import AudioError, TrainingDataError
from ser.types import SAMPLING_RATE, Signal

Degrade = Callable[[Signal, np.random.Generator], Signal]

HELD_OUT_NOISE = "5-"
"""Beginning of the names of the noise that only the benchmark uses: fold 5 of ESC-10, which ESC names first in a file.

Training leaves these files out (`ser.audio.augmentation.HELD_OUT_NOISE`). Source: Piczak 2015, "ESC: Dataset for
Environmental Sound Classification", https://doi.org/10.1145/2733373.2806390
(clips of one original recording stay within one fold)."""

OPUS_BIT_RATE, MP3_BIT_RATE = 16_000, 32_000
"""bit/s. 16 kbit/s is a poor call; 32 kbit/s at 16 kHz is a voice memo."""

TELEPHONE_BAND = (300.0, 3400.0)
"""Hz. Source: ITU-T Recommendation G.712."""

TELEPHONE_RATE = 8_000
CLIPPING_GAIN = 12.0
"""dB by which a recording that filled the scale is overdriven before it is clipped."""


@dataclass(frozen=True)
class Room:
    """A shoebox with a speaker and a microphone.

    Attributes:
        size: length, width and height, m.
        reverb_time: RT60, s.
        speaker: where the mouth is, m.
        microphone: where it is recorded, m.
    """

    size: tuple[float, float, float]
    reverb_time: float
    speaker: tuple[float, float, float]
    microphone: tuple[float, float, float]


ROOMS = (
    Room((3.6, 2.8, 2.5), 0.30, (1.2, 1.5, 1.2), (2.2, 1.3, 0.9)),
    Room((5.2, 4.1, 2.6), 0.45, (1.5, 1.1, 1.6), (3.4, 2.6, 1.1)),
    Room((7.4, 5.3, 3.0), 0.60, (2.0, 3.6, 1.6), (4.1, 2.2, 1.1)),
    Room((11.5, 8.2, 4.0), 0.90, (3.1, 4.4, 1.6), (6.4, 3.0, 1.2)),
)
"""An office, a living room, a meeting room, a classroom; recorded from 1.0 to 3.6 m."""


def mix_noise(signal: Signal, noise: Signal, snr: float, generator: np.random.Generator) -> Signal:
    """Add a drawn stretch of a noise.

    Args:
        signal: speech.
        noise: repeated where it is shorter.
        snr: level of the active speech over that of the stretch of noise, dB.
        generator: draws where the stretch begins.

    Returns:
        The sum, brought within full scale, unchanged where the noise is silent.

    >>> tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32) / 10
    >>> hiss = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    >>> added = mix_noise(tone, hiss, 20.0, np.random.default_rng(0)) - tone
    >>> round(float(20 * np.log10(tone.std() / added.std())), 1)
    20.0
    """
    start = int(generator.integers(len(noise)))
    stretch = np.take(noise, np.arange(start, start + len(signal)), mode="wrap")
    level = float(np.sqrt(np.mean(stretch**2)))
    if level <= 0.0:
        return signal
    gain = active_level(signal) / level / 10.0 ** (snr / 20.0)
    return _within_scale(signal + np.float32(gain) * stretch)


def reverberate(signal: Signal, impulse: npt.NDArray[np.float64]) -> Signal:
    """Put a voice into a room, at the level it had; the tail after the recording's end is cut.

    Args:
        signal: of a close microphone.
        impulse: response of the room, its first peak at the direct sound.

    >>> round(float(reverberate(np.full(100, 0.5, np.float32), np.array([1.0, 0.0, 0.5]))[50]), 2)
    0.5
    """
    wet = fftconvolve(signal.astype(np.float64), impulse)[: len(signal)]
    level = active_level(wet.astype(np.float32))
    return _within_scale(wet * (active_level(signal) / level if level > 0.0 else 1.0))


@lru_cache(maxsize=len(ROOMS))
def room_response(room: Room) -> npt.NDArray[np.float64]:
    """Impulse response of a room by the image method, from the direct sound on, its largest value 1.

    Source: Allen & Berkley 1979, https://doi.org/10.1121/1.382599, as pyroomacoustics does it; walls by Sabine's law.
    """
    absorption, order = pyroomacoustics.inverse_sabine(room.reverb_time, room.size)
    box = pyroomacoustics.ShoeBox(
        room.size, fs=SAMPLING_RATE, materials=pyroomacoustics.Material(absorption), max_order=order
    )
    box.add_source(room.speaker)
    box.add_microphone(room.microphone)
    box.compute_rir()
    response = np.asarray(box.rir[0][0], dtype=np.float64)
    response = response[int(np.abs(response).argmax()) :]
    return response / response[0]


def opus(signal: Signal) -> Signal:
    """Encode and decode as in a call at `OPUS_BIT_RATE`."""
    return _recode(signal, "ogg", "libopus", OPUS_BIT_RATE, {"application": "voip"})


def mp3(signal: Signal) -> Signal:
    """Encode and decode as in a file at `MP3_BIT_RATE`."""
    return _recode(signal, "mp3", "libmp3lame", MP3_BIT_RATE, {})


def telephone(signal: Signal) -> Signal:
    """Pass through a fixed line: `TELEPHONE_BAND`, 8 kHz, mu-law.

    >>> tone = np.sin(2 * np.pi * 6000 / 16_000 * np.arange(16_000)).astype(np.float32)
    >>> bool(telephone(tone).std() < 0.01)  # nothing at 6 kHz comes through
    True
    """
    narrow = soxr.resample(signal, SAMPLING_RATE, TELEPHONE_RATE)
    band = butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")
    line = np.clip(sosfilt(band, narrow), -1.0, 1.0)
    file = io.BytesIO()
    soundfile.write(file, line, TELEPHONE_RATE, format="WAV", subtype="ULAW")
    file.seek(0)
    decoded, rate = soundfile.read(file, dtype="float32")
    return _fit(soxr.resample(decoded, rate, SAMPLING_RATE), len(signal))


def clip(signal: Signal) -> Signal:
    """Clip as a microphone set too loud does: scale to full scale, add `CLIPPING_GAIN`, cut off.

    >>> print(clip(np.array([0.1, -0.2, 0.02], np.float32)).round(2))
    [ 1.  -1.   0.4]
    """
    peak = float(np.abs(signal).max(initial=0.0))
    return gain(signal / np.float32(peak), CLIPPING_GAIN) if peak > 0.0 else signal


def gain(signal: Signal, decibels: float) -> Signal:
    """Make a signal louder or quieter; what passes full scale is cut off.

    >>> print(gain(np.array([0.25, -0.8], np.float32), 6.0).round(3))
    [ 0.499 -1.   ]
    """
    return np.clip(signal * np.float32(10.0 ** (decibels / 20.0)), -1.0, 1.0).astype(np.float32)


def first_second(signal: Signal) -> Signal:
    """The first second from where speech begins.

    >>> len(first_second(np.ones(40_000, np.float32)))
    16000
    """
    start = speech_start(signal)
    return signal[start : start + SAMPLING_RATE]


def conditions(noises: Sequence[Signal]) -> dict[str, Degrade]:
    """The conditions by name, `clean` first.

    Args:
        noises: one of which is drawn for each recording.
    """

    def noisy(snr: float) -> Degrade:
        def apply(signal: Signal, generator: np.random.Generator) -> Signal:
            return mix_noise(signal, noises[int(generator.integers(len(noises)))], snr, generator)

        return apply

    def in_room(signal: Signal, generator: np.random.Generator) -> Signal:
        return reverberate(signal, room_response(ROOMS[int(generator.integers(len(ROOMS)))]))

    return {
        "clean": lambda signal, _: signal,
        "noise 20 dB": noisy(20.0),
        "noise 10 dB": noisy(10.0),
        "noise 0 dB": noisy(0.0),
        "reverberation": in_room,
        "Opus 16 kbit/s": lambda signal, _: opus(signal),
        "MP3 32 kbit/s": lambda signal, _: mp3(signal),
        "telephone": lambda signal, _: telephone(signal),
        "clipped": lambda signal, _: clip(signal),
        "first 1 s": lambda signal, _: first_second(signal),
        "+6 dB": lambda signal, _: gain(signal, 6.0),
        "-6 dB": lambda signal, _: gain(signal, -6.0),
    }


def read_held_out_noises(folder: Path) -> list[Signal]:
    """The noises of ESC-10's fold 5, digital silence left out, as ESC fills short recordings up with it.

    Args:
        folder: that holds the recordings, at any depth.

    Raises:
        TrainingDataError: where none is there, or one cannot be read.
    """
    noises = []
    for path in sorted(path for path in folder.rglob(f"{HELD_OUT_NOISE}*") if path.is_file()):
        try:
            signal = decode_file(path).signal
        except AudioError as error:
            raise TrainingDataError(f"The noise {path} cannot be used: {error}") from error
        powers = frame_powers(signal)
        # 60 dB under the loudest frame: codecs turn the filling into faint noise rather than zeros.
        sounding = np.flatnonzero(powers > powers.max() * 1e-6)
        noises.append(signal[sounding[0] * LEVEL_FRAME : (sounding[-1] + 1) * LEVEL_FRAME])
    if not noises:
        raise TrainingDataError(
            f"No noise under {folder} has a name that begins with '{HELD_OUT_NOISE}' (ESC, fold 5)."
        )
    return noises


def _recode(signal: Signal, container: str, codec: str, bit_rate: int, options: dict[str, str]) -> Signal:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=SAMPLING_RATE, layout="mono", bit_rate=bit_rate, options=options)
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=SAMPLING_RATE, frame_size=stream.frame_size or 1152
        )
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(signal[None]), format="flt", layout="mono")
        frame.sample_rate = SAMPLING_RATE
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return _fit(decode_bytes(file.getvalue(), f"{codec} at {bit_rate} bit/s").signal, len(signal))


def _fit(signal: npt.NDArray[np.floating], samples: int) -> Signal:
    """Cut or pad with silence to the length that coding and resampling began with."""
    return np.pad(signal[:samples], (0, max(0, samples - len(signal)))).astype(np.float32)


def _within_scale(signal: npt.NDArray[np.floating]) -> Signal:
    peak = float(np.abs(signal).max(initial=0.0))
    return np.asarray(signal / max(1.0, peak), dtype=np.float32)
