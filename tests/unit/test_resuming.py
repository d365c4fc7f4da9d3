"""A run that is killed and goes on gives the weights of one that was never disturbed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.acoustic.features import FEATURE_SIZE
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.training.dataset import FeatureSet
from ser.training.run import train_on_features
from ser.training.run_state import (
    STATE_FILE,
    describe_differences,
    has_state,
    hash_tensors,
    random_states,
    seed_everything,
    set_random_states,
)

CONFIG = TrainConfig.tiny(epochs=6, patience=5, epoch_size=32)

# Killed for good in the middle of the third epoch, or run to its end: what a machine that loses power does to a run.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.unit.test_resuming import CONFIG, features
from ser.training.run import train_on_features
from ser.training.run_state import hash_tensors

def watch(progress):
    if sys.argv[2] == "die" and progress.step == 10:
        os.kill(os.getpid(), signal.SIGKILL)

model = train_on_features(features(0), CONFIG, dev=features(1), checkpoint_dir=Path(sys.argv[1]), on_progress=watch)
print(hash_tensors(model.network.state_dict()))
"""


def features(seed: int, count: int = 30) -> FeatureSet:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 7, count)
    clips = [generator.standard_normal((30 + i % 9, FEATURE_SIZE)) + label / 3 for i, label in enumerate(labels)]
    return FeatureSet(
        [[clip.astype(np.float16)] for clip in clips],
        np.eye(7, dtype=np.float32)[labels],
        np.ones(count, dtype=np.float32),
        [f"s{seed}{i % 4}" for i in range(count)],
        ["a"] * count,
    )


def run(folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), what], capture_output=True, text=True, cwd=root, env=environment
    )


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    killed = run(tmp_path / "state", "die")
    assert killed.returncode == -signal.SIGKILL and not killed.stdout
    kept = torch.load(tmp_path / "state" / STATE_FILE, weights_only=True)
    assert kept["epoch"] == 3 and kept["step"] == 8
    steps = []
    resumed = train_on_features(
        features(0),
        CONFIG,
        dev=features(1),
        checkpoint_dir=tmp_path / "state",
        on_progress=lambda progress: steps.append(progress.step),
    )
    straight = train_on_features(features(0), CONFIG, dev=features(1))
    assert steps[0] == 9
    assert hash_tensors(resumed.network.state_dict()) == hash_tensors(straight.network.state_dict())
    assert resumed.curve == straight.curve and resumed.metrics == straight.metrics
    assert resumed.temperature == straight.temperature
    assert has_state(tmp_path / "state")
    resumed.save(tmp_path / "model")
    assert not (tmp_path / "state").exists()


def test_a_run_stopped_within_an_epoch_goes_on_there(tmp_path: Path) -> None:
    asked = iter(range(100))
    with pytest.raises(TrainingCancelledError):
        train_on_features(features(0), CONFIG, checkpoint_dir=tmp_path, should_stop=lambda: next(asked) == 6)
    kept = torch.load(tmp_path / STATE_FILE, weights_only=True)
    assert (kept["epoch"], kept["place"], kept["step"]) == (2, 3, 7)
    resumed = train_on_features(features(0), CONFIG, checkpoint_dir=tmp_path)
    straight = train_on_features(features(0), CONFIG)
    assert hash_tensors(resumed.network.state_dict()) == hash_tensors(straight.network.state_dict())
    assert resumed.curve == straight.curve


def test_another_configuration_or_other_data_are_refused(tmp_path: Path) -> None:
    train_on_features(features(0), CONFIG, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingDataError, match=r"is another one: config.learning_rate was 0.002 and is 0.001\. Go on"):
        changed = TrainConfig.tiny(epochs=6, patience=5, epoch_size=32, learning_rate=0.001)
        train_on_features(features(0), changed, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingDataError, match="is another one: data is not the same; start is not the same"):
        train_on_features(features(2), CONFIG, checkpoint_dir=tmp_path)
    with pytest.raises(TrainingDataError, match="dev is not the same"):
        train_on_features(features(0), CONFIG, dev=features(1), checkpoint_dir=tmp_path)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"half a file")
    with pytest.raises(TrainingDataError, match="is damaged: .* to begin anew"):
        train_on_features(features(0), CONFIG, checkpoint_dir=tmp_path)


def test_random_generators_go_on_where_they_were() -> None:
    seed_everything(3)
    np.random.standard_normal(3)
    before = random_states()
    drawn = np.random.standard_normal(2), torch.randn(2)
    set_random_states(before)
    assert np.array_equal(np.random.standard_normal(2), drawn[0]) and torch.equal(torch.randn(2), drawn[1])


def test_differences_name_what_changed() -> None:
    assert describe_differences({"a": 1}, {"a": 1}) == []
    assert describe_differences({"config": {"tune": "full"}}, {"config": {"tune": "head"}}) == [
        "config.tune was full and is head"
    ]
    assert json.dumps(describe_differences({}, {"b": 2})) == '["b was None and is 2"]'
