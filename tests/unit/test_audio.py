import io
import re
import resource
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from ser.audio.decoding import decode_bytes, decode_file
from ser.audio.formats import AUDIO_SUFFIXES
from ser.errors import AudioError
from tests.unit.recordings import CONTAINERS, encode, pcm, voice, wav_header


@pytest.mark.parametrize("extension", CONTAINERS)
def test_every_container_gives_the_same_sound(extension: str, tmp_path: Path) -> None:
    original = voice(3.0)
    path = tmp_path / f"a clip, schön 🎤.{extension}"
    path.write_bytes(encode(original, extension))
    audio = decode_file(path)
    assert (audio.sampling_rate, audio.signal.dtype, audio.signal.ndim) == (16_000, np.float32, 1)
    assert audio.duration == pytest.approx(3.0, abs=0.12)
    assert audio.notes == ()
    # Lossy codecs shift the sound by their delay: look for the best overlap.
    spectrum = np.fft.rfft(audio.signal, 1 << 17) * np.conj(np.fft.rfft(original, 1 << 17))
    likeness = np.fft.irfft(spectrum).max() / (np.linalg.norm(audio.signal) * np.linalg.norm(original))
    assert likeness > 0.9
    assert decode_bytes(path.read_bytes(), path.name).sha256 == audio.sha256


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_every_rate_is_resampled_as_a_whole_would_be(rate: int) -> None:
    audio = decode_bytes(encode(voice(2.0, rate), "wav", rate))
    assert len(audio.signal) == pytest.approx(32_000, abs=1)
    reference = voice(2.0)
    error = audio.signal[800:31_200] - reference[800:31_200]
    assert np.sqrt(np.mean(error**2)) < 2e-3
    telephone = (f"Telephone quality: sampled at {rate} Hz, so high frequencies are missing.",)
    assert audio.notes == (telephone if rate < 16_000 else ())


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_sample_formats(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, voice(1.0), 16_000, subtype=subtype)
    assert np.abs(decode_file(path).signal - voice(1.0)).max() < 0.03


def test_a_signal_at_16_khz_is_kept_bit_by_bit() -> None:
    samples = np.rint(voice(1.0) * 32767) / 32768
    assert np.array_equal(decode_bytes(encode(samples.astype(np.float32), "flac")).signal, samples.astype(np.float32))


def test_channels_are_averaged() -> None:
    left, right = voice(1.0), 0.5 * voice(1.0)
    audio = decode_bytes(encode(np.stack([left, right], axis=1), "wav"))
    assert np.allclose(audio.signal, 0.75 * voice(1.0), atol=1e-3)


def test_opposite_phases_do_not_cancel() -> None:
    audio = decode_bytes(encode(np.stack([voice(1.0), -voice(1.0)], axis=1), "wav"))
    assert np.allclose(np.abs(audio.signal), np.abs(voice(1.0)), atol=1e-3)


def test_one_voice_among_six_channels_is_taken_alone() -> None:
    channels = np.zeros((16_000, 6), np.float32)
    channels[:, 2] = voice(1.0)
    assert np.allclose(decode_bytes(encode(channels, "wav")).signal, voice(1.0), atol=1e-3)


def test_levels_above_full_scale_are_brought_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", 6 * voice(1.0), 16_000, subtype="FLOAT")
    audio = decode_file(tmp_path / "loud.wav")
    assert np.allclose(audio.signal, 2 * voice(1.0), atol=1e-5)
    assert audio.notes == ("The samples exceeded full scale 3 times; the level was brought down.",)


def test_a_header_of_unknown_length_announces_nothing() -> None:
    for size in (0xFFFF_FFFF, 0x7FFF_FFFF, 0):
        assert decode_bytes(wav_header(size) + pcm(voice(1.0))).notes == ()


@pytest.mark.parametrize(
    ("extension", "note"),
    [
        ("wav", "The file ends early: it announces 12.0 s, and 7.2 s are there."),
        ("aiff", "The file ends early: it announces 12.0 s, and 7.2 s are there."),
        ("mp3", "The file ends early: it announces 12.0 s, and "),
        ("flac", "The file ends early: it announces 12.0 s, and "),
        ("webm", "The file ends early: it announces 12.0 s, and "),
        ("ogg", "Parts of the file are damaged or missing; what could be read is used."),
        ("opus", "Parts of the file are damaged or missing; what could be read is used."),
    ],
)
def test_what_is_left_of_a_truncated_file_is_used_with_a_note(extension: str, note: str) -> None:
    whole = encode(voice(12.0), extension)
    audio = decode_bytes(whole[: len(whole) * 6 // 10])
    assert 3.0 <= audio.duration < 9.0
    assert audio.notes[0].startswith(note)


@pytest.mark.parametrize("extension", CONTAINERS)
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.97])
def test_any_truncation_gives_audio_or_a_sentence(extension: str, share: float) -> None:
    whole = encode(voice(3.0), extension)
    outcome(whole[: round(len(whole) * share)])


