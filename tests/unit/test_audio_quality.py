import csv
from pathlib import Path

import numpy as np

from ser.audio.decoding import decode_bytes, decode_file
from ser.audio.quality import REDUCE, describe_quality, signal_to_noise
from tests.unit.recordings import encode, voice

CLIPPED = "Clipped: the loudest parts are flattened. Turn the recording level down."


def test_a_clean_recording_has_no_notes() -> None:
    assert describe_quality(voice(3.0), 48_000) == ()


def test_clipping_is_noted_at_full_scale_and_below() -> None:
    flattened = np.clip(6 * voice(3.0), -1, 1)
    assert describe_quality(flattened, 48_000) == (CLIPPED,)
    assert describe_quality(0.5 * flattened, 48_000) == (CLIPPED,)


def test_a_low_level_is_noted() -> None:
    assert decode_bytes(encode(0.01 * voice(3.0), "wav")).notes == (
        "Very quiet: the loudest sound is at -46 dBFS. Move closer to the microphone.",
    )


def test_noise_is_noted_but_not_in_short_clips() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    noisy = np.clip(voice(3.0) + noise, -1, 1)
    said, *advice = describe_quality(noisy, 48_000)
    assert said.startswith("Noisy: ") and advice == [REDUCE]
    assert describe_quality(noisy[:24_000], 48_000) == ()


def test_the_estimate_follows_the_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 48_000).astype(np.float32)
    estimates = [signal_to_noise(voice(3.0) + level * noise) for level in (0.001, 0.01, 0.1)]
    assert estimates[0] > estimates[1] + 10 > estimates[2] + 20


def test_real_studio_speech_is_rarely_complained_about(shared_data: Path) -> None:
    paths = sorted((shared_data / "ravdess" / "audio").iterdir())[::24]
    noted = [note for path in paths for note in decode_file(path).notes if not note.startswith("Very quiet")]
    assert len(noted) <= 0.02 * len(paths)


def test_real_background_noise_is_noted(shared_data: Path) -> None:
    with (shared_data / "noise" / "metadata.csv").open() as file:
        rain = [row["file_name"] for row in csv.DictReader(file) if row["label"] == "Rain"]
    speech = [decode_file(path).signal for path in sorted((shared_data / "read-speech" / "audio").iterdir())]
    speech = [signal for signal in speech if len(signal) >= 32_000][:10]
    noted = 0
    for signal, name in zip(speech, rain, strict=False):
        noise = np.resize(decode_file(shared_data / "noise" / name).signal, len(signal))
        noise *= np.std(signal) / max(float(np.std(noise)), 1e-9)
        noted += any(note.startswith("Noisy") for note in describe_quality(signal + noise, 48_000))
    assert noted >= 8
