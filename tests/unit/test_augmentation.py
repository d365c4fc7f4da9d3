from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.augmentation import (
    SignalAugmentation,
    add_noise,
    add_reverb,
    change_gain,
    change_speed,
    coloured_noise,
    crop,
    fit_length,
    load_noises,
    mp3,
    opus,
    telephone,
)
from ser.errors import TrainingDataError
from ser.testing import synthetic_speech

SPEECH = synthetic_speech(1.2).signal


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_noise_is_added_at_the_asked_ratio(snr: float) -> None:
    noise = coloured_noise(len(SPEECH), 1.0, np.random.default_rng(0))
    added = add_noise(SPEECH, noise, snr) - SPEECH
    assert 10 * np.log10(np.mean(SPEECH**2) / np.mean(added**2)) == pytest.approx(snr, abs=0.05)


def test_the_same_seed_gives_the_same_variant_and_another_seed_another() -> None:
    change = SignalAugmentation(noise_probability=1.0, reverb_probability=1.0)
    first, again, other = (change.apply(SPEECH, (), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.allclose(first, other)
    assert first.dtype == np.float32 and np.isfinite(first).all()


def test_faster_speech_is_higher_and_shorter() -> None:
    def centre(signal: np.ndarray) -> float:
        """Centre of the spectrum, Hz."""
        power = np.abs(np.fft.rfft(signal)) ** 2
        return float(np.average(np.fft.rfftfreq(len(signal), 1 / 16_000), weights=power))

    faster = change_speed(SPEECH, 1.25)
    assert len(faster) == pytest.approx(len(SPEECH) / 1.25, abs=2)
    assert centre(faster) == pytest.approx(1.25 * centre(SPEECH), rel=0.05)


def test_a_room_keeps_length_and_level_and_more_of_it_hides_more_of_the_voice() -> None:
    near, far = (add_reverb(SPEECH, 0.5, ratio, np.random.default_rng(0)) for ratio in (6.0, -12.0))
    for wet in (near, far):
        assert wet.shape == SPEECH.shape and wet.dtype == np.float32
        assert np.mean(wet**2) == pytest.approx(np.mean(SPEECH**2), rel=1e-3)
    likeness = [float(np.corrcoef(wet, SPEECH)[0, 1]) for wet in (near, far)]
    assert 0.99 > likeness[0] > 0.6 > likeness[1]


def test_a_longer_reverberation_time_rings_longer() -> None:
    click = np.zeros(16_000, dtype=np.float32)
    click[0] = 1.0

    def ringing(seconds: float) -> float:
        """Share of the reverberant energy that comes after 0.15 s."""
        energy = add_reverb(click, seconds, 0.0, np.random.default_rng(0))[1:] ** 2
        return float(energy[2400:].sum() / energy.sum())

    assert ringing(0.2) < 0.001 < ringing(0.4) < 0.05 < ringing(0.9)


def test_a_part_is_cut_from_within_a_recording() -> None:
    ramp = np.arange(16_000, dtype=np.float32)
    starts = set()
    for seed in range(20):
        part = crop(ramp, 0.25, np.random.default_rng(seed))
        assert len(part) == 4000 and (np.diff(part) == 1.0).all()
        starts.add(float(part[0]))
    assert 1600.0 in starts and len(starts) > 5
    assert crop(ramp, 2.0, np.random.default_rng(0)) is ramp


def test_noise_colours_differ() -> None:
    def low_share(exponent: float) -> float:
        power = np.abs(np.fft.rfft(coloured_noise(16_000, exponent, np.random.default_rng(0)))) ** 2
        return float(power[:500].sum() / power.sum())

    assert low_share(0.0) < low_share(1.0) < low_share(2.0)


def test_gain_clips_at_full_scale() -> None:
    assert np.abs(change_gain(SPEECH, 40.0)).max() == 1.0
    np.testing.assert_allclose(change_gain(SPEECH, -20.0), SPEECH / 10.0, atol=1e-6)


def test_noise_is_repeated_to_length() -> None:
    assert len(fit_length(np.arange(5, dtype=np.float32), 12, np.random.default_rng(0))) == 12


def test_a_telephone_keeps_its_band_only() -> None:
    time = np.arange(16_000) / 16_000
    narrow = telephone(np.sin(2 * np.pi * 1000 * time).astype(np.float32) * 0.3, 300.0, 3400.0)
    lost = telephone(np.sin(2 * np.pi * 6000 * time).astype(np.float32) * 0.3, 300.0, 3400.0)
    assert len(narrow) == len(time) and narrow.dtype == np.float32
    assert narrow.std() > 10 * lost.std()


@pytest.mark.parametrize("coded", [opus(SPEECH, 8.0), opus(SPEECH, 32.0), mp3(SPEECH, 0.5), mp3(SPEECH, 0.99)])
def test_a_codec_keeps_the_speech_in_place_and_loses_something(coded: np.ndarray) -> None:
    assert coded.shape == SPEECH.shape and coded.dtype == np.float32
    assert 0.5 < np.corrcoef(coded, SPEECH)[0, 1] < 0.99999


def test_less_bitrate_loses_more() -> None:
    def loss(bitrate: float) -> float:
        return float(np.mean((opus(SPEECH, bitrate) - SPEECH) ** 2))

    assert loss(8.0) > loss(32.0)


def test_every_change_is_made_where_it_is_certain_and_none_where_it_never_happens() -> None:
    nothing = {f"{name}_probability": 0.0 for name in ("reverb", "noise", "telephone", "clipping", "codec")}
    still = SignalAugmentation(speed=(1.0, 1.0), gain=(0.0, 0.0), **nothing)
    np.testing.assert_array_equal(still.apply(SPEECH, (), np.random.default_rng(0)), SPEECH)
    for name in nothing:
        changed = replace(still, **{name: 1.0}).apply(SPEECH, (), np.random.default_rng(0))
        assert changed.shape == SPEECH.shape and not np.allclose(changed, SPEECH, atol=1e-4)
    assert len(replace(still, speed=(1.25, 1.25)).apply(SPEECH, (), np.random.default_rng(0))) < len(SPEECH)


def test_noises_are_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="No recordings of noise under"):
        load_noises(tmp_path)
    soundfile.write(tmp_path / "rain.wav", coloured_noise(8000, 0.0, np.random.default_rng(0)) * 0.1, 8000)
    (noise,) = load_noises(tmp_path)
    assert 15_900 < len(noise) <= 16_000 and noise.ndim == 1 and noise.dtype == np.float32
