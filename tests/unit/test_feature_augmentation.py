import numpy as np
import pytest
import torch
from librosa import mel_frequencies
from scipy.signal import butter, sosfilt

from ser.acoustic.features import FEATURE_SIZE, FLOOR, MEL_BANDS, MEL_RANGE, extract_features
from ser.config import TrainConfig
from ser.testing import synthetic_speech
from ser.training.feature_augmentation import NARROW_TOP, augment_batch, stretch
from ser.types import SAMPLING_RATE

STILL = {"stretch": 0.0, "warp": 0.0, "equaliser": 0.0, "floor": 0.0, "time_masks": 0, "band_masks": 0}


def clips() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.uniform(-5.0, 1.0, (length, FEATURE_SIZE)).astype(np.float16) for length in (20, 60, 47)]


def changed(seed: int = 0, **changes: float) -> tuple[torch.Tensor, np.ndarray]:
    config = TrainConfig(**{**STILL, **changes})
    return augment_batch(clips(), config, np.random.default_rng(seed), 80)


def test_without_changes_clips_are_stacked_as_they_are() -> None:
    features, ends = changed()
    assert features.dtype == torch.float32 and features.shape == (3, 64, FEATURE_SIZE)
    assert ends.tolist() == [20, 60, 47]
    for row, clip in enumerate(clips()):
        np.testing.assert_array_equal(features[row, : len(clip)].numpy(), clip.astype(np.float32))
        assert not features[row, len(clip) :].any()


def test_tempo_changes_length_and_keeps_order() -> None:
    ramp = np.repeat(np.arange(40, dtype=np.float16)[:, None], 3, axis=1)
    slower = stretch([ramp], np.array([60]))[0, :60, 0]
    assert slower[0] == 0.0 and slower[-1] == 39.0
    assert bool((slower.diff() > 0).all())


@pytest.mark.parametrize(
    ("change", "pitch_stays"),
    [
        ({"stretch": 0.2}, False),
        ({"warp": 0.1}, True),
        ({"equaliser": 0.6}, True),
        ({"floor": 2.5}, True),
        ({"narrow_probability": 0.7}, True),
        ({"time_masks": 2, "time_mask_share": 0.5}, False),
        ({"band_masks": 2, "band_mask_size": 30}, True),
    ],
)
def test_each_change_changes_what_it_should(change: dict[str, float], pitch_stays: bool) -> None:
    plain, _ = changed()
    features, ends = changed(**change)
    again, _ = changed(**change)
    other, _ = changed(seed=1, **change)
    assert torch.equal(features, again) and not (features.shape == other.shape and torch.equal(features, other))
    assert torch.isfinite(features).all() and (ends <= 80).all()
    assert not (features.shape == plain.shape and torch.equal(features, plain))
    if pitch_stays:
        assert torch.equal(features[:, :, MEL_BANDS:], plain[:, :, MEL_BANDS:])
    for row, end in enumerate(ends):
        assert not features[row, end:].any()


def test_a_narrow_band_is_that_of_the_recording_without_the_rest() -> None:
    speech = synthetic_speech(2.0).signal
    narrow = sosfilt(butter(8, 4000.0, fs=SAMPLING_RATE, output="sos"), speech).astype(np.float32)
    clips = [extract_features(speech).astype(np.float16)] * 200
    config = TrainConfig(**{**STILL, "narrow_probability": 1.0})
    changed, _ = augment_batch(clips, config, np.random.default_rng(0), 400)
    inside = slice(20, 50)
    distances = (changed[:, : len(clips[0]), inside] - torch.from_numpy(extract_features(narrow))[:, inside]).abs()
    assert float(distances.mean((1, 2)).min()) < 0.05
    ends = mel_frequencies(MEL_BANDS + 2, fmin=MEL_RANGE[0], fmax=MEL_RANGE[1], htk=True)[1:-1]
    assert bool((changed[:, : len(clips[0]), np.flatnonzero(ends > NARROW_TOP[1])] < np.log10(FLOOR) + 0.01).all())


def test_nothing_becomes_longer_than_allowed() -> None:
    features, ends = augment_batch(clips(), TrainConfig(), np.random.default_rng(3), 30)
    assert ends.max() <= 30 and features.shape[1] == 32


def test_switched_off_nothing_is_changed() -> None:
    features, _ = augment_batch(clips(), TrainConfig(augment=False), np.random.default_rng(0), 80)
    assert torch.equal(features, changed()[0])
