"""One step of two processes has the gradient of one step of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.config import TrainConfig
from ser.training.dataset import FeatureSet
from ser.training.engine import optimise
from ser.training.loop import _NetworkTask
from ser.training.members import fresh_network
from ser.training.processes import Processes
from ser.training.task import Surroundings

CLIPS = 12

COMMAND = """
import sys
from tests.unit.test_gradients import write_gradients
write_gradients(sys.argv[1], freeze_norms=sys.argv[2] == "frozen", accumulation=int(sys.argv[3]))
"""


class WatchedTask(_NetworkTask):
    """Keeps the gradient that the step is made with."""

    clip_norm = 1e9

    def after_step(self, step: int) -> None:
        self.gradients = {name: p.grad.clone() for name, p in self.network.named_parameters() if p.grad is not None}


def features() -> FeatureSet:
    """Clips of unlike lengths, weights and labels, alike in every process."""
    draw = np.random.default_rng(0)
    variants = [[draw.standard_normal((60 + 5 * n, 128)).astype(np.float16)] for n in range(CLIPS)]
    targets = np.eye(7, dtype=np.float32)[np.arange(CLIPS) % 3]
    weights = np.linspace(0.2, 2.0, CLIPS).astype(np.float32)
    return FeatureSet(variants, targets, weights, [f"s{n % 4}" for n in range(CLIPS)], ["test"] * CLIPS)


def one_step(*, freeze_norms: bool, accumulation: int) -> dict[str, torch.Tensor]:
    """The gradient of each parameter in a step on all clips, with nothing drawn by chance."""
    network = {**TrainConfig.tiny().network, "dropout": 0.0}
    config = TrainConfig.tiny(
        epochs=1, batch_size=CLIPS, accumulation=accumulation, augment=False, mixup=0.0, max_duration=5.0,
        freeze_norms=freeze_norms, anchor=0.1, weight_decay=0.0, network=network,
    )  # fmt: skip
    torch.manual_seed(0)
    processes = Processes("cpu")
    made = fresh_network(config)
    task = WatchedTask(made, features(), None, config, processes)
    task.network = made  # type: ignore[attr-defined]
    optimise(made, task, config, Surroundings(processes), lambda step, steps, warmup: 1.0)
    return task.gradients


def write_gradients(out: str, **how: object) -> None:
    """What each process of a run writes."""
    gradients = one_step(**how)  # type: ignore[arg-type]
    np.savez(f"{out}{os.environ['RANK']}.npz", **{name: grad.numpy() for name, grad in gradients.items()})


def of_two(folder: Path, norms: str, accumulation: int) -> list[dict[str, np.ndarray]]:
    """The gradients that each of two processes moves its weights by."""
    script, root = folder / "step.py", Path(__file__).parents[2]
    script.write_text(COMMAND)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(folder / "rank"), norms, str(accumulation)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


def cosine(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    a, b = (np.concatenate([some[name].ravel() for name in sorted(one)]) for some in (one, other))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_step_as_one_does(tmp_path: Path, accumulation: int) -> None:
    alone = {name: grad.numpy() for name, grad in one_step(freeze_norms=True, accumulation=1).items()}
    assert max(np.abs(grad).max() for grad in alone.values()) > 0.01
    first, second = of_two(tmp_path, "frozen", accumulation)
    assert set(first) >= set(alone)
    for name, grad in alone.items():
        np.testing.assert_array_equal(first[name], second[name])
        # Float32, added up in another order.
        np.testing.assert_allclose(first[name], grad, rtol=1e-4, atol=1e-5 * np.abs(grad).max() + 1e-7, err_msg=name)


def test_parts_of_a_step_add_up_to_the_step() -> None:
    whole = one_step(freeze_norms=True, accumulation=1)
    parts = one_step(freeze_norms=True, accumulation=4)
    for name, grad in whole.items():
        torch.testing.assert_close(parts[name], grad, rtol=1e-4, atol=1e-6)
