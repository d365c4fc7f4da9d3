import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.decoding import decode_bytes, decode_file
from ser.audio.long_recordings import read_long
from ser.errors import AudioError
from ser.types import SAMPLING_RATE, Audio
from tests.unit.recordings import encode, voice


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "opus", "m4a", "webm"])
def test_blocks_are_what_is_decoded_at_once(extension: str) -> None:
    data = encode(voice(70.0), extension)
    recording = read_long(data)
    whole = decode_bytes(data)
    assert np.array_equal(np.concatenate(list(recording.blocks())), whole.signal)
    assert recording.duration == pytest.approx(whole.duration, abs=1e-3)


def test_channels_are_handed_out_alone_or_mixed(tmp_path: Path) -> None:
    path, signal = tmp_path / "stereo.wav", voice(3.0, 44_100)
    soundfile.write(path, np.stack([signal, 0.5 * signal[::-1]], axis=1), 44_100, subtype="FLOAT")
    recording = read_long(path)
    parts = [np.concatenate(list(recording.blocks(channel))) for channel in (None, 0, 1)]
    assert np.array_equal(parts[0], decode_file(path).signal)
    assert np.allclose(parts[0], (parts[1] + parts[2]) / 2, atol=1e-4)


def test_channels_that_cancel_and_channels_that_hold_nothing(tmp_path: Path) -> None:
    path, signal = tmp_path / "stereo.wav", voice(3.0)
    soundfile.write(path, np.stack([signal, -signal], axis=1), SAMPLING_RATE, subtype="FLOAT")
    opposite = read_long(path)
    assert not opposite.differs and np.allclose(np.concatenate(list(opposite.blocks())), signal)
    soundfile.write(path, np.stack([np.zeros_like(signal), signal], axis=1), SAMPLING_RATE)
    assert read_long(path).used_channels == (1,) and not read_long(path).differs


def test_levels_beyond_full_scale_are_brought_down_and_told(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, 4 * voice(2.0), SAMPLING_RATE, subtype="FLOAT")
    recording = read_long(path)
    assert np.abs(np.concatenate(list(recording.blocks()))).max() == pytest.approx(1.0)
    assert "exceeded full scale" in recording.notes[0]


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for source, message in (
        (tmp_path / "gone.wav", "There is no file"),
        (tmp_path / "empty.wav", "empty"),
        (b"Dear diary, today", "it is text"),
        (encode(voice(0.2), "wav"), "at least 0.4 s"),
        (encode(np.zeros(16_000, np.float32), "wav"), "silent"),
    ):
        with pytest.raises(AudioError, match=message):
            read_long(source)
    with pytest.raises(AudioError, match="longer than 1 s"):
        read_long(encode(voice(2.0), "wav"), max_duration=1.0)


def test_a_file_that_goes_away_between_the_passes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    path.write_bytes(encode(voice(2.0), "wav"))
    recording = read_long(path)
    path.unlink()
    with pytest.raises(AudioError, match="second time"):
        list(recording.blocks())


def test_decoded_audio_is_taken_as_it_is() -> None:
    audio = Audio(voice(2.0))
    assert np.array_equal(np.concatenate(list(read_long(audio).blocks())), audio.signal)


def test_a_damaged_end_is_read_by_the_reader_that_can(tmp_path: Path) -> None:
    buffer = io.BytesIO(encode(voice(20.0), "mp3"))
    data = buffer.getvalue()[: len(buffer.getvalue()) // 2]
    recording = read_long(data)
    assert np.array_equal(np.concatenate(list(recording.blocks())), decode_bytes(data).signal)
