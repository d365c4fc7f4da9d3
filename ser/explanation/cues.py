"""Voice cues of a recording (pitch, range, loudness, rate, pauses), and the recording with one of them changed. Pure.

Changing a cue to the speaker's usual and asking the model again tells how much the cue moved the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, find_peaks, istft, sosfiltfilt, stft

from ser.audio.augmentation import change_gain, change_speed
from ser.types import SAMPLING_RATE, Audio, Signal, SpeechRegion

PITCH_RANGE = (60.0, 600.0)
"""Hz of voices, from a low man's to a shrieking child's."""

PITCH_FRAME, PITCH_STEP = 0.05, 0.01
"""Seconds of a frame, three periods of the lowest voice, and between frames."""

VOICING_THRESHOLD, OCTAVE_COST = 0.45, 0.01
"""Autocorrelation from which a frame is voiced, and what an octave lower costs.

Source: Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", and the defaults of Praat's "To Pitch (ac)"."""

SILENCE = 0.03
"""Peak of a frame relative to the recording's, below which it is unvoiced. Source: the same."""

NUCLEUS_DIP = 2.0
"""Least dip in dB between two syllables. Source: de Jong & Wempe 2009, "Praat script to detect syllable nuclei and
measure speech rate automatically", https://doi.org/10.3758/BRM.41.2.385"""

NUCLEUS_BELOW_PEAK = 25.0
"""dB under the loudest syllable below which there is none. Source: the same."""

SEMITONES = 12.0

Track = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VoiceCues:
    """Measures of how somebody speaks; None where there is too little to measure.

    Attributes:
        pitch: median fundamental frequency, Hz.
        range: of the pitch, from its 10th to its 90th percentile, semitones.
        loudness: of the speech, dB relative to full scale.
        rate: syllables in a second of speech.
        pauses: share of silence between the first and the last word.
    """

    pitch: float | None
    range: float | None
    loudness: float | None
    rate: float | None
    pauses: float | None

    def as_dict(self) -> dict[str, float | None]:
        """{name: value}, in the order of the attributes."""
        return {name: getattr(self, name) for name in CUES}


CUES = {"pitch": "Hz", "range": "semitones", "loudness": "dB", "rate": "syllables/s", "pauses": "share"}
"""Unit of each cue."""


def measure_cues(audio: Audio, speech: Sequence[SpeechRegion]) -> VoiceCues:
    """Measure the cues of a recording.

    Args:
        audio: of one speaker.
        speech: regions in it, at least one.
    """
    spoken = np.concatenate([audio.crop(region.start, region.end).signal for region in speech])
    track = track_pitch(spoken)
    voiced = track[track > 0]
    low, middle, high = np.percentile(voiced, [10, 50, 90]) if len(voiced) else (1.0, 0.0, 1.0)
    power, seconds = float(np.mean(np.square(spoken, dtype=np.float64))), len(spoken) / SAMPLING_RATE
    syllables, whole = count_syllables(spoken), speech[-1].end - speech[0].start
    return VoiceCues(
        pitch=float(middle) if len(voiced) else None,
        range=float(SEMITONES * np.log2(high / low)) if len(voiced) else None,
        loudness=float(10 * np.log10(power)) if power > 0 else None,
        rate=syllables / seconds if syllables else None,
        pauses=max(0.0, 1.0 - seconds / whole) if whole > 0 else None,
    )


def usual_cues(recordings: Sequence[VoiceCues]) -> VoiceCues:
    """The median of each cue over recordings; None where no recording has it.

    >>> usual_cues([VoiceCues(100.0, None, -20.0, 4.0, 0.1), VoiceCues(120.0, None, -30.0, 4.0, 0.2)]).pitch
    110.0
    """
    values = {name: [value for cues in recordings if (value := getattr(cues, name)) is not None] for name in CUES}
    return VoiceCues(**{name: float(np.median(known)) if known else None for name, known in values.items()})


def track_pitch(signal: Signal) -> Track:
    """The fundamental frequency every 10 ms, 0 where there is no voice.

    Source: Boersma 1993 (see `VOICING_THRESHOLD`), without its search for the likeliest path: medians and percentiles
    pass over single octave errors.

    >>> tone = np.sin(2 * np.pi * 150 / SAMPLING_RATE * np.arange(SAMPLING_RATE)).astype(np.float32)
    >>> round(float(np.median(track_pitch(tone))))
    150
    """
    size, step = round(PITCH_FRAME * SAMPLING_RATE), round(PITCH_STEP * SAMPLING_RATE)
    if len(signal) < size:
        return np.zeros(0)
    frames = np.lib.stride_tricks.sliding_window_view(signal, size)[::step].astype(np.float64)
    frames = frames - frames.mean(axis=1, keepdims=True)
    loud = np.abs(frames).max(axis=1) >= SILENCE * max(float(np.abs(signal).max()), 1e-9)
    window = np.hanning(size)
    shortest, longest = (round(SAMPLING_RATE / pitch) for pitch in PITCH_RANGE[::-1])
    lags = np.arange(shortest, longest + 1)
    correlations = _autocorrelate(frames * window)[:, : longest + 2] / _autocorrelate(window[None])[:, : longest + 2]
    strengths = correlations[:, lags] - OCTAVE_COST * np.log2(PITCH_RANGE[0] * lags / SAMPLING_RATE)
    best = strengths.argmax(axis=1)
    rows, at = np.arange(len(frames)), lags[best]
    before, peak, after = (correlations[rows, at + shift] for shift in (-1, 0, 1))
    bend = before - 2 * peak + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    # A rising correlation at the shortest lag is no period but what is left of the frame itself.
    inner = (peak >= before) & (peak >= after)
    return np.where(loud & inner & (peak > VOICING_THRESHOLD), SAMPLING_RATE / (at + np.clip(shift, -0.5, 0.5)), 0.0)


