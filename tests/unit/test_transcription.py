import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

from ser.config import Settings
from ser.encoder.weights import NAME
from ser.errors import ModelUnavailableError
from ser.protocols import Transcriber
from ser.transcription import TranscriberChoice, load_transcriber
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.faster_whisper import FasterWhisperTranscriber
from ser.transcription.transformers_form import CtcTranscriber, WhisperTranscriber
from ser.transcription.windows import group_regions
from ser.types import Audio, SpeechRegion, Transcript
from tests.unit.recordings import voice
from tests.unit.speech_checkpoints import WORDS, write_wav2vec2, write_whisper
from tests.unit.test_hub import run_without_network

LONG = Audio(np.tile(voice(3.0), 11))
REGIONS = (SpeechRegion(0.2, 1.4), SpeechRegion(2.2, 32.0))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav2vec2(tmp_path_factory.mktemp("wav2vec2"))


def check_form(transcript: Transcript, transcriber: Transcriber, audio: Audio) -> None:
    assert transcript.source == transcriber.name
    assert transcript.text == " ".join(segment.text for segment in transcript.segments)
    for segment in transcript.segments:
        assert 0 <= segment.start <= segment.end <= audio.duration + 1e-6
        assert segment.confidence is not None and 0 <= segment.confidence <= 1
        assert segment.text and segment.text == segment.text.strip()
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)


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
    for content, reason in (
        (b"damaged", "truncated or damaged"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
    ):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelUnavailableError, match=reason):
            load_checkpoint(folder)


def test_the_settings_choose(whisper: Path) -> None:
    assert load_transcriber(Settings(transcriber="none")) == TranscriberChoice(
        None, "No transcripts: switched off in the settings."
    )
    named = {"whisper": ", as set.", "auto": ".", str(whisper): ", as set."}
    for setting, ending in named.items():
        chosen = load_transcriber(Settings(transcriber=setting, whisper_model=str(whisper), device="cpu"))
        assert isinstance(chosen.transcriber, WhisperTranscriber)
        assert chosen.reason == f"Transcripts by {whisper}{ending}"


def test_pocketsphinx_is_said_to_be_gone() -> None:
    chosen = load_transcriber(Settings(transcriber="pocketsphinx"))
    assert isinstance(chosen.transcriber, FasterWhisperTranscriber)
    assert chosen.reason == (
        f"Transcripts by the embedded {NAME}: pocketsphinx is no longer included; set SER_TRANSCRIBER to 'embedded'."
    )


def test_auto_falls_back_if_the_folder_is_unusable_and_whisper_does_not(tmp_path: Path) -> None:
    settings = {"whisper_model": str(tmp_path), "device": "cpu"}
    chosen = load_transcriber(Settings(transcriber="auto", **settings))
    assert isinstance(chosen.transcriber, FasterWhisperTranscriber)
    assert chosen.reason == (
        f"Transcripts by the embedded {NAME}: '{tmp_path}' is no usable checkpoint: config.json is missing. "
        "Save the model with save_pretrained."
    )
    for setting in ("whisper", str(tmp_path), "vosk"):
        with pytest.raises(ModelUnavailableError):
            load_transcriber(Settings(transcriber=setting, **settings))


def test_without_a_hub_auto_decides_at_once(tmp_path: Path) -> None:
    code = """
from ser.config import Settings
from ser.transcription import load_transcriber
print(load_transcriber(Settings(transcriber="auto", whisper_model="openai/whisper-base")).reason)
"""
    assert run_without_network(code, tmp_path).strip() == (
        f"Transcripts by the embedded {NAME}: openai/whisper-base is not on this machine and no model hub can be "
        "reached."
    )


def test_code_of_a_checkpoint_is_not_run(wav2vec2: Path, tmp_path: Path) -> None:
    folder, marker = tmp_path / "foreign", tmp_path / "marker"
    shutil.copytree(wav2vec2, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "foreign",
        "auto_map": {"AutoConfig": "foreign.Foreign", "AutoModelForCTC": "foreign.Foreign"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "foreign.py").write_text(f"open({str(marker)!r}, 'w')\nclass Foreign: pass\n")
    with pytest.raises(ModelUnavailableError, match="code of its own"):
        load_checkpoint(folder)
    assert not marker.exists()
