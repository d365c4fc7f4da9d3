import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2Model,
)

from ser.acoustic.classifier import EMBEDDED_FOLDER, cut_windows, load_acoustic_model
from ser.acoustic.network import AcousticConfig, AcousticFeatureExtractor, AcousticModelForAudioClassification
from ser.checkpoints import Meta, file_sha256, save_checkpoint
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech
from ser.types import Audio
from tests.unit.emotion_checkpoints import write_classifier

IEMOCAP = ("neu", "hap", "ang", "sad")
CLIPS = [synthetic_speech(d, pitch=p, seed=i) for i, (d, p) in enumerate([(0.9, 120.0), (1.6, 210.0), (0.5, 300.0)])]


def save_own(folder: Path, temperature: float = 1.0) -> Path:
    torch.manual_seed(0)
    network = AcousticModelForAudioClassification(AcousticConfig(**TrainConfig.tiny().network, num_labels=7))

    def write(target: Path) -> None:
        network.save_pretrained(target)
        AcousticFeatureExtractor().save_pretrained(target)

    save_checkpoint(folder, write, Meta("own", EMOTIONS, temperature))
    return folder


def test_own_models_answer_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    model = load_acoustic_model(save_own(tmp_path / "m"))
    together = model.classify_batch(CLIPS)
    for clip, scores in zip(CLIPS, together, strict=True):
        np.testing.assert_allclose(model.classify(clip).probabilities, scores.probabilities, atol=1e-5)
        assert sum(scores.probabilities) == pytest.approx(1.0, abs=1e-6)
    assert model.labels == EMOTIONS and model.name == "own"
    assert model.sha256 == file_sha256(tmp_path / "m" / "model.safetensors")


def test_the_temperature_flattens_the_scores(tmp_path: Path) -> None:
    sharp = load_acoustic_model(save_own(tmp_path / "a")).classify(CLIPS[0])
    flat = load_acoustic_model(save_own(tmp_path / "b", temperature=5.0)).classify(CLIPS[0])
    assert flat.label == sharp.label and flat.confidence < sharp.confidence
    assert flat.entropy > sharp.entropy


def test_eight_threads_get_the_answers_that_one_gets(tmp_path: Path) -> None:
    model = load_acoustic_model(save_own(tmp_path / "m"))
    expected = [model.classify(clip).probabilities for clip in CLIPS]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: model.classify(CLIPS[i % 3]).probabilities, range(48)))
    for i, answer in enumerate(answers):
        np.testing.assert_allclose(answer, expected[i % 3], atol=1e-6)


@pytest.mark.parametrize("samples", [1, 500, 15 * 16_000])
def test_very_short_and_long_recordings_are_answered(tmp_path: Path, samples: int) -> None:
    model = load_acoustic_model(save_own(tmp_path / "m"))
    signal = np.resize(CLIPS[1].signal, samples).astype(np.float32)
    assert sum(model.classify(Audio(signal)).probabilities) == pytest.approx(1.0)


def test_replaced_weights_are_refused(tmp_path: Path) -> None:
    folder = save_own(tmp_path / "m")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(ModelUnavailableError, match="is damaged or was replaced"):
        load_acoustic_model(folder)


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper", "ast"])
def test_published_architectures_answer_with_our_labels(tmp_path: Path, kind: str) -> None:
    model = load_acoustic_model(write_classifier(tmp_path / kind, kind))
    assert model.labels == ("anger", "happiness", "neutral", "sadness")
    together = model.classify_batch(CLIPS)
    for clip, scores in zip(CLIPS, together, strict=True):
        alone = model.classify(clip)
        np.testing.assert_allclose(alone.probabilities, scores.probabilities, atol=1e-5)
        assert sum(alone.probabilities) == pytest.approx(1.0)
        assert alone.as_dict()["disgust"] == 0.0 and not alone.unmapped
    assert len(model.sha256) == 64


def test_labels_we_do_not_know_are_reported_with_their_share(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2", ("angry", "boredom", "contempt", "happy"))
    model = load_acoustic_model(folder)
    scores = model.classify(CLIPS[0])
    assert set(scores.unmapped) == {"boredom", "contempt"}
    assert 0.0 < sum(scores.unmapped.values()) < 1.0
    assert sum(scores.probabilities) == pytest.approx(1.0)
    assert model.unmapped_labels == ["boredom", "contempt"]


def test_several_outputs_of_one_emotion_are_added(tmp_path: Path) -> None:
    both = load_acoustic_model(write_classifier(tmp_path / "m", "wav2vec2", ("calm", "neutral", "angry", "sad")))
    assert both.labels == ("anger", "neutral", "sadness")
    assert both.classify(CLIPS[0]).as_dict()["neutral"] > 0.0


def test_a_model_without_any_of_our_labels_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2", ("yes", "no"))
    with pytest.raises(ModelUnavailableError, match="None of the labels of .* is an emotion we know: yes, no"):
        load_acoustic_model(folder)


def test_another_sampling_rate_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2", rate=8000)
    with pytest.raises(ModelUnavailableError, match="hears speech at 8000 Hz; 16000 Hz is expected"):
        load_acoustic_model(folder)


def test_a_checkpoint_without_a_trained_head_is_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path / "m", "wav2vec2")
    config = Wav2Vec2Config.from_pretrained(tmp_path / "m")
    Wav2Vec2Model(config).save_pretrained(tmp_path / "m")
    with pytest.raises(ModelUnavailableError, match="lacks trained weights for"):
        load_acoustic_model(tmp_path / "m")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path / "m", "wav2vec2")
    (tmp_path / "m" / "model.safetensors").rename(tmp_path / "m" / "pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match="safetensors"):
        load_acoustic_model(tmp_path / "m")


def test_a_model_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    write_classifier(tmp_path / "m", "wav2vec2")
    (tmp_path / "m" / "config.json").write_text(json.dumps({"model_type": "crystal_ball"}))
    with pytest.raises(ModelUnavailableError, match="holds no model that transformers knows"):
        load_acoustic_model(tmp_path / "m")


def test_windows_cover_everything() -> None:
    signal = np.arange(16_000 * 25, dtype=np.float32)
    windows = cut_windows(signal, 6.0)
    assert {len(w) for w in windows} == {96_000}
    assert windows[0][0] == signal[0] and windows[-1][-1] == signal[-1]
    assert all(second[0] <= first[-1] for first, second in zip(windows, windows[1:], strict=False))


def test_the_embedded_weights_are_whole_and_small() -> None:
    model = load_acoustic_model("embedded")
    assert model.labels == EMOTIONS
    assert (EMBEDDED_FOLDER / "model.safetensors").stat().st_size < 10_000_000
    assert sum(model.classify(CLIPS[1]).probabilities) == pytest.approx(1.0)
