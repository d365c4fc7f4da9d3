"""One step of two processes has the gradient of one step of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.encoder.pretrained import PretrainedEncoder
from ser.training.adapters import prepare_encoder
from ser.training.encoder import _first_head
from ser.training.encoder_model import EncoderClassifier
from ser.training.encoder_task import EncoderTask
from ser.training.engine import optimise
from ser.training.processes import Processes
from ser.training.task import Surroundings
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, recordings

CLIPS = 12

COMMAND = """
import sys
from tests.unit.test_gradients import write_gradients
write_gradients(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


class WatchedTask(EncoderTask):
    """Keeps the gradient that the step is made with."""

    clip_norm = 1e9
    gradients: dict[str, torch.Tensor]
    network: torch.nn.Module

    def after_step(self, step: int) -> None:
        self.gradients = {name: p.grad.clone() for name, p in self.network.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AST, whose inputs are of one length: how a step is divided changes no padding."""
    return write_classifier(tmp_path_factory.mktemp("m") / "ast", "ast")


def one_step(checkpoint: Path, accumulation: int) -> dict[str, torch.Tensor]:
    """The gradient of each parameter in a step on all clips, with nothing drawn by chance."""
    how = config(
        "full", batch_size=CLIPS, accumulation=accumulation, augment=False, dropout=0.0, anchor=0.1, weight_decay=0.0
    )
    processes, data = Processes("cpu"), recordings(CLIPS)
    encoder = PretrainedEncoder(str(checkpoint))
    encoder.model.config.hidden_dropout_prob = encoder.model.config.attention_probs_dropout_prob = 0.0
    head = _first_head(encoder, data, processes, blank=False)
    network = EncoderClassifier(encoder.model, head)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    made = prepare_encoder(network, how, 1)
    task = WatchedTask(made, encoder.extractor, head.labels, data, None, (), how, processes, "")
    task.network = made
    optimise(made, task, how, Surroundings(processes), lambda step, steps, warmup: 1.0)
    return task.gradients


def write_gradients(checkpoint: str, out: str, accumulation: int) -> None:
    """Write the gradients of one process of a run."""
    gradients = one_step(Path(checkpoint), accumulation)
    np.savez(f"{out}{os.environ['RANK']}.npz", **{name: grad.numpy() for name, grad in gradients.items()})


def of_two(checkpoint: Path, folder: Path, accumulation: int) -> list[dict[str, np.ndarray]]:
    """The gradients that each of two processes moves its weights by."""
    script, root = folder / "step.py", Path(__file__).parents[2]
    script.write_text(COMMAND)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(checkpoint), str(folder / "rank"), str(accumulation)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_step_as_one_does(checkpoint: Path, tmp_path: Path, accumulation: int) -> None:
    alone = {name: grad.numpy() for name, grad in one_step(checkpoint, 1).items()}
    assert max(np.abs(grad).max() for grad in alone.values()) > 1e-4
    first, second = of_two(checkpoint, tmp_path, accumulation)
    assert set(first) >= set(alone)
    for name, grad in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        # Float32, added up in another order.
        np.testing.assert_allclose(first[name], grad, rtol=1e-3, atol=1e-4 * np.abs(grad).max() + 1e-7, err_msg=name)


def test_parts_of_a_step_add_up_to_the_step(checkpoint: Path) -> None:
    whole, parts = one_step(checkpoint, 1), one_step(checkpoint, 4)
    for name, grad in whole.items():
        torch.testing.assert_close(parts[name], grad, rtol=1e-3, atol=1e-6)
