"""Words become speech in a tone, in a file that says it is synthetic; a voice that is missing is said so."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from ser import synthesis
from ser.cli import main
from ser.errors import ModelUnavailableError
from ser.explanation.cues import measure_cues, track_pitch
from ser.synthesis import TONES, Voice, load_voice, speak
from ser.synthesis.speech import LONGEST_TEXT, SYNTHETIC
from ser.types import SAMPLING_RATE, Audio, Signal, SpeechRegion

TEXT = "It sounds as if that was hard for you. Would you like to tell me more about it?"


@pytest.fixture(scope="module")
def voice() -> Voice:
    return load_voice()


def joined(voice: Voice, tone: str = "neutral", text: str = TEXT) -> Signal:
    return np.concatenate(list(speak(voice, text, tone)))


def cues_of(voice: Voice, tone: str) -> tuple[float, float]:
    """Median pitch in Hz and words a second, the mean of two readings."""
    measured = []
    for _ in range(2):
        (signal,) = speak(voice, TEXT.partition(".")[0] + ".", tone)
        audio = Audio(resampled(signal, voice.sampling_rate))
        cues = measure_cues(audio, [SpeechRegion(0.0, audio.duration)])
        assert cues.pitch is not None
        measured.append((cues.pitch, 9 / audio.duration))
    pitch, rate = np.mean(measured, axis=0)
    return float(pitch), float(rate)


def resampled(signal: Signal, rate: int) -> Signal:
    return np.asarray(soxr.resample(signal, rate, SAMPLING_RATE), np.float32)


def test_pitch_and_rate_follow_the_tone(voice: Voice) -> None:
    (low, slow), (high, quick) = cues_of(voice, "gentle"), cues_of(voice, "bright")
    # The tones are 3.5 semitones and a factor of 1.3 apart; the network draws every sentence anew.
    assert 12 * np.log2(high / low) > 1 and quick / slow > 1.1, (low, high, slow, quick)


def test_the_first_sentence_comes_before_the_second_is_made(voice: Voice) -> None:
    signals = speak(voice, TEXT, "calm", chime=True)
    chime, first, second = signals
    assert 0.3 < len(chime) / voice.sampling_rate < 0.6
    assert np.abs(second[: round(0.5 * voice.sampling_rate)]).max() == 0, "the pause of the tone"
    assert np.abs(first).max() == pytest.approx(TONES["calm"].volume, abs=0.01)


def test_the_file_says_that_nobody_said_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "said.wav"
    assert main(["say", "Thank you.", "--out", str(out), "--tone", "bright"]) == 0
    assert "bright" in capsys.readouterr().err
    with soundfile.SoundFile(out) as file:
        assert file.comment == SYNTHETIC and "joe" in file.artist and file.frames / file.samplerate > 0.3
    assert len(track_pitch(resampled(soundfile.read(out, dtype="float32")[0], 22_050)))
    for wrong, said in (
        (["?!"], "nothing to say"),
        (["a" * (LONGEST_TEXT + 1)], "at most"),
        (["hi", "--tone", "x"], "no tone"),
    ):
        assert main(["say", *wrong, "--out", str(tmp_path / "none.wav")]) == 2
        assert said in capsys.readouterr().err
    assert main(["say", "Hi.", "--out", str(tmp_path / "no" / "folder.wav")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_missing_voice_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    for name, said in (
        (str(tmp_path / "bad.onnx"), "is no Piper voice"),
        (str(tmp_path / "none.onnx"), "There is no file"),
        (str(tmp_path), "config.json is missing"),
    ):
        with pytest.raises(ModelUnavailableError, match=said):
            load_voice(name)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(ModelUnavailableError, match="not installed"):
        load_voice("espeak")
    monkeypatch.setattr(synthesis, "PACKAGE", "no_such_package")
    with pytest.raises(ModelUnavailableError, match="pip install"):
        load_voice()


@pytest.mark.slow
def test_a_checkpoint_of_transformers_speaks(tmp_path: Path) -> None:
    """A tiny VITS with drawn weights: what it says is noise, of a length that follows the rate."""
    from transformers import VitsConfig, VitsModel, VitsTokenizer  # noqa: PLC0415

    letters = {letter: number for number, letter in enumerate("_ abcdefghijklmnopqrstuvwxyz'.?")}
    (tmp_path / "vocab.json").write_text(json.dumps(letters))
    VitsTokenizer(str(tmp_path / "vocab.json"), pad_token="_", phonemize=False, is_uroman=False).save_pretrained(
        tmp_path
    )
    small = {"hidden_size": 16, "flow_size": 16, "spectrogram_bins": 9, "ffn_dim": 16, "num_hidden_layers": 1}
    config = VitsConfig(
        vocab_size=len(letters),
        num_attention_heads=2,
        upsample_initial_channel=32,
        prior_encoder_num_flows=1,
        duration_predictor_num_flows=1,
        depth_separable_num_layers=1,
        **small,
    )
    VitsModel(config).save_pretrained(tmp_path, safe_serialization=True)
    voice = load_voice(str(tmp_path), "cpu")
    signal = joined(voice, "bright", "good morning.")
    assert signal.dtype == np.float32 and len(signal) > 1000 and np.isfinite(signal).all()
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelUnavailableError, match="cannot be loaded as a voice"):
        load_voice(str(tmp_path), "cpu")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="the program espeak-ng is not installed")
def test_espeak_speaks_where_it_is_installed() -> None:
    voice = load_voice("espeak")
    assert len(joined(voice, "gentle")) > len(joined(voice, "bright"))
