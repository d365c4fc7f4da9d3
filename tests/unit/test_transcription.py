import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jiwer
import numpy as np
import pytest
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from ser.audio import decode_file
from ser.config import Settings
from ser.errors import ModelUnavailableError
from ser.transcription import TranscriberChoice, load_transcriber
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.chunks import group_regions
from ser.transcription.ctc import CtcTranscriber
from ser.transcription.pocketsphinx import PocketsphinxTranscriber
from ser.transcription.whisper import WhisperTranscriber
from ser.types import Audio, SpeechRegion, Transcriber, Transcript
from ser.vad import SileroDetector
from tests.unit.recordings import voice
from tests.unit.speech_checkpoints import WORDS, write_wav2vec2, write_whisper
from tests.unit.test_hub import run_without_network

LONG = Audio(np.tile(voice(3.0), 11))
REGIONS = (SpeechRegion(0.2, 1.4), SpeechRegion(2.2, 32.0))


@pytest.fixture(scope="module")
def pocketsphinx() -> PocketsphinxTranscriber:
    return PocketsphinxTranscriber()


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def speech(shared_data: Path) -> list[Audio]:
    return [decode_file(path) for path in sorted((shared_data / "read-speech" / "audio").iterdir())[:4]]


def check_form(transcript: Transcript, transcriber: Transcriber, audio: Audio) -> None:
    assert transcript.source == transcriber.name
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    for segment in transcript.segments:
        assert 0 <= segment.start <= segment.end <= audio.duration + 1e-6
        assert segment.confidence is not None and 0 <= segment.confidence <= 1
        assert segment.text and segment.text == segment.text.strip()
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)


def test_read_speech_is_understood(shared_data: Path, pocketsphinx: PocketsphinxTranscriber) -> None:
    detector = SileroDetector()
    said, heard = [], []
    for line in (shared_data / "read-speech" / "metadata.csv").read_text().splitlines()[2:5]:
        name, _, rest = line.partition(",")
        said.append(rest.split(",LJ")[0].strip('"').lower())
        audio = decode_file(shared_data / "read-speech" / name)
        transcript = pocketsphinx.transcribe(audio, detector.detect(audio))
        check_form(transcript, pocketsphinx, audio)
        assert transcript.language == "en"
        heard.append(transcript.text.lower())
    words = jiwer.Compose([jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip()])
    assert jiwer.wer(words(said), words(heard)) < 0.5


def test_times_count_from_the_start_of_the_recording(
    pocketsphinx: PocketsphinxTranscriber, speech: list[Audio]
) -> None:
    clip, pause = speech[0].crop(0.0, 5.0), np.zeros(4 * 16_000, np.float32)
    later = Audio(np.concatenate([pause, clip.signal]))
    detector = SileroDetector()
    now = pocketsphinx.transcribe(clip, detector.detect(clip))
    then = pocketsphinx.transcribe(later, detector.detect(later))
    moved = {word.text: word.start for word in then.segments}
    shared = [word for word in now.segments if word.text in moved]
    assert len(shared) >= 0.7 * len(now.segments)
    assert np.median([moved[word.text] - word.start for word in shared]) == pytest.approx(4.0, abs=0.1)


def test_threads_and_order_do_not_change_the_words(pocketsphinx: PocketsphinxTranscriber, speech: list[Audio]) -> None:
    def transcribe(audio: Audio) -> Transcript:
        return pocketsphinx.transcribe(audio, [SpeechRegion(0.0, min(1.5, audio.duration))])

    alone = [transcribe(audio) for audio in speech]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(transcribe, reversed(speech))) == alone[::-1]


def test_without_regions_there_are_no_words(pocketsphinx: PocketsphinxTranscriber) -> None:
    assert pocketsphinx.transcribe(LONG, ()) == Transcript("", "en", (), pocketsphinx.name)


def test_stretches_are_short_apart_and_cover_the_speech() -> None:
    random = np.random.default_rng(5)
    for _ in range(100):
        edges = np.cumsum(random.exponential(2.0, 2 * int(random.integers(1, 20))))
        regions = [SpeechRegion(float(start), float(end)) for start, end in edges.reshape(-1, 2)]
        duration = float(edges[-1]) + 0.1
        stretches = group_regions(regions, duration)
        assert all(0 <= s.start < s.end <= duration and s.end - s.start <= 28.0 + 1e-6 for s in stretches)
        assert all(one.end <= two.start + 1e-9 for one, two in zip(stretches, stretches[1:], strict=False))
        for region in regions:
            covered = sum(max(0.0, min(region.end, s.end) - max(region.start, s.start)) for s in stretches)
            assert covered == pytest.approx(region.end - region.start)


