"""Noise reduction: length and timing whatever the blocks, what answers say of it, what is said without the package."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio import denoising
from ser.audio.denoising import BLOCK, DELAY, NOTE, denoise, denoise_blocks, is_available, load_suppressor
from ser.audio.long_recordings import read_long
from ser.cli import main
from ser.errors import ModelUnavailableError
from ser.testing import fake_recognizer, synthetic_speech
from ser.types import SAMPLING_RATE, Audio


@dataclass
class Processed:
    audio: bytes


class LateSuppressor:
    """Gives back half of what came `DELAY` samples before, as the package's suppressor is late."""

    def __init__(self) -> None:
        self.kept = np.zeros(DELAY, "<i2")

    def Process10ms(self, samples: bytes) -> Processed:  # noqa: N802
        given = np.frombuffer(samples, "<i2")
        assert len(given) == BLOCK
        self.kept = np.concatenate([self.kept, given])
        made, self.kept = self.kept[:BLOCK] // 2, self.kept[BLOCK:]
        return Processed(made.astype("<i2").tobytes())


@pytest.mark.parametrize("samples", [0, 1, 95, 160, 16_001])
def test_what_comes_out_is_as_long_and_at_the_same_time(samples: int) -> None:
    signal = synthetic_speech(2.0).signal[:samples]
    whole = denoise(Audio(signal, notes=("Noisy.",)), LateSuppressor)
    assert np.abs(whole.signal - signal / 2).max(initial=0.0) <= 1 / 32768 and len(whole.signal) == samples
    assert whole.notes == ("Noisy.", NOTE) and denoise(whole, LateSuppressor) is whole

    def cut() -> Iterator[np.ndarray]:
        for start in range(0, samples, 333):
            yield signal[start : start + 333]

    assert np.array_equal(np.concatenate([*denoise_blocks(cut(), LateSuppressor)]), whole.signal)


def test_answers_say_it_and_give_no_embedding_to_be_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoising, "load_suppressor", LateSuppressor)
    recognizer, clip = fake_recognizer(), synthetic_speech(2.0)
    plain = recognizer.recognize(clip)
    once = recognizer.recognize(denoise(clip))
    recognizer.denoise = True
    always = recognizer.recognize(clip)
    assert NOTE not in plain.notes and NOTE in once.notes and once.fused == always.fused
    assert once.embedding is None and plain.embedding is not None and once.fused != plain.fused
    explained = recognizer.explain(clip, answer=once)
    assert explained.confidence == pytest.approx(once.fused.confidence)
    timeline = recognizer.timeline(clip)
    assert timeline.notes[-1] == NOTE
    recognizer.denoise = False
    assert NOTE not in recognizer.timeline(clip).notes
    assert timeline.regions != recognizer.timeline(read_long(clip)).regions


def test_without_the_package_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(denoising, "MODULE", "a_package_that_nobody_has")
    assert not is_available()
    with pytest.raises(ModelUnavailableError, match="pip install webrtc-noise-gain"):
        denoise(synthetic_speech(1.0))
    soundfile.write(tmp_path / "a.wav", synthetic_speech(1.0).signal, SAMPLING_RATE)
    assert main(["recognize", str(tmp_path / "a.wav"), "--denoise"]) == 2
    assert "is not installed" in capsys.readouterr().err


@pytest.mark.skipif(not is_available(), reason="webrtc-noise-gain is not installed")
def test_the_package_takes_steady_noise_away_and_leaves_the_voice() -> None:
    generator = np.random.default_rng(0)
    speech = np.concatenate([np.zeros(16_000, np.float32), synthetic_speech(2.0).signal])
    noisy = speech + generator.normal(0.0, 0.01, len(speech)).astype(np.float32)
    clean = denoise(Audio(noisy)).signal
    assert np.std(clean[8000:16_000]) < 0.6 * np.std(noisy[8000:16_000])
    assert np.corrcoef(clean[16_000:], noisy[16_000:])[0, 1] > 0.9
    assert type(load_suppressor()).__name__ == "AudioProcessor"
