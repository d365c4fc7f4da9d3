"""Loading an acoustic model by name, and the head on a frozen encoder as a model."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.folders import EMBEDDED_FOLDER, HEAD_FILE
from ser.acoustic.head import ClassifierHead, load_head
from ser.checkpoints.folder import Meta, file_sha256
from ser.encoder.embedded import POOLED_SIZE, embedded_encoder
from ser.errors import ModelUnavailableError, RetiredModelError
from ser.labels import EMOTIONS
from ser.protocols import EmbeddingModel
from ser.testing import synthetic_speech
from ser.types import Audio

CLIPS = [synthetic_speech(d, pitch=p, seed=i) for i, (d, p) in enumerate([(0.9, 120.0), (1.6, 210.0), (0.5, 300.0)])]
LABELS = (*EMOTIONS, "calm")


def drawn_head(temperature: float = 1.0, labels: tuple[str, ...] = LABELS) -> ClassifierHead:
    draw = np.random.default_rng(0)
    return ClassifierHead(
        labels=labels,
        mean=np.zeros(POOLED_SIZE, np.float32),
        scale=np.ones(POOLED_SIZE, np.float32),
        weights=draw.normal(0.0, 0.01, (POOLED_SIZE, len(labels))).astype(np.float32),
        bias=np.zeros(len(labels), np.float32),
        temperature=temperature,
        encoder="embedded",
        encoder_sha256=embedded_encoder().sha256,
        intensity_weights=draw.normal(0.0, 0.01, POOLED_SIZE).astype(np.float32),
    )


def save(folder: Path, head: ClassifierHead | None = None) -> Path:
    head = head or drawn_head()
    head.save(folder, Meta("own", head.labels))
    return folder


def test_heads_answer_alike_alone_and_in_a_batch(tmp_path: Path) -> None:
    model = load_acoustic_model(save(tmp_path / "m"))
    assert isinstance(model, EmbeddingModel)
    together = model.classify_batch(CLIPS)
    for clip, scores in zip(CLIPS, together, strict=True):
        alone = model.classify(clip)
        np.testing.assert_allclose(alone.probabilities, scores.probabilities, atol=1e-6)
        assert sum(scores.probabilities) == pytest.approx(1.0, abs=1e-6)
        assert scores.intensity is not None and 0.0 < scores.intensity < 1.0
        kept = model.classify_embeddings(model.embed_batch([clip]))[0]
        assert kept.probabilities == alone.probabilities
    assert model.labels == EMOTIONS and model.name == "own"
    assert model.sha256 == file_sha256(tmp_path / "m" / HEAD_FILE)


def test_labels_beyond_the_seven_count_as_neutral() -> None:
    head = drawn_head()
    embeddings = embedded_encoder().pooled([CLIPS[0].signal])
    logits = head.logits(embeddings)[0].astype(float)
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    probabilities = head.probabilities(embeddings)[0]
    neutral = EMOTIONS.index("neutral")
    assert probabilities[neutral] == pytest.approx(shares[LABELS.index("neutral")] + shares[LABELS.index("calm")])
    assert probabilities.sum() == pytest.approx(1.0)


def test_the_temperature_flattens_the_scores() -> None:
    embeddings = embedded_encoder().pooled([CLIPS[0].signal])
    sharp, flat = (drawn_head(t).probabilities(embeddings)[0] for t in (1.0, 5.0))
    assert flat.argmax() == sharp.argmax() and flat.max() < sharp.max()


def test_a_profile_takes_the_place_of_the_training_mean() -> None:
    head = drawn_head()
    embeddings = embedded_encoder().pooled([CLIPS[0].signal])
    np.testing.assert_array_equal(head.standardise(embeddings, embeddings[0]), 0.0)
    np.testing.assert_array_equal(head.standardise(embeddings, head.mean), head.standardise(embeddings))


def test_eight_threads_get_the_answers_that_one_gets(tmp_path: Path) -> None:
    model = load_acoustic_model(save(tmp_path / "m"))
    expected = [model.classify(clip).probabilities for clip in CLIPS]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: model.classify(CLIPS[i % 3]).probabilities, range(24)))
    for i, answer in enumerate(answers):
        np.testing.assert_allclose(answer, expected[i % 3], atol=1e-6)


@pytest.mark.parametrize("samples", [1, 500, 15 * 16_000])
def test_very_short_and_long_recordings_are_answered(samples: int) -> None:
    signal = np.resize(CLIPS[1].signal, samples).astype(np.float32)
    assert sum(load_acoustic_model("embedded").classify(Audio(signal)).probabilities) == pytest.approx(1.0)


def test_replaced_and_unfitting_weights_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "m")
    weights = folder / HEAD_FILE
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\1\2\3")
    with pytest.raises(ModelUnavailableError, match="is damaged or was replaced"):
        load_acoustic_model(folder)
    other = replace(drawn_head(), encoder_sha256="0" * 64)
    with pytest.raises(ModelUnavailableError, match="Train it again on this encoder"):
        load_acoustic_model(save(tmp_path / "other", other))
    infinite = drawn_head()
    infinite.weights[0, 0] = np.inf
    with pytest.raises(ModelUnavailableError, match="not finite"):
        load_head(save(tmp_path / "infinite", infinite))
    with pytest.raises(ModelUnavailableError, match="labels are neutral, calm"):
        load_head(save(tmp_path / "one", drawn_head(labels=("neutral", "calm"))))


def test_networks_of_earlier_versions_are_retired(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "ser_acoustic"}))
    (tmp_path / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    with pytest.raises(RetiredModelError, match="earlier version of this program.*Train a new model"):
        load_acoustic_model(tmp_path)


def test_the_embedded_models_are_whole_and_small() -> None:
    model = load_acoustic_model("embedded")
    assert model.labels == EMOTIONS
    assert sum(path.stat().st_size for path in EMBEDDED_FOLDER.parent.rglob("*") if path.is_file()) < 10_000_000


def test_embedding_transcribing_and_an_answer_import_no_torch() -> None:
    code = """
import sys
import numpy as np
from ser import load_recognizer
from ser.encoder.loading import load_encoder
from ser.testing import synthetic_speech
from ser.types import SpeechRegion
steps = (
    lambda: load_encoder().pooled([np.zeros(16000, np.float32)]),
    lambda: load_recognizer().transcriber.transcribe(synthetic_speech(1.0), (SpeechRegion(0.0, 1.0),)),
    lambda: load_recognizer().recognize(synthetic_speech(1.0)),
)
for step in steps:
    step()
    print([name for name in ("torch", "transformers", "peft", "PIL", "cv2") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["[]"] * 3
