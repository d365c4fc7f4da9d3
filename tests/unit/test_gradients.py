"""One step of two processes has the gradient of one step of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from ser.encoder.pretrained import PretrainedEncoder
from ser.training.gradients.adapters import adapt_encoder
from ser.training.gradients.encoder import first_head
from ser.training.gradients.engine import optimise
from ser.training.gradients.network import EncoderClassifier, EncoderTask
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, recordings

CLIPS = 12

COMMAND = """
import sys
from tests.unit.test_gradients import write_gradients
write_gradients(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


class UnclippedTask(EncoderTask):
    clip_norm = 1e9


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
    head = first_head(encoder, data, processes, blank=False)
    network = EncoderClassifier(encoder.model, head)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    made = adapt_encoder(network, how, 1)
    task = UnclippedTask(encoder.extractor, head.labels, data, None, (), how, processes, "")
    gradients: dict[str, torch.Tensor] = {}

    def keep(*_: object) -> None:
        gradients.update({name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None})

    hook = register_optimizer_step_pre_hook(keep)
    optimise(made, task, how, Surroundings(processes))
    hook.remove()
    return gradients


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
