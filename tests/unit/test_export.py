import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.network import AcousticConfig, AcousticFeatureExtractor, AcousticModelForAudioClassification
from ser.checkpoints import Meta, file_sha256, save_checkpoint
from ser.cli import main
from ser.config import TrainConfig
from ser.errors import ExportError, ModelUnavailableError
from ser.export.models import TOLERANCES, export_model, write_beside
from ser.export.parity import compare
from ser.labels import EMOTIONS
from ser.testing import BandEnergyModel, synthetic_speech
from tests.unit.emotion_checkpoints import write_classifier

CLIPS = [synthetic_speech(d, pitch=p, seed=i) for i, (d, p) in enumerate([(0.9, 120.0), (7.1, 210.0), (0.5, 300.0)])]


def save_own(folder: Path, **sizes: object) -> Path:
    torch.manual_seed(0)
    network = AcousticModelForAudioClassification(
        AcousticConfig(**{**TrainConfig.tiny().network, "num_labels": 7, **sizes})
    )
    with torch.no_grad():
        for module in network.modules():
            # As after training: of fresh ones many are equal, and the exporter writes equal tensors once.
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.bias.normal_(std=0.1)
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2.0)

    def write(target: Path) -> None:
        (network.half() if sizes else network).save_pretrained(target)
        AcousticFeatureExtractor().save_pretrained(target)

    save_checkpoint(folder, write, Meta("own", EMOTIONS, 1.7))
    return folder


def assert_alike(folder: Path, other: Path, tolerance: float) -> None:
    before, after = load_acoustic_model(folder, backend="torch"), load_acoustic_model(other)
    assert (before.backend, after.backend) == ("torch", "onnx")
    assert before.labels == after.labels
    together = after.classify_batch(CLIPS)
    for clip, scores in zip(CLIPS, together, strict=True):
        np.testing.assert_allclose(scores.probabilities, before.classify(clip).probabilities, atol=tolerance)
        np.testing.assert_allclose(scores.probabilities, after.classify(clip).probabilities, atol=tolerance)


def test_an_exported_network_answers_as_before(tmp_path: Path) -> None:
    export = export_model(save_own(tmp_path / "m"), tmp_path / "out")
    assert_alike(tmp_path / "m", tmp_path / "out", 1e-5)
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert meta["temperature"] == 1.7 and tuple(meta["labels"]) == EMOTIONS
    assert meta["sha256"] == file_sha256(tmp_path / "out" / "model.onnx") == export.exported.sha256
    assert meta["metrics"]["export"]["parity"]["max_difference"] == export.parity.max_difference <= 1e-5


MEMBERS = [{}, {"pitch_channels": []}, {"centred": True}, {"centred": True, "pitch_channels": []}]


@pytest.mark.parametrize("beside", [True, False])
def test_four_networks_in_half_precision_answer_as_before_over_several_windows(tmp_path: Path, beside: bool) -> None:
    folder = save_own(tmp_path / "m", members=MEMBERS)
    out = write_beside(folder).folder if beside else export_model(folder, tmp_path / "out").folder
    assert_alike(folder, out, 1e-5)
    if beside:
        content = (folder / "model.onnx").read_bytes()
        # Parameters are taken from the weights; the recording is normalised once for all networks.
        for tensor in load_file(folder / "model.safetensors").values():
            forms = (tensor.numpy().tobytes(), tensor.float().numpy().tobytes())
            assert tensor.numel() < 256 or not any(form in content for form in forms)
        graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
        mean = next(t.name for t in graph.initializer if t.name.endswith(("feature_mean", "feature_mean.half")))
        users = [node.op_type for node in graph.node if mean.removesuffix(".half") in node.input]
        assert users == ["Sub"]


def test_int8_reaches_all_four_networks(tmp_path: Path) -> None:
    small = export_model(save_own(tmp_path / "m", members=MEMBERS), tmp_path / "small", int8=True, clips=CLIPS)
    assert small.quantized == "int8 static" and small.parity.max_difference <= TOLERANCES["int8"]
    weights = [t for t in onnx.load(small.folder / "model.onnx").graph.initializer if len(t.dims) > 1]
    assert {t.data_type for t in weights if np.prod(t.dims) > 256} == {onnx.TensorProto.INT8}


