"""Finished audio classification checkpoints, tiny and random, as acoustic models."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
from transformers import AutoFeatureExtractor, Wav2Vec2Config, Wav2Vec2Model, WhisperForAudioClassification

from ser.acoustic.classifier import load_acoustic_model
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError
from ser.testing import synthetic_speech
from ser.training.gradients.encoder import train
from ser.types import Example
from tests.unit.emotion_checkpoints import write_classifier

CLIPS = [synthetic_speech(d, pitch=p, seed=i) for i, (d, p) in enumerate([(0.9, 120.0), (1.6, 210.0), (0.5, 300.0)])]


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


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (("yes", "no"), "none is"),
        (("angry", "other"), "only anger is"),
        (("joy", "happy", "boredom"), "only happiness is"),
    ],
)
def test_fewer_than_two_of_our_labels_are_refused(tmp_path: Path, labels: tuple[str, ...], found: str) -> None:
    """A single known label would get 100 % of every clip."""
    folder = write_classifier(tmp_path / "m", "wav2vec2", labels)
    with pytest.raises(ModelUnavailableError, match=f"The labels of .* are {', '.join(labels)}; {found} one of anger"):
        load_acoustic_model(folder)


def test_another_sampling_rate_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2", rate=8000)
    with pytest.raises(ModelUnavailableError, match="takes audio at 8000 Hz; 16000 Hz is expected"):
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


def test_a_finished_whisper_head_is_given_what_it_was_trained_on(tmp_path: Path) -> None:
    """Thirty seconds, of which most are padding: another input would shift its answers."""
    folder = write_classifier(tmp_path / "m", "whisper", ("ang", "hap", "neu", "sad"))
    network = WhisperForAudioClassification.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    for clip in (CLIPS[0], synthetic_speech(14.0)):
        inputs = extractor(clip.signal, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            expected = torch.softmax(network(**inputs).logits[0], 0)
        scores = load_acoustic_model(folder).classify(clip).as_dict()
        np.testing.assert_allclose(
            [scores[label] for label in ("anger", "happiness", "neutral", "sadness")], expected, atol=1e-5
        )


def test_a_head_with_several_labels_at_once_gives_shares(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2", ("angry", "happy", "bored"))
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "problem_type": "multi_label_classification"}))
    model = load_acoustic_model(folder)
    scores = model.classify(CLIPS[0])
    logits = model.network.run(model.network_inputs([CLIPS[0].signal]))["logits"][0]
    each = 1.0 / (1.0 + np.exp(-logits))
    assert scores.as_dict()["anger"] == pytest.approx(each[0] / (each[0] + each[1]), abs=1e-5)
    assert scores.unmapped["bored"] == pytest.approx(each[2] / each.sum(), abs=1e-5)


CODE = """
from pathlib import Path
Path({marker!r}).write_text("run")
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification
class Config(Wav2Vec2Config): model_type = {kind!r}
class Extractor(Wav2Vec2FeatureExtractor): pass
class Model(Wav2Vec2ForSequenceClassification): config_class = Config
"""


@pytest.mark.parametrize("kind", ["wav2vec2", "crystal_ball"])
@pytest.mark.parametrize("use", ["answering", "training"])
def test_code_of_a_checkpoint_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, use: str
) -> None:
    """Not even by a "y" at the prompt that transformers would show."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    folder, marker = write_classifier(tmp_path / "m", "wav2vec2"), tmp_path / "marker"
    (folder / "evil.py").write_text(CODE.format(marker=str(marker), kind=kind))
    for file, names in (
        ("config.json", {"AutoConfig": "evil.Config", "AutoModelForAudioClassification": "evil.Model"}),
        ("preprocessor_config.json", {"AutoFeatureExtractor": "evil.Extractor"}),
    ):
        settings = json.loads((folder / file).read_text()) | {"auto_map": names}
        if file == "config.json":
            settings["model_type"] = kind
        (folder / file).write_text(json.dumps(settings))
    examples = [Example(tmp_path / f"{i}.wav", ("anger", "sadness")[i % 2], f"s{i}") for i in range(4)]
    for i, example in enumerate(examples):
        clip = synthetic_speech(0.6, seed=i)
        soundfile.write(example.path, clip.signal, 16_000)
    try:
        if use == "answering":
            load_acoustic_model(folder)
        else:
            train(examples, TrainConfig(epochs=1), init=folder)
        assert kind == "wav2vec2"
    except ModelUnavailableError as error:
        assert "never run here" in str(error)
    assert not marker.exists()


@pytest.mark.parametrize("harm", ["pointer", "truncated", "nan", "settings"])
@pytest.mark.parametrize("use", ["answering", "training"])
def test_damaged_checkpoints_are_refused_in_a_sentence(tmp_path: Path, harm: str, use: str) -> None:
    folder = write_classifier(tmp_path / "m", "hubert")
    weights = folder / "model.safetensors"
    if harm == "pointer":
        weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    elif harm == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif harm == "nan":
        tensors = safetensors.torch.load_file(weights)
        tensors["projector.bias"][0] = float("nan")
        safetensors.torch.save_file(tensors, weights)
    else:
        (folder / "config.json").write_text("{")
    expected = {
        "pointer": "git lfs pull",
        "truncated": "truncated",
        "nan": r"\(NaN\)",
        "settings": "cannot be read|not a valid JSON",
    }
    examples = [Example(tmp_path / "none.wav", label, "s") for label in ("anger", "sadness")]
    with pytest.raises(ModelUnavailableError, match=expected[harm]):
        if use == "answering":
            load_acoustic_model(folder)
        else:
            train(examples, init=folder)
