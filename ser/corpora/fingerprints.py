"""Acoustic fingerprints, by which the same sound is found again, whatever was done to the file since.

Pure; knows nothing of corpora or splits.

A fingerprint is a 32-bit word for every 10 ms: each bit says whether the energy difference of two neighbouring bands
rises or falls. Gain cancels, codecs and resampling flip few bits, and another take of the same sentence flips nearly
half of them. Two recordings are compared by the share of bits that differ at their best alignment.
Source: Haitsma & Kalker 2002, "A Highly Robust Audio Fingerprinting System", ISMIR, for the bits, the table of words
in which candidates are looked up, and the bit error rate. Ours: shorter windows (their 0.37 s would leave a spoken
word two of them), the silent frames left out, and the thresholds, measured by `python -m benchmarks.fingerprints`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.types import SAMPLING_RATE, Signal

WINDOW = 2048
"""Samples (128 ms): long against the hop, so that a shift of half a hop flips few bits."""

HOP = 160
"""Samples (10 ms)."""

LOWEST, HIGHEST = 300.0, 3000.0
"""Hz; what every codec, a telephone line and a resampling to 8 kHz leave in place. Source: as above, widened."""

BITS = 32
"""Bits of a word; needs one band more."""

FLOOR = 35.0
"""dB below the loudest frame; softer ones are noise of the room or of the codec, and do not count."""

SAME = 0.2
"""Share of differing bits up to which two recordings are the same sound. See benchmarks/README.md, Fingerprints: copies
that were re-encoded, resampled, cut and made louder lie below (most of them under 0.13), and the most alike of the
other takes, of a sentence acted twice or a carrier phrase spoken evenly, at 0.24 and above."""

MIN_FRAMES = 20
"""Frames that must overlap and be loud in both; fewer say nothing."""

MIN_OVERLAP = 0.8
"""Share of the loud frames of the recording with fewer that must lie upon the other's: a trimmed copy lies there whole,
while two words that are alike for a while do not."""

KEY_MASKS = (0x00FFFFFF, 0xFFFFFF00)
"""The two halves, overlapping, by which words are looked up: one of them survives more often than the whole."""

MIN_VOTES = 3
"""Equal keys at one and the same shift that make two recordings candidates."""

NEIGHBOURS = 24
"""Number of words that share a key and are paired with each; commoner keys are sounds that any voice makes."""

Words = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The fingerprint of one recording.

    Attributes:
        words: uint32 of shape (frames,).
        loud: bool of shape (frames,), which of them count.
    """

    words: Words
    loud: npt.NDArray[np.bool_]


@dataclass(frozen=True, order=True)
class Match:
    """Two recordings that are the same sound.

    Attributes:
        first: the place of the one in what was given.
        second: of the other; larger.
        error_rate: share of the bits that differ, 0 to `SAME`.
        shift: seconds by which the second starts later than the first.
    """

    first: int
    second: int
    error_rate: float
    shift: float