@pytest.mark.parametrize("extension", CONTAINERS)
def test_any_damage_gives_audio_or_a_sentence(extension: str) -> None:
    whole = np.frombuffer(encode(voice(3.0), extension), np.uint8)
    random = np.random.default_rng(7)
    for count in (1, 20, 400):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), count)] = random.integers(0, 256, count)
        outcome(damaged.tobytes())


def outcome(data: bytes) -> None:
    """Decode; whatever comes must keep the promises."""
    try:
        audio = decode_bytes(data, "clip", max_duration=30.0)
    except AudioError as error:
        assert str(error).endswith(".") and len(str(error)) > 20
    else:
        assert 0.4 <= audio.duration <= 30.1
        assert np.isfinite(audio.signal).all() and np.abs(audio.signal).max() <= 1.0


def test_the_limit_leaves_room_for_an_encoders_padding() -> None:
    assert decode_bytes(encode(voice(2.0), "m4a"), max_duration=2.0).duration == pytest.approx(2.0, abs=0.1)
    with pytest.raises(AudioError) as refusal:
        decode_bytes(encode(voice(2.2), "wav"), max_duration=2.0)
    assert str(refusal.value) == (
        "The recording is longer than 2 s, the most that is accepted here. Cut it into shorter pieces."
    )


def test_a_small_file_that_unfolds_to_hours_stays_out_of_memory() -> None:
    hour = np.zeros(3600 * 48_000 // 4, np.int16)
    data = encode(hour, "flac", 48_000)
    assert len(data) < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AudioError, match="longer than 60 s"):
        decode_bytes(data, max_duration=60.0)
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 64 << 20


def test_a_stream_without_a_decoder_is_refused_in_a_sentence() -> None:
    whole = encode(voice(), "mkv")
    unknown = whole.replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT")
    assert unknown != whole
    with pytest.raises(AudioError, match="'x.mkv' cannot be read as sound: its sound is in a form that"):
        decode_bytes(unknown, "x.mkv")


def test_tags_that_are_no_utf8_do_not_matter() -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as output:
        output.metadata["title"] = "title"
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((voice(1.0)[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    content = buffer.getvalue()
    assert b"title" in content
    assert decode_bytes(content.replace(b"title", b"titl\xe9")).duration == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("failure", [AttributeError, AssertionError, KeyError, IndexError, SystemError, MemoryError])
@pytest.mark.parametrize("library", ["av", "soundfile"])
def test_whatever_a_library_raises_ends_in_a_sentence(
    failure: type[Exception], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure("inside")

    content = encode(voice(1.0), "wav")
    if library == "av":
        monkeypatch.setattr(av, "open", fail)
        # The other reader has it.
        assert decode_bytes(content).duration == pytest.approx(1.0)
    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    if library == "av":
        with pytest.raises(AudioError, match=rf"its reader failed \({failure.__name__}: "):
            decode_bytes(content)
    else:
        assert decode_bytes(content).duration == pytest.approx(1.0)


MUXERS = {
    **{".mov": ("mov", "aac"), ".3gp": ("3gp", "aac"), ".3g2": ("3g2", "aac"), ".mp4": ("mp4", "aac")},
    **{".mp2": ("mp2", "mp2"), ".weba": ("webm", "libopus"), ".mka": ("matroska", "libopus"), ".avi": ("avi", "mp2")},
    **{
        ".w64": ("w64", "pcm_s16le"),
        ".au": ("au", "pcm_s16be"),
        ".aifc": ("aiff", "pcm_s16be"),
    },
}


@pytest.mark.parametrize("ending", sorted(MUXERS))
def test_every_ending_that_counts_as_a_recording_can_be_read(ending: str, tmp_path: Path) -> None:
    assert ending in AUDIO_SUFFIXES
    container, codec = MUXERS[ending]
    path = tmp_path / f"clip{ending}"
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=48_000, layout="mono")
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=48_000, frame_size=stream.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(voice(2.0)[None], format="flt", layout="mono")
        frame.sample_rate = 16_000
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    assert decode_file(path).duration == pytest.approx(2.0, abs=0.15)


def test_narrow_band_amr_is_read(tmp_path: Path) -> None:
    """Written by hand, as there is no encoder: a header and a second of frames with drawn parameters."""
    # Source: RFC 4867, 5: "#!AMR\n", then a byte of header and 31 of data for each 20 ms at 12.2 kbit/s (type 7).
    generator, path = np.random.default_rng(0), tmp_path / "clip.amr"
    path.write_bytes(b"#!AMR\n" + b"".join(bytes([7 << 3 | 4]) + generator.bytes(31) for _ in range(50)))
    assert decode_file(path).duration == pytest.approx(1.0, abs=0.05)


def test_there_is_one_list_of_endings() -> None:
    """In the repository's own words: whoever looks through folders asks `ser.audio.formats`."""
    root = Path(__file__).parents[2]
    files = [path for folder in ("ser", "annotations", "ui") for path in (root / folder).rglob("*.py")]
    lists = [path.name for path in files if re.search(r"\.opus[\"' ,].*\.m4a|\.m4a[\"' ,].*\.opus", path.read_text())]
    assert lists == ["formats.py"]