def _autocorrelate(frames: Track) -> Track:
    spectra = np.abs(np.fft.rfft(frames, 2 * frames.shape[1])) ** 2
    products = np.fft.irfft(spectra)
    return np.asarray(products / np.maximum(products[:, :1], 1e-12))


def count_syllables(signal: Signal) -> int:
    """Count the peaks of loudness between dips. Source: de Jong & Wempe 2009 (see `NUCLEUS_DIP`).

    >>> count_syllables(np.zeros(100, dtype=np.float32))
    0
    """
    size = round(PITCH_STEP * SAMPLING_RATE)
    count = len(signal) // size
    if count < 3:
        return 0
    power = np.square(signal[: count * size].reshape(count, size), dtype=np.float64).mean(axis=1)
    smooth = sosfiltfilt(butter(2, 8.0, fs=1 / PITCH_STEP, output="sos"), power, padlen=min(9, count - 1))
    levels = 10 * np.log10(np.maximum(smooth, 1e-10))
    peaks, _ = find_peaks(np.pad(levels, 1, constant_values=-100.0), prominence=NUCLEUS_DIP)
    return int((levels[peaks - 1] >= levels.max() - NUCLEUS_BELOW_PEAK).sum())


def stretch(signal: Signal, factor: float) -> Signal:
    """Speak faster (above 1) or slower at the same pitch: a phase vocoder.

    Source: Flanagan & Golden 1966, "Phase vocoder", https://doi.org/10.1002/j.1538-7305.1966.tb01706.x

    >>> len(stretch(np.zeros(16_000, dtype=np.float32), 2.0))
    8000
    """
    length, overlap = 512, 384
    _, _, spectrum = stft(signal, nperseg=length, noverlap=overlap)
    times = np.arange(0.0, spectrum.shape[1] - 1, factor)
    first = times.astype(int)
    share = times - first
    magnitudes = (1 - share) * np.abs(spectrum[:, first]) + share * np.abs(spectrum[:, first + 1])
    steps = np.angle(spectrum[:, first + 1]) - np.angle(spectrum[:, first])
    turns = 2 * np.pi * (length - overlap) * np.arange(len(spectrum))[:, None] / length
    steps = turns + (steps - turns + np.pi) % (2 * np.pi) - np.pi
    phases = np.angle(spectrum[:, :1]) + np.concatenate([np.zeros((len(spectrum), 1)), steps], axis=1).cumsum(1)[:, :-1]
    _, changed = istft(magnitudes * np.exp(1j * phases), nperseg=length, noverlap=overlap)
    target = round(len(signal) / factor)
    return np.pad(changed, (0, max(0, target - len(changed))))[:target].astype(np.float32)


def shift_pitch(signal: Signal, factor: float) -> Signal:
    """Multiply the pitch, and keep the tempo; formants move with the pitch."""
    return stretch(change_speed(signal, factor), 1.0 / factor)


def scale_range(signal: Signal, factor: float) -> Signal:
    """Multiply the distances of the pitch from its median, in semitones; formants move with it.

    The signal is read at a speed that varies with the pitch, so that its length changes little.
    """
    track = track_pitch(signal)
    voiced = np.flatnonzero(track)
    if not len(voiced):
        return signal
    times = (np.arange(len(track)) * PITCH_STEP + PITCH_FRAME / 2) * SAMPLING_RATE
    logs = np.log(track[voiced] / np.median(track[voiced]))
    speed = np.exp((factor - 1.0) * np.interp(np.arange(len(signal)), times[voiced], logs))
    written = np.concatenate([[0.0], np.cumsum(1.0 / speed)])
    read = np.interp(np.arange(int(written[-1])), written, np.arange(len(signal) + 1))
    return np.interp(read, np.arange(len(signal)), signal).astype(np.float32)


def scale_pauses(signal: Signal, speech: Sequence[SpeechRegion], share: float) -> Signal:
    """Shorten or lengthen all pauses alike, so that their share becomes the given one; without a pause nothing changes.

    Args:
        signal: from before the first to after the last region.
        speech: regions in it, in seconds.
        share: of the pauses, 0..1 without 1.
    """
    edges = [round(time * SAMPLING_RATE) for region in speech for time in (region.start, region.end)]
    pauses = list(zip(edges[1:-1:2], edges[2:-1:2], strict=True))
    silence, spoken = sum(end - start for start, end in pauses), sum(r.end - r.start for r in speech) * SAMPLING_RATE
    if silence <= 0:
        return signal
    factor = share / (1.0 - share) * spoken / silence
    parts, at = [], 0
    for start, end in pauses:
        parts.append(signal[at:start])
        # Played to and fro: the room's own noise, without a jump where it is repeated.
        room = np.concatenate([signal[start:end], signal[start:end][::-1]])
        parts.append(np.resize(room, round((end - start) * factor)))
        at = end
    return np.concatenate([*parts, signal[at:]])


Change = Callable[[Signal, Sequence[SpeechRegion], float, float], Signal]
"""From a signal, its speech, a cue's value and its usual one to the signal with the usual one."""

CHANGES: dict[str, Change] = {
    "pitch": lambda signal, _, value, usual: shift_pitch(signal, usual / value),
    "range": lambda signal, _, value, usual: scale_range(signal, usual / value) if value > 0 else signal,
    "loudness": lambda signal, _, value, usual: change_gain(signal, usual - value),
    "rate": lambda signal, _, value, usual: stretch(signal, usual / value),
    "pauses": lambda signal, speech, _, usual: scale_pauses(signal, speech, min(usual, 0.9)),
}
