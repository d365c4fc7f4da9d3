import numpy as np
import pytest

from ser.acoustic.features import (
    FEATURE_SIZE,
    FLOOR,
    MEL_BANDS,
    PITCH_BINS,
    PITCH_RANGE,
    extract_features,
    frame_count,
    mel_filters,
)
from ser.testing import synthetic_speech


@pytest.mark.parametrize("samples", [1, 799, 800, 999, 1000, 48_000])
def test_one_row_for_each_frame(samples: int) -> None:
    signal = np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    features = extract_features(signal)
    assert features.shape == (frame_count(samples), FEATURE_SIZE)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_the_gain_of_the_microphone_does_not_matter() -> None:
    signal = synthetic_speech(1.0).signal
    np.testing.assert_allclose(extract_features(signal), extract_features(signal * 0.05), atol=2e-3)


def test_silence_gives_finite_values_at_the_floor() -> None:
    features = extract_features(np.zeros(16_000, dtype=np.float32))
    np.testing.assert_allclose(features[:, :MEL_BANDS], np.log10(FLOOR), atol=1e-4)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("pitch", [110.0, 180.0, 260.0, 420.0])
def test_the_pitch_map_peaks_at_the_pitch(pitch: float) -> None:
    time = np.arange(16_000) / 16_000
    voice = sum(np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, int(4000 / pitch)))
    pitch_map = extract_features((0.1 * voice).astype(np.float32))[:, MEL_BANDS:].mean(0)
    found = np.geomspace(*PITCH_RANGE, PITCH_BINS)[pitch_map.argmax()]
    assert abs(np.log2(found / pitch)) < 1 / 12


def test_a_tone_lands_in_its_band() -> None:
    time = np.arange(16_000) / 16_000
    spectrum = extract_features(np.sin(2 * np.pi * 1000.0 * time).astype(np.float32))[:, :MEL_BANDS].mean(0)
    centres = (mel_filters().numpy() * np.linspace(0, 8000, 513)[:, None]).sum(0)
    assert abs(centres[spectrum.argmax()] - 1000.0) < 60.0
