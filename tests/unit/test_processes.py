"""Training in two real processes, started as a person would, by torchrun on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.config import TrainConfig
from ser.errors import SettingsError
from ser.training.gradients.processes import Processes
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import write_corpus

SCRIPT = """
import json, os, sys
from pathlib import Path
from ser.training.gradients.encoder import run_encoder_recipe
from ser.training.recipe import HeadRecipe

corpus, checkpoint, out, rank = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), os.environ["RANK"]
seen = []
changes = {"epochs": 2, "batch_size": 8, "accumulation": 2, "tune": "full", "autocast": False}
recipe = HeadRecipe(checkpoint, test_speakers=["s3"], dev_speakers=["s2"])
result = run_encoder_recipe([corpus], out, recipe, changes, checkpoint_dir=out.parent / "state",
                            on_progress=seen.append)
said = {"sha256": result.meta.sha256, "encoder": result.meta.config["encoder_sha256"], "test": result.test_uar,
        "steps": sum(p.stage == "training" and not p.epoch_done for p in seen)}
(out.parent / f"rank{rank}.json").write_text(json.dumps(said))
"""


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    checkpoint = write_classifier(tmp_path / "checkpoint", "hubert")
    script = tmp_path / "together.py"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(script), str(corpus), str(checkpoint), str(tmp_path / "model")],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2))
    for name in ("sha256", "encoder", "test"):
        assert first[name] == second[name]
    # As many steps as one process makes; only the main one reports them.
    assert first["steps"] == 4 and second["steps"] == 0
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert not (tmp_path / "state").exists()
    assert [path.name for path in tmp_path.glob("*model*")] == ["model"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_example_of_a_step_is_in_one_part(count: int) -> None:
    together = [Processes() for _ in range(count)]
    for rank, process in enumerate(together):
        process.count, process.rank = count, rank
    parts = [part for process in together for part in process.parts(np.arange(12), 2)]
    assert [place for part in parts for place in part] == list(range(12))
    small = [part for process in together for part in process.parts(np.arange(3), 1)]
    assert len(small) == count and all(len(part) >= 1 for part in small)


def test_steps_too_small_to_share_are_refused() -> None:
    with pytest.raises(SettingsError, match="batch_size is 4 for 1 process.*accumulation 5; at least 5 is needed"):
        Processes().check(TrainConfig(batch_size=4, accumulation=5))


def test_alone_nothing_is_waited_for() -> None:
    alone = Processes()
    assert alone.main and alone.gather(1) == [1] and alone.broadcast("a") == "a"
    assert alone.on_main(lambda: 1, lambda: 2) == 1
    network = torch.nn.BatchNorm1d(2)
    assert alone.wrap(network) is network