def test_int8_is_smaller_and_near(tmp_path: Path) -> None:
    plain = export_model(save_own(tmp_path / "m"), tmp_path / "plain")
    small = export_model(tmp_path / "m", tmp_path / "small", int8=True, clips=CLIPS)
    assert (plain.quantized, small.quantized) == (None, "int8 static")
    assert 0.0 < small.parity.max_difference <= TOLERANCES["int8"]
    assert_alike(tmp_path / "m", tmp_path / "small", TOLERANCES["int8"])


@pytest.mark.parametrize("kind", ["wav2vec2", "ast", "whisper"])
def test_published_architectures_are_exported(tmp_path: Path, kind: str) -> None:
    folder = write_classifier(tmp_path / kind, kind)
    export_model(folder, tmp_path / "out")
    assert_alike(folder, tmp_path / "out", 1e-5)


def test_transformers_are_quantised_dynamically(tmp_path: Path) -> None:
    export = export_model(write_classifier(tmp_path / "m", "ast"), tmp_path / "out", int8=True)
    assert export.quantized == "int8 dynamic"
    assert_alike(tmp_path / "m", tmp_path / "out", 0.1)


def test_the_form_beside_the_weights_takes_them_from_there(tmp_path: Path) -> None:
    folder = save_own(tmp_path / "m")
    assert load_acoustic_model(folder).backend == "torch"
    write_beside(folder)
    weights, graph = folder / "model.safetensors", folder / "model.onnx"
    assert graph.stat().st_size < 0.5 * weights.stat().st_size + 60_000
    assert_alike(folder, folder, 1e-5)
    assert load_acoustic_model(folder).sha256 == file_sha256(weights)


def test_the_form_beside_is_ignored_once_the_weights_are_others(tmp_path: Path) -> None:
    folder = save_own(tmp_path / "m")
    write_beside(folder)
    weights = folder / "model.safetensors"
    changed = {
        name: tensor + 0.01 if tensor.is_floating_point() else tensor for name, tensor in load_file(weights).items()
    }
    save_file(changed, weights, metadata={"format": "pt"})
    meta = json.loads((folder / "meta.json").read_text()) | {"sha256": file_sha256(weights)}
    (folder / "meta.json").write_text(json.dumps(meta))
    assert load_acoustic_model(folder).backend == "torch"


def test_nothing_is_left_of_an_export_that_answers_differently(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"answers differently: a probability moved by .* more than the accepted 0"):
        export_model(save_own(tmp_path / "m"), tmp_path / "out", tolerance=0.0, int8=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_another_model_is_no_parity() -> None:
    with pytest.raises(ExportError, match="answers differently"):
        compare(BandEnergyModel(0), BandEnergyModel(1), CLIPS, 0.01)


def test_a_damaged_graph_is_refused(tmp_path: Path) -> None:
    export_model(save_own(tmp_path / "m"), tmp_path / "out")
    graph = tmp_path / "out" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-9])
    with pytest.raises(ModelUnavailableError, match="is damaged or was replaced"):
        load_acoustic_model(tmp_path / "out")
    meta = json.loads((tmp_path / "out" / "meta.json").read_text()) | {"sha256": file_sha256(graph)}
    (tmp_path / "out" / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ModelUnavailableError, match="cannot be opened by onnxruntime"):
        load_acoustic_model(tmp_path / "out")


def test_the_command_reports_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save_own(tmp_path / "m")
    code = main(["export", "--model", str(folder), "--format", "onnx", "--out", str(tmp_path / "out"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0 and report["folder"] == str(tmp_path / "out") and report["quantized"] is None
    assert report["parity"]["same_label"] == 1.0 and report["latency_3s"]["onnx"]["median_ms"] > 0
    assert main(["export", "--model", str(tmp_path / "out"), "--out", str(tmp_path / "again")]) == 2
    assert "is in ONNX form already" in capsys.readouterr().err
    assert main(["export", "--model", str(folder)]) == 2
    assert "Name either a new folder" in capsys.readouterr().err


def test_the_embedded_model_answers_in_onnxruntime_as_in_torch() -> None:
    before, after = load_acoustic_model("embedded", backend="torch"), load_acoustic_model("embedded")
    # After new weights: python -m ser export --model embedded --beside
    assert (before.backend, after.backend) == ("torch", "onnx")
    for clip in CLIPS:
        np.testing.assert_allclose(after.classify(clip).probabilities, before.classify(clip).probabilities, atol=1e-5)
