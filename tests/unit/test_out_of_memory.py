"""A step that the memory does not hold is computed in smaller parts, and the run goes on."""

from pathlib import Path

import pytest
import torch

from ser.encoder.pretrained import PretrainedEncoder
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.training.gradients.adapters import adapt_encoder
from ser.training.gradients.encoder import first_head
from ser.training.gradients.engine import optimise
from ser.training.gradients.network import EncoderClassifier, EncoderTask
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import TrainProgress
from tests.unit.emotion_checkpoints import write_classifier
from tests.unit.encoder_runs import config, recordings

CONFIG = config("full", epochs=3, batch_size=8)


class NarrowTask(EncoderTask):
    """Trains on a device that holds so many clips at once, from its so-manieth call on."""

    holds = 3
    since = 0
    calls = 0

    def losses(self, model, batch):
        self.calls += 1
        if self.calls > self.since and len(batch[1]) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 is small.")
        return super().losses(model, batch)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("m") / "wav2vec2", "wav2vec2")


def train(checkpoint: Path, holds: int, since: int = 0, state_dir: Path | None = None, stop_at: int | None = None):
    processes, data = Processes(), recordings(24)
    encoder = PretrainedEncoder(str(checkpoint))
    head = first_head(encoder, data, processes, blank=False)
    model = adapt_encoder(EncoderClassifier(encoder.model, head), CONFIG, 9)
    task = NarrowTask(encoder.extractor, head.labels, data, recordings(4), (), CONFIG, processes, encoder.sha256)
    task.holds, task.since = holds, since
    seen: list[TrainProgress] = []
    stop = None if stop_at is None else lambda: len(seen) + 1 >= stop_at
    outcome = optimise(model, task, CONFIG, Surroundings(processes, state_dir, seen.append, stop))
    return outcome, seen


@pytest.mark.parametrize("kept", [False, True])
def test_parts_are_halved_until_they_fit_and_the_steps_stay(kept: bool, checkpoint: Path, tmp_path: Path) -> None:
    outcome, seen = train(checkpoint, holds=3, since=4, state_dir=tmp_path if kept else None)
    # 24 clips in steps of 8: after the first epoch and one step, parts of 4 fail too and parts of 2 fit.
    assert {p.step: p.parts for p in seen if not p.epoch_done}[9] == 4
    assert [entry["epoch"] for entry in outcome.curve] == [1, 2, 3]
    assert seen[-1].step == seen[-1].steps == 9
    repeated = [p.step for p in seen if not p.epoch_done].count(4)
    assert repeated == (2 if kept else 1)  # From what was kept last, the end of the first epoch.


def test_a_run_that_goes_on_keeps_to_its_parts(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingCancelledError):
        train(checkpoint, holds=2, state_dir=tmp_path, stop_at=5)
    _, seen = train(checkpoint, holds=8, state_dir=tmp_path)
    assert seen[0].parts == 4


def test_a_device_that_holds_not_even_one_clip_ends_it_with_advice(checkpoint: Path) -> None:
    expected = r"memory of cpu does not hold 1 clip\(s\) at once \(CUDA out of memory\).*max_duration"
    with pytest.raises(TrainingDataError, match=expected):
        train(checkpoint, holds=0)
