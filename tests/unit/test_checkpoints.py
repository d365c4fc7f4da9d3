import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.numpy import save_file

from ser.checkpoints.folder import Meta, check_weights, load_meta, save_checkpoint, verify
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS


def save(folder: Path, value: float = 1.0) -> Meta:
    def write(target: Path) -> None:
        save_file({"w": np.full(3, value)}, target / "model.safetensors")
        (target / "config.json").write_text("{}")

    return save_checkpoint(folder, write, Meta("v1", EMOTIONS, 1.5, data={"clips": 3}, metrics={"uar": 0.5}))


def test_what_is_saved_is_verified_and_read_back(tmp_path: Path) -> None:
    saved = save(tmp_path / "v1")
    assert verify(tmp_path / "v1") == saved
    assert saved.labels == EMOTIONS and saved.temperature == 1.5
    assert len(saved.sha256) == 64 and saved.created_at.endswith("+00:00")
    assert saved.git_commit is None or len(saved.git_commit) == 40
    assert [p.name for p in tmp_path.iterdir()] == ["v1"]


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "v1")
    save(tmp_path / "v2", value=2.0)
    (tmp_path / "v2" / "model.safetensors").replace(tmp_path / "v1" / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match="is damaged or was replaced"):
        verify(tmp_path / "v1")


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "v1")
    (tmp_path / "v1" / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="model.safetensors is missing"):
        verify(tmp_path / "v1")


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    first = save(tmp_path / "v1")
    with pytest.raises(ModelUnavailableError, match="exists already"):
        save(tmp_path / "v1", value=2.0)
    assert verify(tmp_path / "v1") == first


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path / "v1", fail, Meta("v1", EMOTIONS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"temperature": 0}, {"temperature": "hot"}, {"labels": None}])
def test_a_damaged_meta_file_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    save(tmp_path / "v1")
    path = tmp_path / "v1" / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelUnavailableError, match="meta.json is damaged"):
        load_meta(tmp_path / "v1")


def test_an_absent_meta_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="meta.json could not be read"):
        load_meta(tmp_path)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "model.bin"])
def test_a_pointer_of_git_lfs_is_not_taken_for_the_file(tmp_path: Path, name: str) -> None:
    save(tmp_path / "v1")
    (tmp_path / "v1" / name).write_text(POINTER)
    with pytest.raises(ModelUnavailableError, match=f"{name} is only the pointer that Git LFS left. Run"):
        check_weights(tmp_path / "v1")


@pytest.mark.parametrize("kept", [0, 5, 30, -1])
def test_truncated_weights_are_refused(tmp_path: Path, kept: int) -> None:
    save(tmp_path / "v1")
    path = tmp_path / "v1" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelUnavailableError, match="model.safetensors is truncated or damaged"):
        check_weights(tmp_path / "v1")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    save(tmp_path / "v1")
    weights = torch.tensor([1.0, -float("inf"), float("inf"), 0.0], dtype=dtype)
    tensors = {"counts": torch.arange(3), "bias": weights}
    safetensors.torch.save_file(tensors, tmp_path / "v1" / "model.safetensors")
    check_weights(tmp_path / "v1")
    weights[2] = float("nan")
    safetensors.torch.save_file(tensors, tmp_path / "v1" / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match=r"holds numbers that are none \(NaN\) in bias"):
        check_weights(tmp_path / "v1")
