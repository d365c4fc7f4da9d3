import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ser.checkpoints.hub import pick_device, resolve_checkpoint
from ser.errors import ModelUnavailableError, SettingsError

HANG = 30
"""Seconds; a guard against waiting for the network (23 s for each file), far above what an answer takes."""


def run_without_network(code: str, home: Path, **environment: str) -> str:
    """Run Python in a process of its own whose hub is an address that swallows every packet."""
    kept = {name: value for name, value in os.environ.items() if not re.search("proxy|^HF_|OFFLINE", name, re.I)}
    kept |= {"HF_HOME": str(home), "HF_ENDPOINT": "https://192.0.2.1"} | environment
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=HANG, check=True).stdout


def test_a_hub_out_of_reach_is_noticed_once_and_switched_off(tmp_path: Path) -> None:
    code = (
        "import time, ser.checkpoints.hub as hub; from huggingface_hub import constants; start = time.monotonic();"
        "answers = [hub.hub_reachable() for _ in range(3)];"
        "print(answers, constants.HF_HUB_OFFLINE, time.monotonic() - start < 3)"
    )
    assert run_without_network(code, tmp_path).strip() == "[False, False, False] True True"


def test_offline_mode_is_honoured_without_asking(tmp_path: Path) -> None:
    code = "import time, ser.checkpoints.hub as h; s = time.time(); print(h.hub_reachable(), time.time() - s < 0.5)"
    assert run_without_network(code, tmp_path, HF_HUB_OFFLINE="1").strip() == "False True"


def test_a_hub_that_answers_is_reachable(tmp_path: Path) -> None:
    code = """
import http.server, threading, os
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
import ser.checkpoints.hub
print(ser.checkpoints.hub.hub_reachable())
"""
    assert run_without_network(code, tmp_path).strip() == "True"


def test_a_model_out_of_reach_is_named(tmp_path: Path) -> None:
    code = """
import ser.checkpoints.hub
try:
    ser.checkpoints.hub.resolve_checkpoint("openai/whisper-base")
except ser.checkpoints.hub.ModelUnavailableError as error:
    print(error)
"""
    assert run_without_network(code, tmp_path).strip() == (
        "Model 'openai/whisper-base' is neither a folder nor in the cache of this machine, and no model hub can be "
        "reached. Name a folder, or try again with a connection."
    )


def test_a_cached_model_is_found(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--openai--whisper-base"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    code = "import ser.checkpoints.hub; print(ser.checkpoints.hub.cached_checkpoint('openai/whisper-base'))"
    (snapshot / "config.json").write_text("{}")
    assert run_without_network(code, tmp_path).strip() == "None"
    (snapshot / "model.safetensors").write_bytes(b"")
    assert run_without_network(code, tmp_path).strip() == str(snapshot)


def refusal(name: str | Path) -> str:
    with pytest.raises(ModelUnavailableError) as error:
        resolve_checkpoint(name)
    return str(error.value)


def test_a_folder_must_hold_a_checkpoint(tmp_path: Path) -> None:
    unusable = f"'{tmp_path}' is no usable checkpoint: "
    assert refusal(tmp_path) == f"{unusable}config.json is missing. Save the model with save_pretrained."
    (tmp_path / "config.json").write_text("{}")
    assert refusal(tmp_path) == f"{unusable}*.safetensors is missing. Save the model with save_pretrained."
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    assert refusal(tmp_path) == (
        f"{unusable}its weights are in pytorch_model.bin, a format that can run foreign code when it is opened; "
        "*.safetensors is expected. Convert it, or take a model that has them."
    )
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    assert resolve_checkpoint(tmp_path) == tmp_path
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    )
    assert refusal(tmp_path) == (
        f"{unusable}model-2.safetensors of its weights are missing. Copy or download it again."
    )


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"")
    assert refusal(tmp_path / "weights") == (
        f"'{tmp_path / 'weights'}' is a file; the folder of a checkpoint is expected. Name its folder."
    )
    assert refusal("./nowhere") == "There is no folder './nowhere'. Check the path."
    assert refusal(" ") == "The name of the model is empty; a folder or a model's id is expected."


def test_devices() -> None:
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SettingsError):
        pick_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none_is_refused() -> None:
    with pytest.raises(ModelUnavailableError) as error:
        pick_device("cuda")
    assert str(error.value) == ("The device 'cuda' is asked for, but none was found. Set it to 'auto' or 'cpu'.")
