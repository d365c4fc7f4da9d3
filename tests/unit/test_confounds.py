"""Confounds, which predict labels without being voice: the channel of a recording, and the words."""

import numpy as np
import pytest

from annotations.learning.promotion.confounds import (
    FEATURES,
    channel_features,
    channel_of_clips,
    find_confounds,
    give_away,
    predict_labels,
    word_features,
)
from annotations.learning.promotion.folds import assign_folds
from ser.testing import synthetic_speech

LABELS = np.arange(60) % 2
SHARES = np.eye(7)[LABELS]
SPEAKERS = [f"speaker {place // 10}" for place in range(60)]
FOLDS = assign_folds(SPEAKERS, 5)


def recording(place: int, hiss: float) -> np.ndarray:
    speech = synthetic_speech(0.8, seed=place).signal
    noise = np.random.default_rng(place).normal(size=len(speech) + 8000)
    return (np.pad(speech, 4000) + hiss * noise).astype(np.float32)


def test_a_noise_floor_that_goes_with_the_label_is_found() -> None:
    hisses = [(1e-4, 1e-3)[label] for label in LABELS]
    features = np.stack([channel_features(recording(place, hiss)) for place, hiss in enumerate(hisses)])
    found = find_confounds(features, [None] * 60, SHARES, FOLDS)
    assert found.channel_tells and not found.words_tell and len(found.hints) == 1
    assert found.warning.startswith("the channel alone predicts labels")
    same = np.stack([channel_features(recording(place, 1e-4)) for place in range(60)])
    assert find_confounds(same, [None] * 60, SHARES, FOLDS).warning == ""


@pytest.mark.parametrize("signal", [np.zeros(100), np.zeros(16_000), np.ones(5)])
def test_any_signal_has_finite_features(signal: np.ndarray) -> None:
    assert np.isfinite(channel_features(signal.astype(np.float32))).all()


def test_a_recording_that_is_gone_counts_as_usual(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken.flac").write_bytes(b"no sound")
    rows = channel_of_clips([tmp_path / "missing.flac", tmp_path / "broken.flac"])
    assert rows.shape == (2, FEATURES) and np.isnan(rows).all()
    features = np.vstack([rows, np.random.default_rng(0).normal(size=(58, FEATURES))])
    assert np.isfinite(find_confounds(features, [None] * 60, SHARES, FOLDS).hints["channel"]).all()


def test_sentences_that_go_with_the_label_are_found() -> None:
    texts = [("Go away now, please", "What a lovely day")[label] for label in LABELS]
    found = find_confounds(np.zeros((60, FEATURES)), texts, SHARES, FOLDS)
    assert found.words_tell and len(found.hints) == 2 and "words alone predict" in found.warning


def test_sentences_that_all_say_alike_tell_nothing() -> None:
    assert word_features(["The same words"] * 4) is None
    texts = [("One two", "Three four", "Five six")[place % 3] for place in range(60)]
    logs = predict_labels(word_features(texts), SHARES, FOLDS)
    assert not give_away(logs, SHARES)
