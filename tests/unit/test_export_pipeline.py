"""The embedded pipeline as one ONNX file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from ser.acoustic.classifier import ExportedPipeline, load_acoustic_model
from ser.acoustic.model import HeadModel
from ser.acoustic.places import KnownPlaces
from ser.checkpoints.folder import load_meta
from ser.encoder.embedded import log_mel
from ser.errors import ExportError, ModelUnavailableError
from ser.export.models import export_model
from ser.labels import EMOTIONS
from ser.testing import synthetic_speech


@pytest.fixture(scope="module")
def model() -> HeadModel:
    loaded = load_acoustic_model("embedded")
    assert isinstance(loaded, HeadModel)
    return loaded


def test_the_exported_pipeline_answers_as_the_model(model: HeadModel, tmp_path: Path) -> None:
    int8 = model.encoder.sha256.endswith("int8")
    clip = synthetic_speech(1.3, seed=3)
    parity = export_model("embedded", tmp_path / "out", int8=int8, clips=[clip]).parity
    assert parity.clips == 7 and parity.same_label == 1.0 and parity.max_difference <= parity.tolerance
    exported = load_acoustic_model(tmp_path / "out")
    assert isinstance(exported, ExportedPipeline) and exported.labels == EMOTIONS
    ours, theirs = model.classify(clip), exported.classify(clip)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-3)
    assert (ours.intensity is None) == (theirs.intensity is None)
    # The file needs nothing of this project.
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"mels": log_mel(clip.signal)[None]})
    np.testing.assert_allclose(scores[0], theirs.probabilities, atol=1e-6)
    assert load_meta(tmp_path / "out").metrics["export"]["source_sha256"] == model.sha256  # type: ignore[index]


def test_the_exported_pipeline_is_as_sure_in_known_places(model: HeadModel, tmp_path: Path) -> None:
    clip = synthetic_speech(1.0, seed=4)
    standard = model.head.standardise(model.embed_batch([clip]))
    basis = np.random.default_rng(0).standard_normal((standard.shape[1], 3)).astype(np.float32) / 100.0
    centers = np.concatenate([standard @ basis + 0.6, standard @ basis - 5.0])
    head = replace(model.head, places=KnownPlaces(basis, centers, np.array([1.2, 0.8], np.float32), 3.0))
    placed = HeadModel(head, model.encoder, model.meta)
    assert 0.05 < head.places.familiarity(standard)[0] < 0.999, "no edge case"
    head.save(tmp_path / "head", model.meta)
    export_model(str(tmp_path / "head"), tmp_path / "out", int8=model.encoder.sha256.endswith("int8"), clips=[clip])
    answers = [each.classify(clip).probabilities for each in (placed, load_acoustic_model(tmp_path / "out"))]
    np.testing.assert_allclose(*answers, atol=1e-3)
    assert not np.allclose(answers[0], model.classify(clip).probabilities, atol=1e-2)


def test_what_differs_too_much_leaves_nothing_behind(model: HeadModel, tmp_path: Path) -> None:
    other = not model.encoder.sha256.endswith("int8")
    with pytest.raises(ExportError, match="answers differently"):
        export_model("embedded", tmp_path / "out", int8=other, tolerance=1e-7)
    assert not any(tmp_path.iterdir())


def test_a_damaged_export_is_refused(tmp_path: Path) -> None:
    export_model("embedded", tmp_path / "out", int8=True, tolerance=1.0)
    graph = tmp_path / "out" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(ModelUnavailableError, match="damaged or was replaced"):
        load_acoustic_model(tmp_path / "out")