def test_whisper_writes_words_with_times(whisper: Path) -> None:
    transcriber = load_checkpoint(whisper, "cpu", "tiny")
    assert isinstance(transcriber, WhisperTranscriber) and transcriber.name == "tiny"
    transcript = transcriber.transcribe(LONG, REGIONS)
    check_form(transcript, transcriber, LONG)
    assert transcript.language in ("en", "de")
    assert set(transcript.text.split()) <= {word.lstrip("Ġ") for word in WORDS}
    assert len(transcript.segments) > len(group_regions(REGIONS, LONG.duration)) >= 3


def test_whisper_can_be_told_the_language(whisper: Path) -> None:
    for language in ("en", "de"):
        transcriber = WhisperTranscriber(whisper, language=language)
        assert transcriber.transcribe(LONG, REGIONS[:1]).language == language


def test_whisper_without_alignment_gives_phrases(tmp_path: Path) -> None:
    transcriber = load_checkpoint(write_whisper(tmp_path / "whisper", aligned=False))
    transcript = transcriber.transcribe(LONG, REGIONS)
    check_form(transcript, transcriber, LONG)
    stretches = group_regions(REGIONS, LONG.duration)
    assert [(segment.start, segment.end) for segment in transcript.segments] == [(s.start, s.end) for s in stretches]


def test_wav2vec2_spells_words_with_times(wav2vec2: Path) -> None:
    transcriber = load_checkpoint(wav2vec2)
    assert isinstance(transcriber, CtcTranscriber)
    transcript = transcriber.transcribe(LONG, REGIONS[:1])
    check_form(transcript, transcriber, LONG)
    assert transcript.text and transcript.language is None
    assert not {"<", "|"} & set(transcript.text)


def test_other_kinds_of_checkpoints_are_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = Wav2Vec2Config(**sizes, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2)
    Wav2Vec2ForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailableError) as error:
        load_checkpoint(tmp_path)
    assert str(error.value) == (
        f"The checkpoint in '{tmp_path}' is a Wav2Vec2ForSequenceClassification; a speech recognition model is "
        "expected, such as WhisperForConditionalGeneration or Wav2Vec2ForCTC. Name another one."
    )


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    folder = write_wav2vec2(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelUnavailableError, match=r"^The checkpoint in '.*' cannot be loaded: "):
        load_checkpoint(folder)


def test_the_settings_choose(whisper: Path) -> None:
    assert load_transcriber(Settings(transcriber="none")) == TranscriberChoice(
        None, "No transcripts: switched off in the settings."
    )
    chosen = load_transcriber(Settings(transcriber="pocketsphinx"))
    assert isinstance(chosen.transcriber, PocketsphinxTranscriber)
    for setting, ending in (("whisper", ", as set."), ("auto", ".")):
        chosen = load_transcriber(Settings(transcriber=setting, whisper_model=str(whisper), device="cpu"))
        assert isinstance(chosen.transcriber, WhisperTranscriber)
        assert chosen.reason == f"Transcripts by {whisper}{ending}"


def test_auto_falls_back_where_the_folder_is_unusable_and_whisper_does_not(tmp_path: Path) -> None:
    settings = {"whisper_model": str(tmp_path), "device": "cpu"}
    chosen = load_transcriber(Settings(transcriber="auto", **settings))
    assert isinstance(chosen.transcriber, PocketsphinxTranscriber)
    assert chosen.reason == (
        f"Transcripts by pocketsphinx: '{tmp_path}' is no usable checkpoint: config.json is missing. "
        "Save the model with save_pretrained."
    )
    with pytest.raises(ModelUnavailableError):
        load_transcriber(Settings(transcriber="whisper", **settings))


def test_without_a_hub_auto_decides_at_once(tmp_path: Path) -> None:
    code = """
import time
from ser.config import Settings
from ser.transcription import load_transcriber
start = time.monotonic()
choice = load_transcriber(Settings(transcriber="auto"))
assert time.monotonic() - start < 6, time.monotonic() - start
print(choice.transcriber.name.split()[0], "|", choice.reason)
"""
    assert run_without_network(code, tmp_path).strip() == (
        "pocketsphinx | Transcripts by pocketsphinx: openai/whisper-base is not on this machine and no model hub can "
        "be reached."
    )


def test_importing_needs_neither_transformers_nor_torch() -> None:
    code = "import sys, ser.transcription; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
