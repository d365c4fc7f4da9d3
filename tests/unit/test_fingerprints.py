import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ser.audio.decoding import decode_bytes, decode_file
from ser.corpora.fingerprints import BITS, HOP, SAME, Fingerprint, error_rate, find_matches, fingerprint
from ser.types import SAMPLING_RATE, Signal

ACTORS = ("03-01-05-02-01-01-03", "03-01-03-01-02-01-08", "03-01-04-01-01-02-16", "03-01-02-01-02-01-21")


def speech(shared_data: Path, name: str, corpus: str = "ravdess") -> Signal:
    return decode_file(shared_data / corpus / "audio" / f"{name}.opus").signal


def encoded(signal: Signal, container: str, subtype: str, level: float) -> Signal:
    file = io.BytesIO()
    soundfile.write(file, signal, SAMPLING_RATE, format=container, subtype=subtype, compression_level=level)
    return decode_bytes(file.getvalue()).signal


def resampled(signal: Signal, rate: int) -> Signal:
    there: Signal = soxr.resample(signal, SAMPLING_RATE, rate)
    back: Signal = soxr.resample(there, rate, SAMPLING_RATE)
    return back.astype(np.float32)


def noise(seed: int, seconds: float = 3.0) -> Signal:
    """Noise whose colour changes ten times a second: as random as speech in what the bits look at."""
    generator = np.random.default_rng(seed)
    parts = [
        soxr.resample(generator.normal(size=int(rate / 10)), rate, SAMPLING_RATE)
        for rate in generator.integers(2_000, 16_000, round(seconds * 10))
    ]
    return (0.1 * np.concatenate(parts)).astype(np.float32)


def test_a_word_has_a_bit_for_each_pair_of_bands() -> None:
    found = fingerprint(noise(1))
    assert found.words.dtype == np.uint32 and found.words.shape == found.loud.shape
    share = np.unpackbits(found.words.view(np.uint8)).mean()
    assert 0.4 < share < 0.6
    assert np.bitwise_or.reduce(found.words) == 2**BITS - 1


def test_short_and_silent_recordings_match_nothing() -> None:
    short, silent = fingerprint(noise(1, 0.1)), fingerprint(np.zeros(32_000, np.float32))
    assert not silent.loud.any()
    assert find_matches([short, short, silent, silent]) == []
    assert find_matches([]) == []


def test_the_error_rate_counts_differing_bits() -> None:
    words = np.arange(40, dtype=np.uint32)
    loud = np.ones(40, np.bool_)
    one, other = Fingerprint(words, loud), Fingerprint(words ^ np.uint32(0b111), loud)
    assert error_rate(one, one, 0) == 0.0
    assert error_rate(one, other, 0) == 3 / 32
    assert error_rate(one, Fingerprint(words[5:], loud[5:]), 5) == 0.0
    assert error_rate(one, one, 30) == 1.0, "ten frames say nothing"


@pytest.mark.parametrize("gain", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("cut", [0.0, 0.0133, 0.1])
def test_a_cut_and_another_level_change_little(gain: float, cut: float) -> None:
    signal = noise(3)
    copy = gain * signal[round(cut * SAMPLING_RATE) : len(signal) - round(cut * SAMPLING_RATE)]
    (match,) = find_matches([fingerprint(noise(4)), fingerprint(signal), fingerprint(copy)])
    assert (match.first, match.second) == (1, 2) and match.error_rate < SAME / 2
    assert match.shift == pytest.approx(cut, abs=HOP / SAMPLING_RATE)


def test_copies_of_speech_are_found_and_other_takes_are_not(shared_data: Path) -> None:
    signals = [speech(shared_data, name) for name in ACTORS]
    takes = [speech(shared_data, name[:-4] + ("2" if name[-4] == "1" else "1") + name[-3:]) for name in ACTORS]
    copies = []
    for number, signal in enumerate(signals):
        cut = signal[1_280 : len(signal) - 1_600]
        level = np.float32((0.2, 0.5, 1.0, 1.3)[number])
        copies.append(
            (
                lambda x: encoded(x, "OGG", "OPUS", 0.9),
                lambda x: encoded(x, "MP3", "MPEG_LAYER_III", 0.5),
                lambda x: resampled(x, 8_000),
                lambda x: resampled(x, 44_100),
            )[number](np.clip(level * cut, -1, 1))
        )
    matches = find_matches([fingerprint(signal) for signal in (*signals, *takes, *copies)])
    assert [(m.first, m.second) for m in matches] == [(n, n + 2 * len(ACTORS)) for n in range(len(ACTORS))]
    assert max(m.error_rate for m in matches) < 0.2


def test_the_same_phrase_by_the_same_woman_is_not_a_copy(shared_data: Path) -> None:
    words = ("back", "bar", "base", "bath", "bean", "beg")
    prints = [fingerprint(speech(shared_data, f"OAF_{word}_neutral", "tess")) for word in words]
    assert find_matches(prints) == []


def test_the_two_ravdess_files_that_are_one_are_found(shared_data: Path) -> None:
    twins = [fingerprint(speech(shared_data, f"03-01-03-01-02-0{take}-07")) for take in (1, 2)]
    (match,) = find_matches(twins)
    assert match.error_rate < 0.01
