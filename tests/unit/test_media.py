import pytest
import soundfile

from annotations.errors import StoreError
from annotations.store.media import (
    encode_flac,
    list_media,
    media_path,
    save_media,
    write_atomically,
)
from ser.types import Audio
from tests.unit.stored import recording


def test_a_recording_is_written_once_under_its_hash(tmp_path):
    audio = recording()
    assert save_media(tmp_path, audio)
    path = tmp_path / media_path(audio.sha256)
    before = path.stat().st_mtime_ns
    assert not save_media(tmp_path, audio)
    assert path.stat().st_mtime_ns == before
    assert list(list_media(tmp_path)) == [(audio.sha256, media_path(audio.sha256).as_posix())]
    signal, rate = soundfile.read(path, dtype="float32")
    assert rate == 16_000
    assert Audio(signal).sha256 == audio.sha256


def test_another_sampling_rate_is_refused(tmp_path):
    with pytest.raises(StoreError, match="The clip is at 8000 Hz; clips are stored at 16000"):
        save_media(tmp_path, Audio(recording().signal, 8000))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_target_as_it_was_and_nothing_next_to_it(tmp_path):
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "no bytes")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_flac_holds_every_sample_of_the_extremes():
    samples = (recording().signal * 32767).astype("int16")
    samples[:3] = (-32768, 32767, 0)
    assert encode_flac(samples)[:4] == b"fLaC"
