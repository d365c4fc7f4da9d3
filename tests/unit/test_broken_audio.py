"""Files that are no recordings, or damaged ones, are refused in a sentence."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from ser.audio.decoding import decode_bytes, decode_file
from ser.errors import AudioError
from tests.unit.recordings import AGAIN, NO_LEVELS, encode, pcm, silent_film, voice, wav_header


def nan_wav(value: float) -> bytes:
    samples = voice(1.0).astype("<f4")
    samples[8_000] = value
    return wav_header(samples.nbytes, bits=32, tag=3) + samples.tobytes()


CLIP = pcm(voice(1.0))
TOO_FEW = "The recording is 0.00 s long; at least 0.4 s is needed. Record again."
DAMAGED_WAV = f"'clip' cannot be read as sound: it is a damaged WAV file. {AGAIN}"
BROKEN = {
    "zero bytes": (b"", "The file is empty (0 bytes). Record or export it again."),
    "random bytes": (
        np.random.default_rng(1).bytes(50_000),
        f"'clip' cannot be read as sound: its content is no known audio format. {AGAIN}",
    ),
    "PNG": (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 13, b"IHDR") + bytes(40),
        f"'clip' cannot be read as sound: it is a PNG picture. {AGAIN}",
    ),
    "text": (b"kids are talking by the door\n" * 300, f"'clip' cannot be read as sound: it is text. {AGAIN}"),
    "playlist": (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        f"'clip' cannot be read as sound: it is text. {AGAIN}",
    ),
    "film without sound": (
        silent_film(),
        f"'clip' cannot be read as sound: it holds video or pictures, but no sound. {AGAIN}",
    ),
    "an hour announced": (
        wav_header(3600 * 32_000) + CLIP[:2_000],
        "The file ends early: it announces 3600.0 s, and 0.06 s are there; at least 0.4 s is needed. "
        "Record or export it again.",
    ),
    "header alone": (wav_header(0), DAMAGED_WAV),
    "no channel": (wav_header(len(CLIP), channels=0) + CLIP, DAMAGED_WAV),
    "no rate": (wav_header(len(CLIP), rate=0) + CLIP, DAMAGED_WAV),
    "1 Hz": (
        wav_header(len(CLIP), rate=1) + CLIP,
        "The file claims a sampling rate of 1 Hz; 4000 to 768000 Hz are expected. Export it again at 16000 Hz.",
    ),
    "2 GHz": (
        wav_header(len(CLIP), rate=2**31 - 1) + CLIP,
        "The file claims a sampling rate of 2147483647 Hz; 4000 to 768000 Hz are expected. "
        "Export it again at 16000 Hz.",
    ),
    "one sample": (wav_header(2) + CLIP[:2], TOO_FEW),
    "too short": (
        wav_header(12_480) + CLIP[:12_480],
        "The recording is 0.39 s long; at least 0.4 s is needed. Record again.",
    ),
    "silence": (
        wav_header(32_000) + bytes(32_000),
        "The recording is silent: all its samples are equal; speech above -70 dBFS is needed. "
        "Check the microphone and record again.",
    ),
    "constant offset": (
        encode(np.full(44_100, 0.3, np.float32), "wav", 44_100),
        "The recording is silent: its loudest sound is at -inf dBFS",
    ),
    "hiss of a muted microphone": (
        wav_header(32_000) + np.random.default_rng(2).integers(-2, 3, 16_000).astype("<i2").tobytes(),
        "The recording is silent: its loudest sound is at -84 dBFS; speech above -70 dBFS is needed. "
        "Check the microphone and record again.",
    ),
    "not a number": (nan_wav(np.nan), NO_LEVELS),
    "infinite": (nan_wav(-np.inf), NO_LEVELS),
    "absurdly loud": (nan_wav(1e30), NO_LEVELS),
    "MP4 without its end": (
        encode(voice(1.0), "m4a")[:4_000],
        f"'clip' cannot be read as sound: it is an MP4 file that is damaged or whose end is missing. {AGAIN}",
    ),
}


@pytest.mark.parametrize("case", sorted(set(BROKEN) - {"constant offset"}))
def test_what_is_no_recording_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    data, sentence = BROKEN[case]
    with pytest.raises(AudioError) as refusal:
        decode_bytes(data, "clip")
    assert str(refusal.value) == sentence
    (tmp_path / "clip").write_bytes(data)
    with pytest.raises(AudioError) as refusal:
        decode_file(tmp_path / "clip")
    assert str(refusal.value) == sentence


def test_a_constant_offset_is_silence() -> None:
    with pytest.raises(AudioError, match="^The recording is silent: "):
        decode_bytes(BROKEN["constant offset"][0])


def test_what_is_no_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path: f"'{tmp_path}' is a folder; a file is expected. Name one of the files in it.",
        tmp_path / "none.wav": f"There is no file '{tmp_path / 'none.wav'}'. Check the path.",
        tmp_path / "pipe": (
            f"'{tmp_path / 'pipe'}' is not a regular file; a recording is expected. Save it to a file first."
        ),
    }
    for path, sentence in cases.items():
        with pytest.raises(AudioError) as refusal:
            decode_file(path)
        assert str(refusal.value) == sentence
    for name in ("a\0b.wav", "x" * 5_000):
        with pytest.raises(AudioError):
            decode_file(name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "locked.wav"
    path.write_bytes(wav_header(len(CLIP)) + CLIP)
    path.chmod(0)
    with pytest.raises(AudioError, match="may not be read by this user"):
        decode_file(path)