def fingerprint(signal: Signal) -> Fingerprint:
    """The fingerprint of a recording.

    Args:
        signal: mono at 16 kHz, shape (samples,); any level.

    Returns:
        One word for each 10 ms, less the length of a window.

    >>> hiss = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
    >>> bool((fingerprint(hiss).words == fingerprint(hiss / 4).words).all())
    True
    """
    padded = np.pad(signal, (0, max(0, WINDOW + HOP - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    energies = np.empty((len(frames), BITS + 1), np.float32)
    # A part at a time: an hour of windows would not fit in the memory.
    for start in range(0, len(frames), 4096):
        part = slice(start, start + 4096)
        energies[part] = np.square(np.abs(np.fft.rfft(frames[part] * _TAPER, axis=1))).astype(np.float32) @ _BANDS
    slopes = energies[:, :-1] - energies[:, 1:]
    rising = slopes[1:] > slopes[:-1]
    words = np.packbits(rising, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)
    power = energies.sum(1)[1:]
    return Fingerprint(words, power > power.max(initial=0.0) * 10 ** (-FLOOR / 10))


def error_rate(first: Fingerprint, second: Fingerprint, shift: int) -> float:
    """The share of bits that differ where the second lies `shift` frames later than the first.

    Returns:
        0 to 1; 1 if the overlap is too short.
    """
    start, end = max(0, shift), min(len(first.words), shift + len(second.words))
    if end - start < MIN_FRAMES:
        return 1.0
    other = slice(start - shift, end - shift)
    loud = first.loud[start:end] & second.loud[other]
    count = int(loud.sum())
    if count < max(MIN_FRAMES, MIN_OVERLAP * min(first.loud.sum(), second.loud.sum())):
        return 1.0
    differing = (first.words[start:end] ^ second.words[other])[loud]
    return float(_ONES[differing.view(np.uint16)].sum()) / (BITS * count)


def find_matches(fingerprints: Sequence[Fingerprint], threshold: float = SAME) -> list[Match]:
    """Find all pairs of recordings that are the same sound.

    Args:
        fingerprints: of the recordings.
        threshold: share of differing bits from which on two recordings are different ones.

    Returns:
        Ordered by their places. Time grows with the number of recordings, not with the number of their pairs.
    """
    best: dict[tuple[int, int], Match] = {}
    for first, second, shift in _candidates(fingerprints):
        for near in (shift, shift - 1, shift + 1):
            rate = error_rate(fingerprints[first], fingerprints[second], near)
            known = best.get((first, second))
            if rate <= threshold and (known is None or rate < known.error_rate):
                best[first, second] = Match(first, second, rate, near * HOP / SAMPLING_RATE)
    return sorted(best.values())


def _candidates(fingerprints: Sequence[Fingerprint]) -> Iterator[tuple[int, int, int]]:
    """Pairs that share enough keys at one shift: the two places, and the shift in frames."""
    lengths = [int(f.loud.sum()) for f in fingerprints]
    if not any(lengths):
        return
    words = np.concatenate([f.words[f.loud] for f in fingerprints])
    places = np.repeat(np.arange(len(fingerprints)), lengths)
    times = np.concatenate([np.flatnonzero(f.loud) for f in fingerprints])
    longest = max(len(f.words) for f in fingerprints)
    found: list[Indices] = []
    for mask in KEY_MASKS:
        keys = words & np.uint32(mask)
        order = np.argsort(keys, kind="stable")
        for step in range(1, NEIGHBOURS + 1):
            left, right = order[:-step], order[step:]
            equal = (keys[left] == keys[right]) & (places[left] != places[right])
            if not equal.any():
                break
            left, right = left[equal], right[equal]
            shifts = times[left] - times[right] + longest
            found.append((places[left] * len(fingerprints) + places[right]) * (2 * longest) + shifts)
    if not found:
        return
    codes, votes = np.unique(np.concatenate(found), return_counts=True)
    for code in codes[votes >= MIN_VOTES].tolist():
        pair, shift = divmod(code, 2 * longest)
        first, second = divmod(pair, len(fingerprints))
        yield first, second, shift - longest


def _bands() -> npt.NDArray[np.float32]:
    """Triangles of equal width on a logarithmic scale, shape (frequencies, BITS + 1)."""
    edges = np.geomspace(LOWEST, HIGHEST, BITS + 2)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLING_RATE)
    centres, widths = np.sqrt(edges[:-1] * edges[1:]), np.maximum(np.diff(edges), 2 * SAMPLING_RATE / WINDOW)
    return np.clip(1 - np.abs(frequencies[:, None] - centres) / widths, 0, None).astype(np.float32)


_BANDS = _bands()
_TAPER = np.hanning(WINDOW).astype(np.float32)
_ONES = np.array([value.bit_count() for value in range(1 << 16)], dtype=np.uint8)
