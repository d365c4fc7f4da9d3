"""The embedded Whisper encoder: its weights, its two forms, and what it costs to import."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from ser.encoder import weights
from ser.encoder.embedded import POOLED_SIZE, EmbeddedEncoder, embedded_encoder, log_mel
from ser.encoder.pretrained import PretrainedEncoder
from ser.encoder.torch_form import load_whisper
from ser.encoder.weights import FOLDER_VARIABLE, WEIGHTS_FILE, find_weights, read_weights
from ser.encoder.windows import embed_clips
from ser.errors import ModelUnavailableError
from ser.export.graphs import shipped_graphs
from ser.testing import synthetic_speech


@pytest.fixture(scope="module")
def signals() -> list[np.ndarray]:
    speech = synthetic_speech(3.0, seed=1).signal
    return [speech, speech[: 16_000 * 2], speech[8_000:40_000], speech[:500]]


@pytest.fixture(scope="module")
def exact() -> EmbeddedEncoder:
    return EmbeddedEncoder("float32")


def test_float32_equals_the_transformers_form(
    exact: EmbeddedEncoder, signals: list[np.ndarray], tmp_path: Path
) -> None:
    load_whisper().save_pretrained(tmp_path)
    WhisperFeatureExtractor().save_pretrained(tmp_path)
    theirs = PretrainedEncoder(str(tmp_path))
    assert (theirs.rows, theirs.width) == (exact.rows, exact.width)
    # The extractor's floor is under the loudest of the whole recording, as ours; its silence behind the clip is cut.
    for signal in signals[:3]:
        ours = exact.pooled([signal])[0]
        np.testing.assert_allclose(theirs.pooled([signal])[0], ours, atol=0.02, rtol=0.01)


def test_float32_equals_torch_on_the_same_spectrum(exact: EmbeddedEncoder, signals: list[np.ndarray]) -> None:
    encoder = load_whisper().model.encoder
    with torch.inference_mode():
        state = torch.from_numpy(log_mel(signals[0]))[None]
        for convolution in (encoder.conv1, encoder.conv2):
            state = torch.nn.functional.gelu(convolution(state))
        state = state.permute(0, 2, 1)
        state = state + encoder.embed_positions.weight[: state.shape[1]]
        states = [state]
        for layer in encoder.layers:
            given = layer(state, None)
            state = given[0] if isinstance(given, tuple) else given
            states.append(state)
        states.append(encoder.layer_norm(state))
    np.testing.assert_allclose(exact.frames(signals[0]), torch.cat(states).numpy(), atol=1e-3, rtol=1e-3)


def test_int8_stays_near_float32(exact: EmbeddedEncoder, signals: list[np.ndarray]) -> None:
    quick, slow = (encoder.pooled(signals[:3]) for encoder in (EmbeddedEncoder("int8"), exact))
    assert np.abs(quick - slow).mean() < 0.03 * np.abs(slow).mean()
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(quick, slow, strict=True)) > 0.995


def test_pooled_is_mean_and_deviation_of_the_frames(exact: EmbeddedEncoder, signals: list[np.ndarray]) -> None:
    frames = exact.frames(signals[1])
    expected = np.concatenate([frames.mean(1), frames.std(1)], axis=1).ravel()
    np.testing.assert_allclose(exact.pooled([signals[1]])[0], expected, atol=1e-4)


def test_company_changes_no_embedding(signals: list[np.ndarray]) -> None:
    encoder = embedded_encoder()
    together = encoder.pooled([signals[1], signals[2], signals[0], signals[1]])
    alone = np.concatenate([encoder.pooled([signals[i]]) for i in (1, 2, 0, 1)])
    np.testing.assert_array_equal(together, alone)


def test_long_recordings_are_the_mean_of_their_windows(exact: EmbeddedEncoder) -> None:
    speech = synthetic_speech(4.0, seed=2).signal
    twice = np.concatenate([speech, speech])
    embedded = embed_clips(exact, [speech, twice])
    assert embedded.shape == (2, POOLED_SIZE)
    assert np.corrcoef(embedded[0], embedded[1])[0, 1] > 0.98
    with pytest.raises(ValueError, match="at most 30 s"):
        exact.frames(np.zeros(31 * 16_000, dtype=np.float32))


def test_graphs_in_the_repository_are_what_the_builder_builds() -> None:
    graphs = shipped_graphs()
    assert len(graphs) == 4
    for path, content in graphs.items():
        assert path.read_bytes() == content and len(content) < 100_000


def test_damaged_and_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = find_weights() / WEIGHTS_FILE
    cut = tmp_path / WEIGHTS_FILE
    cut.write_bytes(whole.read_bytes()[:5_000_000])
    with pytest.raises(ModelUnavailableError, match="could not be read"):
        read_weights(cut)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    find_weights.cache_clear()
    try:
        with pytest.raises(ModelUnavailableError, match="SHA-256"):
            find_weights()
        cut.unlink()
        with pytest.raises(ModelUnavailableError, match="not found in the folder"):
            find_weights()
    finally:
        monkeypatch.undo()
        find_weights.cache_clear()


def test_weights_are_found_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--Systran--faster-whisper-tiny.en" / "snapshots" / "abc"
    shutil.copytree(find_weights(), snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGE", "package_that_is_not_installed")
    find_weights.cache_clear()
    try:
        assert find_weights() == snapshot
    finally:
        monkeypatch.undo()
        find_weights.cache_clear()
