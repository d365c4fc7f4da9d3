"""The embedded transcriber on real speech, on what is no speech, and on damaged folders."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from transformers import PreTrainedTokenizerFast, WhisperConfig, WhisperForConditionalGeneration

from benchmarks.words.transcription import normalize, sample_clips
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector
from ser.config import Settings
from ser.encoder.weights import NAME, WEIGHTS_FILE, find_weights
from ser.errors import ModelUnavailableError
from ser.testing import synthetic_speech
from ser.transcription import load_transcriber
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.faster_whisper import FasterWhisperTranscriber
from ser.transcription.windows import MAX_CLIP_DURATION, cut_recording
from ser.types import SAMPLING_RATE, Audio, SpeechRegion, Transcript
from tests.unit.test_transcription import check_form

DETECTOR = SileroDetector()


@pytest.fixture(scope="module")
def embedded() -> FasterWhisperTranscriber:
    return FasterWhisperTranscriber(find_weights(), "embedded", language="en")


@pytest.fixture(scope="module")
def read_speech(shared_data: Path) -> list[tuple[Audio, str]]:
    return [(decode_file(path), said) for path, said in sample_clips(shared_data / "read-speech", 5, 0)]


def transcribe(transcriber: FasterWhisperTranscriber, audio: Audio) -> Transcript:
    return transcriber.transcribe(audio, DETECTOR.detect(audio))


def test_read_speech_is_transcribed(embedded: FasterWhisperTranscriber, read_speech: list[tuple[Audio, str]]) -> None:
    written = []
    for audio, _ in read_speech:
        transcript = transcribe(embedded, audio)
        check_form(transcript, embedded, audio)
        assert transcript.language == "en"
        assert transcript.confidence is not None and transcript.confidence > 0.7
        written.append(normalize(transcript.text))
    assert jiwer.wer([normalize(said) for _, said in read_speech], written) < 0.15


@pytest.mark.parametrize("sentence", [1, 2])
def test_no_first_word_of_an_emotional_sentence_is_lost(
    sentence: int, embedded: FasterWhisperTranscriber, shared_data: Path
) -> None:
    paths = sorted((shared_data / "ravdess" / "audio").glob(f"03-01-0[35]-01-0{sentence}-01-0[1-4].*"))
    assert len(paths) == 8
    first = [transcribe(embedded, decode_file(path)).text.split()[0].lower() for path in paths]
    assert first.count(("kids", "dogs")[sentence - 1]) >= 7


def test_times_count_from_the_start_of_the_recording(
    embedded: FasterWhisperTranscriber, read_speech: list[tuple[Audio, str]]
) -> None:
    clip = read_speech[0][0].crop(0.0, 5.0)
    later = Audio(np.concatenate([np.zeros(4 * SAMPLING_RATE, np.float32), clip.signal]))
    moved = {word.text: word.start for word in transcribe(embedded, later).segments}
    now = transcribe(embedded, clip).segments
    shared = [word for word in now if word.text in moved]
    assert len(shared) >= 0.7 * len(now)
    assert np.median([moved[word.text] - word.start for word in shared]) == pytest.approx(4.0, abs=0.15)


def test_threads_and_order_do_not_change_the_words(
    embedded: FasterWhisperTranscriber, read_speech: list[tuple[Audio, str]]
) -> None:
    clips = [audio.crop(0.0, 2.0) for audio, _ in read_speech]
    alone = [transcribe(embedded, clip) for clip in clips]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda clip: transcribe(embedded, clip), reversed(clips))) == alone[::-1]


def test_a_long_recording_is_cut_in_pauses_and_keeps_its_words(
    embedded: FasterWhisperTranscriber, read_speech: list[tuple[Audio, str]]
) -> None:
    pause = np.zeros(SAMPLING_RATE, np.float32)
    parts = [part for audio, _ in read_speech * 2 for part in (audio.signal, pause)]
    long = Audio(np.concatenate(parts))
    windows = cut_recording(DETECTOR.detect(long), long.duration)
    assert len(windows) >= 2 and all(window.end - window.start <= MAX_CLIP_DURATION for window in windows)
    transcript = transcribe(embedded, long)
    check_form(transcript, embedded, long)
    assert transcript.segments[-1].end > long.duration - 4.0
    said = " ".join(normalize(said) for _, said in read_speech * 2)
    assert jiwer.wer(said, normalize(transcript.text)) < 0.2


def test_sentences_that_people_say_again_and_again_keep_their_words(
    embedded: FasterWhisperTranscriber, shared_data: Path
) -> None:
    names = [f"03-01-0{emotion}-01-0{sentence}-01-01" for emotion in (1, 2, 3, 5) for sentence in (1, 2)]
    clips = [decode_file(next((shared_data / "ravdess" / "audio").glob(f"{name}.*"))) for name in names]
    long = Audio(np.concatenate([clip.signal for clip in clips]))
    said = "kids are talking by the door dogs are sitting by the door " * 4
    transcript = transcribe(embedded, long)
    check_form(transcript, embedded, long)
    assert jiwer.wer(said, normalize(transcript.text)) < 0.15


def test_no_words_are_invented_on_silence_noise_and_tones(embedded: FasterWhisperTranscriber) -> None:
    random, time = np.random.default_rng(0), np.arange(4 * SAMPLING_RATE) / SAMPLING_RATE
    white = random.normal(0.0, 0.1, len(time))
    brown = np.cumsum(white) - np.linspace(0.0, white.sum(), len(time))
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6))
    for signal in (np.zeros(len(time)), white, brown / np.abs(brown).max(), 0.2 * chord):
        audio = Audio(signal.astype(np.float32))
        assert transcribe(embedded, audio).text == ""
        # Without the detector's veto: the guards of the search alone.
        assert embedded.transcribe(audio, (SpeechRegion(0.0, audio.duration),)).text == ""


@pytest.mark.slow
def test_hardly_any_words_are_invented_on_sounds_that_pass_the_detector(
    embedded: FasterWhisperTranscriber, shared_data: Path
) -> None:
    paths = sorted((shared_data / "noise" / "audio").iterdir())
    spoken = {path.name: (audio, regions) for path in paths if (regions := DETECTOR.detect(audio := decode_file(path)))}
    assert len(spoken) >= 20
    invented = {name for name, (audio, regions) in spoken.items() if embedded.transcribe(audio, regions).text}
    # Two people sneeze: "Thank you!"
    assert invented <= {"2-130978-A.opus", "2-130979-A.flac"}


def test_words_far_from_speech_are_left_out(
    embedded: FasterWhisperTranscriber, read_speech: list[tuple[Audio, str]]
) -> None:
    audio = read_speech[0][0]
    assert embedded.transcribe(audio, ()).segments == ()
    half = embedded.transcribe(audio, (SpeechRegion(0.0, audio.duration / 2),)).segments
    whole = embedded.transcribe(audio, (SpeechRegion(0.0, audio.duration),)).segments
    assert 0 < len(half) < len(whole)
    assert half[-1].start < audio.duration / 2 + 0.5


def test_the_settings_name_the_embedded_transcriber() -> None:
    for name in ("auto", "embedded"):
        chosen = load_transcriber(Settings(transcriber=name))
        assert isinstance(chosen.transcriber, FasterWhisperTranscriber) and chosen.transcriber.name == NAME
        assert chosen.reason == f"Transcripts by the embedded {NAME}."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the embedded weights, as another CTranslate2 folder."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in find_weights().iterdir():
        (copy / path.name).symlink_to(path)
    return copy


def test_any_folder_in_this_form_is_loaded(folder: Path) -> None:
    chosen = load_transcriber(Settings(transcriber=str(folder), transcriber_threads=2, device="cpu"))
    assert isinstance(chosen.transcriber, FasterWhisperTranscriber)
    assert chosen.reason == f"Transcripts by {folder}, as set."
    assert chosen.transcriber.transcribe(synthetic_speech(1.0), ()).text == ""


def test_a_model_of_several_languages_says_which_is_spoken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(find_weights() / "tokenizer.json"))
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    # CTranslate2 takes a vocabulary of this size for one of many languages.
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=51865, num_mel_bins=80, **sizes, **heads))
    languages = ("<|en|>", "<|de|>")
    model.generation_config.lang_to_id = {name: tokenizer.convert_tokens_to_ids(name) for name in languages}
    model.save_pretrained(tmp_path / "checkpoint")
    tokenizer.save_pretrained(tmp_path / "checkpoint")
    converter = TransformersConverter(str(tmp_path / "checkpoint"), copy_files=["tokenizer.json"])
    converter.convert(str(tmp_path / "model"), quantization="float16")
    transcriber = load_checkpoint(tmp_path / "model")
    audio = synthetic_speech(1.0)
    transcript = transcriber.transcribe(audio, (SpeechRegion(0.0, 1.0),))
    check_form(transcript, transcriber, audio)
    assert transcript.language in ("en", "de")
    german = FasterWhisperTranscriber(tmp_path / "model", language="de").transcribe(audio, (SpeechRegion(0.0, 1.0),))
    assert german.language == "de"


def damage(folder: Path, content: bytes) -> Path:
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).write_bytes(content)
    return folder


def test_damaged_folders_are_refused(folder: Path) -> None:
    weights = (folder / WEIGHTS_FILE).read_bytes()
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 75537502\n"
    with pytest.raises(ModelUnavailableError, match="Git LFS"):
        load_checkpoint(damage(folder, pointer))
    with pytest.raises(ModelUnavailableError, match="could not be read"):
        load_checkpoint(damage(folder, weights[: len(weights) // 2]))
    with pytest.raises(ModelUnavailableError, match="could not be read"):
        load_checkpoint(damage(folder, b"\x80\x02}q\x00." * 500))
    # In the middle lies a matrix in half precision, where 0xFFFF is NaN.
    middle = len(weights) // 2
    with pytest.raises(ModelUnavailableError, match=r"\(NaN\) in "):
        load_checkpoint(damage(folder, weights[:middle] + b"\xff" * 64 + weights[middle + 64 :]))


def test_incomplete_folders_are_refused(folder: Path) -> None:
    (folder / "vocabulary.txt").unlink()
    with pytest.raises(ModelUnavailableError, match="cannot be loaded: .*vocabulary"):
        load_checkpoint(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnavailableError, match=r"tokenizer\.json is missing"):
        load_checkpoint(folder)
