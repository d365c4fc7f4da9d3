"""Checkpoints of transformers, finished or fine-tuned here, in ONNX and TorchScript form."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx

from ser.acoustic.classifier import load_acoustic_model
from ser.checkpoints.folder import MODEL_FILE
from ser.checkpoints.torch_network import SCRIPT_FILE
from ser.cli import main
from ser.errors import ExportError, ModelUnavailableError
from ser.export.models import TOLERANCES, compare, export_model
from ser.testing import BandEnergyModel, synthetic_speech
from ser.training.gradients.encoder import tune_encoder
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, recordings, write_corpus

CLIPS = [synthetic_speech(d, pitch=p, seed=i) for i, (d, p) in enumerate([(0.9, 120.0), (7.1, 210.0), (0.5, 300.0)])]
FORMS = ("onnx", "torchscript")


pytestmark = pytest.mark.usefixtures("one_thread")


def assert_alike(folder: Path, other: Path, tolerance: float) -> None:
    before, after = load_acoustic_model(folder), load_acoustic_model(other)
    assert before.labels == after.labels and before.sha256 != "" != after.sha256
    together = after.classify_batch(CLIPS)
    for clip, scores in zip(CLIPS, together, strict=True):
        np.testing.assert_allclose(scores.probabilities, before.classify(clip).probabilities, atol=tolerance)
        np.testing.assert_allclose(scores.probabilities, after.classify(clip).probabilities, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm", "whisper", "ast"])
def test_finished_checkpoints_answer_as_before(tmp_path: Path, kind: str, form: str) -> None:
    folder = write_classifier(tmp_path / kind, kind, ("ang", "bored", "sad"))
    export = export_model(folder, tmp_path / "out", form=form)
    assert export.parity.max_difference <= TOLERANCES[False]
    assert_alike(folder, tmp_path / "out", 1e-4)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    graph = MODEL_FILE if form == "onnx" else SCRIPT_FILE
    assert files == {"config.json", "preprocessor_config.json", "meta.json", graph}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "whisper", "ast"])
def test_encoders_fine_tuned_here_answer_as_before(tmp_path: Path, kind: str, form: str) -> None:
    checkpoint = write_classifier(tmp_path / kind, kind, layers=2)
    tune_encoder(checkpoint, recordings(), config("full")).save(tmp_path / "tuned")
    export_model(tmp_path / "tuned", tmp_path / "out", form=form)
    assert_alike(tmp_path / "tuned", tmp_path / "out", 1e-4)


def test_int8_computes_in_integers_and_stays_near(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "hubert", layers=2)
    export = export_model(folder, tmp_path / "small", int8=True)
    assert export.quantized == "int8" and 0.0 < export.parity.max_difference < 0.1
    operators = {node.op_type for node in onnx.load(tmp_path / "small" / MODEL_FILE).graph.node}
    assert "MatMulInteger" in operators
    with pytest.raises(ExportError, match="int8 is for ONNX; torchscript keeps float32"):
        export_model(folder, tmp_path / "script", form="torchscript", int8=True)


def test_a_head_on_a_frozen_encoder_is_refused(tmp_path: Path) -> None:
    checkpoint = write_classifier(tmp_path / "m", "hubert")
    tune_encoder(checkpoint, recordings(), config("frozen")).save(tmp_path / "frozen")
    with pytest.raises(ExportError, match="is a head on a frozen encoder"):
        export_model(tmp_path / "frozen", tmp_path / "out")


def test_nothing_is_left_of_an_export_that_answers_differently(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "m", "wav2vec2")
    with pytest.raises(ExportError, match="answers differently"):
        export_model(folder, tmp_path / "out", int8=True, tolerance=0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_another_model_is_no_parity() -> None:
    with pytest.raises(ExportError, match="answers differently"):
        compare(BandEnergyModel(), BandEnergyModel(seed=1), CLIPS, 1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_export_is_refused(tmp_path: Path, form: str) -> None:
    export_model(write_classifier(tmp_path / "m", "wav2vec2"), tmp_path / "out", form=form)
    graph = tmp_path / "out" / (MODEL_FILE if form == "onnx" else SCRIPT_FILE)
    graph.write_bytes(graph.read_bytes()[:-9])
    with pytest.raises(ModelUnavailableError, match="is damaged or was replaced"):
        load_acoustic_model(tmp_path / "out")
    with pytest.raises(ExportError, match="is exported already"):
        export_model(tmp_path / "out", tmp_path / "again")


@pytest.mark.parametrize("form", FORMS)
def test_the_command_reports_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    folder, corpus = write_classifier(tmp_path / "m", "wav2vec2"), write_corpus(tmp_path / "corpus")
    arguments = ["export", "--model", str(folder), "--format", form, "--out", str(tmp_path / "out")]
    assert main([*arguments, "--data", str(corpus), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["format"] == form and report["uar"]["change"] == pytest.approx(0.0, abs=1e-6)
    assert report["bytes"] == (tmp_path / "out" / (MODEL_FILE if form == "onnx" else SCRIPT_FILE)).stat().st_size
    assert main(arguments) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_embedded_encoder_has_no_torchscript_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", "--format", "torchscript", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "The embedded encoder runs on onnxruntime, not on torch" in capsys.readouterr().err
