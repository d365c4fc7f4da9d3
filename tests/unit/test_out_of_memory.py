"""A step that the memory does not hold is computed in smaller parts, and the run goes on."""

from pathlib import Path

import pytest
import torch

from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.training import loop
from ser.training.engine import optimise
from ser.training.members import label_names
from ser.training.processes import Processes
from ser.training.progress import TrainProgress
from ser.training.task import Surroundings
from tests.unit.test_resuming import features

CONFIG = TrainConfig.tiny(epochs=3, batch_size=8, mixup=0.0)


class NarrowTask(loop._NetworkTask):
    """Learns from features on a device that holds so many clips at once, from its so-manieth call on."""

    holds = 3
    since = 0
    calls = 0

    def losses(self, model, batch):
        self.calls += 1
        if self.calls > self.since and len(batch.targets) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 is small.")
        return super().losses(model, batch)


def train(holds: int, since: int = 0, state_dir: Path | None = None, stop_at: int | None = None):
    processes = Processes()
    torch.manual_seed(0)
    shape = AcousticConfig(**label_names(EMOTIONS), **dict(CONFIG.network))
    network = AcousticModelForAudioClassification(shape)
    task = NarrowTask(network, features(0, 24), features(1, 10), CONFIG, processes)
    task.holds, task.since = holds, since
    seen: list[TrainProgress] = []
    stop = None if stop_at is None else lambda: len(seen) + 1 >= stop_at
    outcome = optimise(network, task, CONFIG, Surroundings(processes, state_dir, seen.append, stop), loop.cosine)
    return network, outcome, seen


@pytest.mark.parametrize("kept", [False, True])
def test_parts_are_halved_until_they_fit_and_the_steps_stay(kept: bool, tmp_path: Path) -> None:
    _, outcome, seen = train(holds=3, since=4, state_dir=tmp_path if kept else None)
    # 24 clips in steps of 8: after the first epoch and one step, parts of 4 fail too and parts of 2 fit.
    assert {p.step: p.parts for p in seen if not p.epoch_done}[9] == 4
    assert [entry["epoch"] for entry in outcome.curve] == [1, 2, 3]
    assert seen[-1].step == seen[-1].steps == 9
    repeated = [p.step for p in seen if not p.epoch_done].count(4)
    assert repeated == (2 if kept else 1)  # From what was kept last, the end of the first epoch.


def test_a_run_that_goes_on_keeps_to_its_parts(tmp_path: Path) -> None:
    with pytest.raises(TrainingCancelledError):
        train(holds=2, state_dir=tmp_path, stop_at=5)
    _, _, seen = train(holds=8, state_dir=tmp_path)
    assert seen[0].parts == 4


def test_where_not_even_one_clip_fits_it_ends_with_advice() -> None:
    expected = r"memory of cpu does not hold 1 clip\(s\) at once \(CUDA out of memory\).*max_duration"
    with pytest.raises(TrainingDataError, match=expected):
        train(holds=0)
