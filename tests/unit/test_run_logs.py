import argparse
import importlib.util
from pathlib import Path

import pytest

from ser.commands.train import run, training_changes
from ser.config import Settings
from ser.errors import SettingsError
from ser.training.progress import TrainProgress
from ser.training.run_logs import EVERY, open_log, record


class Kept:
    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []

    def write(self, figures: dict[str, float], step: int) -> None:
        self.points.append((step, dict(figures)))

    def close(self) -> None:
        pass


def progress(step: int, **changes: object) -> TrainProgress:
    values = {"loss": 1.5, "uar": None, "eta": 2.0, "learning_rate": 0.01, **changes}
    return TrainProgress(1, 2, step, 100, **values)


def test_a_run_gives_points_now_and_then_and_at_each_epoch() -> None:
    log = Kept()
    record(progress(3, stage="preparing", loss=None), log)
    for step in range(1, EVERY + 2):
        record(progress(step), log)
    record(progress(EVERY + 1, epoch_done=True, figures={"epoch": 1, "uar": {"ravdess": 0.5}}), log)
    assert log.points == [
        (EVERY, {"step/loss": 1.5, "step/learning_rate": 0.01}),
        (EVERY + 1, {"epoch/epoch": 1.0, "epoch/uar/ravdess": 0.5}),
    ]


def test_tensorboard_reads_what_is_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="the tracking packages are not installed")
    log = open_log("tensorboard", tmp_path, "run", {})
    log.write({"step/loss": 1.25}, 10)
    log.close()
    (events,) = tmp_path.glob("events.out.tfevents.*")
    written = events.read_bytes()
    assert b"step/loss" in written


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_a_missing_package_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=rf"^--log-to {kind} needs a package that is not installed. Install"):
        open_log(kind, tmp_path, "run", {})
    with pytest.raises(SettingsError, match="--log-to is 'paper'; expected one of tensorboard, wandb"):
        open_log("paper", tmp_path, "run", {})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", r"^--set epochs: expected NAME=VALUE, NAME being one of tune, "),
        ("colour=red", r"^--set colour=red: expected NAME=VALUE"),
        ("dropout=much", r"^--set dropout=much: a number is expected"),
    ],
)
def test_what_cannot_be_set_is_named(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        training_changes([assignment])


def test_an_interrupted_run_is_not_begun_anew_by_accident(tmp_path: Path) -> None:
    (tmp_path / "m.checkpoint").mkdir()
    (tmp_path / "m.checkpoint" / "training.pt").write_bytes(b"")
    options = argparse.Namespace(data=["x"], text=None, out=str(tmp_path / "m"), resume=False, set=[], tune=None)
    with pytest.raises(SettingsError, match=r"kept in .*m.checkpoint. Go on with it by --resume, or remove"):
        run(options, Settings())
