import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

from ser.audio.decoding import decode_file
from ser.audio.vad import FRAMES_PER_CALL, SileroDetector, find_regions, trim_to_speech
from ser.types import Audio, SpeechRegion

TIME = np.arange(48_000) / 16_000
NO_SPEECH = {
    "nothing": np.zeros(0),
    "one sample": np.zeros(1),
    "silence": np.zeros(48_000),
    "white noise": np.random.default_rng(0).normal(0, 0.1, 48_000),
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
}


@pytest.fixture(scope="module")
def detector() -> SileroDetector:
    return SileroDetector()


@pytest.fixture(scope="module")
def clips(shared_data: Path) -> list[Audio]:
    folders = [shared_data / corpus / "audio" for corpus in ("ravdess", "nemo", "read-speech")]
    return [decode_file(path) for folder in folders for path in sorted(folder.iterdir())[:8]]


@pytest.mark.parametrize("kind", sorted(NO_SPEECH))
def test_no_speech_gives_no_region(detector: SileroDetector, kind: str) -> None:
    assert detector.detect(Audio(NO_SPEECH[kind].astype(np.float32))) == ()


def test_regions_equal_those_of_the_package(detector: SileroDetector, clips: list[Audio]) -> None:
    network = load_silero_vad(onnx=True)
    long = Audio(np.concatenate([clip.signal for clip in clips]))
    assert len(long.signal) > 2 * FRAMES_PER_CALL * 512
    for audio in [*clips, long]:
        expected = get_speech_timestamps(torch.tensor(audio.signal), network)
        found = [(round(r.start * 16_000), round(r.end * 16_000)) for r in detector.detect(audio)]
        assert found == [(region["start"], region["end"]) for region in expected]


def test_a_voice_that_shrieks_is_speech(detector: SileroDetector, shared_data: Path) -> None:
    # Actors in strong anger and fear, in whom the detector finds no speech as they are.
    names = ("03-01-05-02-02-01-14", "03-01-05-02-02-01-18", "03-01-06-02-01-01-06")
    audios = [decode_file(next((shared_data / "ravdess").rglob(f"{name}.*"))) for name in names]
    assert not any(find_regions(detector.speech_probabilities(audio.signal), len(audio.signal)) for audio in audios)
    alone = [detector.detect(audio) for audio in audios]
    for audio, regions in zip(audios, alone, strict=True):
        assert regions and 0 <= regions[0].start < regions[-1].end <= audio.duration
        assert regions[-1].end - regions[0].start < audio.duration - 0.5  # The silence around it is not taken along.


def test_threads_do_not_disturb_each_other(detector: SileroDetector, clips: list[Audio]) -> None:
    alone = [detector.detect(clip) for clip in clips]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(detector.detect, clips)) == alone


def test_regions_lie_in_order_within_the_recording() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        frames = int(random.integers(1, 300))
        probabilities = np.repeat(random.random(frames // 7 + 1), 7)[:frames]
        samples = frames * 512 - int(random.integers(0, 512))
        times = [time for region in find_regions(probabilities, samples) for time in (region.start, region.end)]
        assert times == sorted(times)
        assert not times or (times[0] >= 0 and times[-1] <= samples / 16_000)


def test_trimming_keeps_padding_within_the_recording() -> None:
    audio = Audio(np.arange(32_000, dtype=np.float32), notes=("quiet",))
    trimmed = trim_to_speech(audio, [SpeechRegion(0.1, 0.5), SpeechRegion(1.0, 1.5)])
    assert (trimmed.signal[0], trimmed.duration, trimmed.notes) == (0.0, 1.7, ("quiet",))
    assert trim_to_speech(audio, ()) is audio


def test_torch_is_not_needed() -> None:
    code = "import sys, ser.audio.vad; ser.audio.vad.SileroDetector(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_bark_with_a_moment_of_speech_in_it_is_none(detector: SileroDetector, shared_data: Path) -> None:
    """And speech as short as a word still passes."""
    with (shared_data / "noise" / "metadata.csv").open() as table:
        labels = {row["file_name"]: row["label"] for row in csv.DictReader(table)}
    dogs = [name for name, label in labels.items() if label in ("Dog bark", "Rooster", "Baby cry")][::4]
    passed = [name for name in dogs if detector.detect(decode_file(shared_data / "noise" / name))]
    assert len(passed) <= 3
    words = sorted((shared_data / "turev" / "audio").iterdir())[::60]
    assert all(detector.detect(decode_file(path)) for path in words)
