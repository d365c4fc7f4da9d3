from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.acoustic.features import FEATURE_SIZE, MEL_BANDS, extract_features
from ser.augmentation import (
    FeatureAugmentation,
    SignalAugmentation,
    add_noise,
    add_reverb,
    change_gain,
    change_speed,
    coloured_noise,
    fit_length,
    load_noises,
    warp_features,
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
    def pitch_place(signal: np.ndarray) -> float:
        return float(extract_features(signal)[:, MEL_BANDS:].mean(0).argmax())

    faster = change_speed(SPEECH, 1.25)
    assert len(faster) == pytest.approx(len(SPEECH) / 1.25, abs=2)
    assert pitch_place(faster) > pitch_place(SPEECH)


def test_a_room_keeps_length_and_direct_sound() -> None:
    wet = add_reverb(SPEECH, 0.3, np.random.default_rng(0))
    assert len(wet) == len(SPEECH)
    assert np.corrcoef(wet, SPEECH)[0, 1] > 0.6
    assert not np.allclose(wet, SPEECH, atol=1e-3)


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


def test_features_change_within_bounds_and_their_source_stays() -> None:
    features = extract_features(SPEECH)
    before = features.copy()
    for seed in range(5):
        changed = FeatureAugmentation().apply(features, np.random.default_rng(seed))
        assert changed.shape[1] == FEATURE_SIZE and changed.dtype == np.float32
        assert 0.8 * len(features) <= len(changed) <= 1.3 * len(features)
        assert np.isfinite(changed).all()
    np.testing.assert_array_equal(features, before)


def test_no_warp_is_no_change() -> None:
    features = extract_features(SPEECH)
    np.testing.assert_allclose(warp_features(features, 1.0, 0.0), features, atol=1e-6)


def test_noises_are_read_from_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="No recordings of noise under"):
        load_noises(tmp_path)
    soundfile.write(tmp_path / "rain.wav", coloured_noise(8000, 0.0, np.random.default_rng(0)) * 0.1, 8000)
    (noise,) = load_noises(tmp_path)
    assert noise.shape == (16_000,) and noise.dtype == np.float32
