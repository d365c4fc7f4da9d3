import doctest

import numpy as np
import pytest
import soundfile

from benchmarks.acoustic import degradations, speech_level
from benchmarks.acoustic.degradations import (
    ROOMS,
    clip,
    conditions,
    mix_noise,
    mp3,
    opus,
    read_held_out_noises,
    reverberate,
    room_response,
    telephone,
)
from benchmarks.acoustic.speech_level import active_level
from ser.audio.augmentation import load_noises
from ser.errors import TrainingDataError
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE


@pytest.fixture(scope="module")
def speech():
    return synthetic_speech(1.6, pitch=160.0, seed=3).signal


def decibels(ratio):
    return 20 * np.log10(ratio)


def power_between(signal, low, high):
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / SAMPLING_RATE)
    return spectrum[(frequencies >= low) & (frequencies < high)].sum()


@pytest.mark.parametrize("module", [degradations, speech_level])
def test_the_examples_in_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", list(conditions([np.ones(10, np.float32)])))
def test_every_condition_gives_the_same_sound_twice_within_full_scale(name, speech):
    hiss = np.random.default_rng(1).standard_normal(8_000).astype(np.float32)
    degrade = conditions([hiss])[name]
    before = speech.copy()
    first, second = (degrade(speech, np.random.default_rng(7)) for _ in range(2))
    assert first.dtype == np.float32 and np.array_equal(first, second)
    assert np.abs(first).max() <= 1.0 and np.isfinite(first).all()
    assert len(first) == (SAMPLING_RATE if name == "first 1 s" else len(speech))
    assert np.array_equal(speech, before), "the recording itself was changed"
    assert np.array_equal(first, speech) == (name == "clean")


def test_pauses_do_not_make_the_noise_quieter(speech):
    noise = np.random.default_rng(0).standard_normal(60_000).astype(np.float32)
    speech = speech / 4
    padded = np.concatenate([np.zeros(32_000, np.float32), speech, np.zeros(16_000, np.float32)])
    for recording in (speech, padded):
        added = mix_noise(recording, noise, 10.0, np.random.default_rng(0)) - recording
        assert decibels(active_level(speech) / added.std()) == pytest.approx(10.0, abs=0.5)


@pytest.mark.parametrize("codec", [opus, mp3])
def test_a_codec_keeps_the_words_where_they_were(codec, speech):
    coded = codec(speech)
    lags = np.fft.irfft(np.fft.rfft(coded, 65_536) * np.conj(np.fft.rfft(speech, 65_536)))
    lag = int(lags.argmax())
    # Opus looks 6.5 ms ahead.
    assert min(lag, 65_536 - lag) <= 0.01 * SAMPLING_RATE
    assert np.corrcoef(np.roll(coded, -lag), speech)[0, 1] > 0.8
    assert not np.allclose(coded, speech, atol=1e-3)


def test_a_telephone_takes_away_what_lies_outside_its_band():
    hiss = 0.1 * np.random.default_rng(0).standard_normal(SAMPLING_RATE).astype(np.float32)
    narrow = telephone(hiss)
    for low, high in ((20, 120), (4_200, 8_000)):
        assert power_between(narrow, low, high) < 0.03 * power_between(hiss, low, high)
    assert power_between(narrow, 600, 3_000) == pytest.approx(power_between(hiss, 600, 3_000), rel=0.2)


def test_a_clipped_recording_stands_at_full_scale(speech):
    assert 0.02 < (np.abs(clip(speech)) >= 1.0).mean() < 0.6
    assert np.array_equal(clip(np.zeros(10, np.float32)), np.zeros(10, np.float32))


def test_a_room_rings_about_as_long_as_it_should_and_keeps_the_level(speech):
    response = room_response(ROOMS[0])
    assert response[0] == 1.0 == np.abs(response).max()
    decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2) + 1e-12)
    thirty = (np.argmax(decay < -35) - np.argmax(decay < -5)) / SAMPLING_RATE
    assert 2 * thirty == pytest.approx(ROOMS[0].reverb_time, rel=0.5)
    assert active_level(reverberate(speech / 4, response)) == pytest.approx(active_level(speech / 4), rel=0.01)


def test_only_the_held_out_noise_is_read_and_its_silent_end_is_cut(tmp_path):
    sound = 0.1 * np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    soundfile.write(tmp_path / "5-1-A.flac", np.concatenate([sound, np.zeros(24_000, np.float32)]), SAMPLING_RATE)
    sound = sound[:7_000]
    soundfile.write(tmp_path / "4-1-A.flac", sound, SAMPLING_RATE)
    (noise,) = read_held_out_noises(tmp_path)
    assert len(noise) == 8_000
    (trained_on,) = load_noises(tmp_path)
    assert np.allclose(trained_on, sound, atol=1e-3), "training and benchmark share a noise"


def test_a_folder_without_held_out_noise_is_said(tmp_path):
    with pytest.raises(TrainingDataError, match="No noise under .* has a name that begins with '5-'"):
        read_held_out_noises(tmp_path)


def test_the_held_out_noise_is_a_fifth_of_esc(shared_data):
    assert len(list((shared_data / "noise" / "audio").glob(f"{degradations.HELD_OUT_NOISE}*"))) == 80
