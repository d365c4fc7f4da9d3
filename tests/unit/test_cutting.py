"""The beginning of a recording that is too long."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.decoding import decode_file
from ser.audio.long_recordings import decode_beginning
from ser.errors import AudioError, RecordingTooLongError
from ser.testing import synthetic_speech


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_the_beginning_is_that_of_the_whole(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"long.{suffix}"
    speech = synthetic_speech(6.0, seed=2).signal
    soundfile.write(path, np.stack([speech, speech], axis=1), 16_000)
    with pytest.raises(RecordingTooLongError, match="longer than 2 s"):
        decode_file(path, max_duration=2.0)
    beginning, whole = decode_beginning(path, 2.0), decode_file(path)
    assert beginning.duration == pytest.approx(2.0, abs=0.01)
    assert np.allclose(beginning.signal[:30_000], whole.signal[:30_000], atol=1e-4)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.wav"
    path.write_text("this is no sound")
    with pytest.raises(AudioError, match="cannot be read"):
        decode_beginning(path, 2.0)
    with pytest.raises(AudioError, match="cannot be opened"):
        decode_beginning(tmp_path / "gone.wav", 2.0)
