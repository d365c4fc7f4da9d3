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
from accelerate.utils import set_seed

from ser.errors import TrainingCancelledError, TrainingDataError
from ser.training.gradients.encoder import TunedEncoder, tune_encoder
from ser.training.gradients.state import (
    STATE_FILE,
    describe_differences,
    has_state,
    random_states,
    set_random_states,
)
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, kept_in, recordings

CONFIG = config("full", epochs=4, epoch_size=12, patience=3, threads=1)

# Killed for good in the middle of the third epoch: what a machine that loses power does to a run.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from tests.unit.encoder_runs import kept_in, recordings
from tests.unit.test_resuming import CONFIG
from ser.training.gradients.encoder import tune_encoder

def watch(progress):
    if progress.step == 10:
        os.kill(os.getpid(), signal.SIGKILL)

tune_encoder(Path(sys.argv[1]), recordings(), CONFIG, dev=recordings(4), around=kept_in(Path(sys.argv[2]), watch))
"""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("m") / "hubert", "hubert", layers=2)


def assert_equal(one: TunedEncoder, other: TunedEncoder) -> None:
    assert one.encoder.sha256 == other.encoder.sha256
    assert one.curve == other.curve and one.metrics == other.metrics
    for name, tensor in one.head.tensors().items():
        np.testing.assert_array_equal(tensor, other.head.tensors()[name])


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(checkpoint), str(tmp_path / "state")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    kept = torch.load(tmp_path / "state" / STATE_FILE, weights_only=True)
    assert kept["epoch"] == 3 and kept["step"] == 8
    steps = []
    resumed = tune_encoder(
        checkpoint,
        recordings(),
        CONFIG,
        dev=recordings(4),
        around=kept_in(tmp_path / "state", lambda progress: steps.append(progress.step)),
    )
    assert steps[0] == 9
    assert_equal(resumed, tune_encoder(checkpoint, recordings(), CONFIG, dev=recordings(4)))
    assert has_state(tmp_path / "state")
    resumed.save(tmp_path / "model")
    assert not (tmp_path / "state").exists()


def test_a_run_stopped_within_an_epoch_goes_on_there(checkpoint: Path, tmp_path: Path) -> None:
    asked = iter(range(100))
    with pytest.raises(TrainingCancelledError):
        tune_encoder(checkpoint, recordings(), CONFIG, around=kept_in(tmp_path, should_stop=lambda: next(asked) == 6))
    kept = torch.load(tmp_path / STATE_FILE, weights_only=True)
    assert (kept["epoch"], kept["place"], kept["step"]) == (2, 3, 7)
    resumed = tune_encoder(checkpoint, recordings(), CONFIG, around=kept_in(tmp_path))
    assert_equal(resumed, tune_encoder(checkpoint, recordings(), CONFIG))


def test_another_configuration_other_data_or_another_encoder_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    state = {"around": kept_in(tmp_path / "state")}
    tune_encoder(checkpoint, recordings(), config("head"), **state)
    with pytest.raises(TrainingDataError, match=r"is another one: config.learning_rate was 0.01 and is 0.001\. Go on"):
        tune_encoder(checkpoint, recordings(), config("head", learning_rate=0.001), **state)
    with pytest.raises(TrainingDataError, match="is another one: data is not the same"):
        tune_encoder(checkpoint, recordings(8), config("head"), **state)
    with pytest.raises(TrainingDataError, match="dev is not the same"):
        tune_encoder(checkpoint, recordings(), config("head"), dev=recordings(4), **state)
    other = write_classifier(tmp_path / "other", "hubert", layers=1)
    with pytest.raises(TrainingDataError, match="start is not the same"):
        tune_encoder(other, recordings(), config("head"), **state)


def test_a_damaged_state_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"half a file")
    with pytest.raises(TrainingDataError, match="is damaged: .* to begin anew"):
        tune_encoder(checkpoint, recordings(), config("head"), around=kept_in(tmp_path))


def test_random_generators_go_on_where_they_were() -> None:
    set_seed(3)
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
