"""Settings of a training run, as the store keeps them with it, and the places of its files.

Knows no process, no model and no database.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from annotations.learning.promotion.decision import PromotionRule
from annotations.store.records import TARGETS
from ser.config import TUNES
from ser.errors import SettingsError

PRESETS = ("quick", "thorough")
"""`quick` is done within minutes on two CPU cores; `thorough` takes the time that the best result needs."""

BY_PRESET = "auto"
"""Marks that the preset chooses the layers to train."""


@dataclass(frozen=True)
class RetrainingConfig:
    """Settings of a run that trains on feedback.

    Attributes:
        epochs: passes over the feedback where a pretrained encoder is fine-tuned; the preset's if None.
        learning_rate: of AdamW, likewise.
        seed: draws order and augmentation.
        device: `auto` takes CUDA if there is one.
        confidence: of the paired bootstrap that a new model has to pass to replace the old one.
        min_gain: least gain in unweighted average recall on held-out feedback, 0..1.
        base: what training starts from, as the target's loader takes it; filled in when a run starts.
        origin: the same of the model that the program began with, for runs that start from it; filled in when a run
            is asked for.
        target: what is trained, one of `records.TARGETS`.
        preset: one of `PRESETS`.
        tune: layers of an acoustic model to train: `auto`, or what `ser.config.TrainConfig` names.

    Raises:
        SettingsError: for an unknown target, preset or choice of layers.
    """

    epochs: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    device: str = "auto"
    confidence: float = 0.95
    min_gain: float = 0.01
    base: str = ""
    origin: str = ""
    target: str = "acoustic"
    preset: str = "quick"
    tune: str = BY_PRESET

    def __post_init__(self) -> None:
        for name, value, known in (("target", self.target, TARGETS), ("preset", self.preset, PRESETS)):
            if value not in known:
                raise SettingsError(f"{name} is '{value}'; expected one of {', '.join(known)}.")
        if not re.fullmatch(f"{BY_PRESET}|{TUNES}", self.tune):
            raise SettingsError(
                f"tune is '{self.tune}'; expected auto, head, frozen, top-k:N (N from 1), lora, adalora or full."
            )

    @property
    def rule(self) -> PromotionRule:
        """The conditions that a candidate of this run has to meet."""
        return PromotionRule(self.confidence, self.min_gain, self.seed)

    @classmethod
    def of(cls, stored: Mapping[str, object]) -> "RetrainingConfig":
        """Read stored settings; those of later versions of the program are ignored.

        >>> RetrainingConfig.of({"epochs": 3, "unheard_of": 1}).epochs
        3
        """
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})  # type: ignore[arg-type]


def run_folder(data_dir: Path, run_id: int) -> Path:
    """Path of a run's folder.

    >>> run_folder(Path("data"), 12).as_posix()
    'data/runs/0012'
    """
    return data_dir / "runs" / f"{run_id:04d}"


def status_path(data_dir: Path, run_id: int) -> Path:
    """Path of a run's status file."""
    return run_folder(data_dir, run_id) / "status.json"


def snapshot_path(data_dir: Path, run_id: int) -> Path:
    """The votes as they stood when the run began; gone when it has ended."""
    return run_folder(data_dir, run_id) / "feedback.db"


def checkpoint_folder(data_dir: Path, run_id: int) -> Path:
    """Path of the training checkpoint, to go on after a kill; removed when the run has ended."""
    return run_folder(data_dir, run_id) / "checkpoint"


def candidate_path(data_dir: Path, run_id: int) -> Path:
    """Path of the file that names the finished candidate, so that it is not trained twice; removed at the end."""
    return run_folder(data_dir, run_id) / "candidate.json"


def log_path(data_dir: Path, run_id: int) -> Path:
    """Path of the training process's log."""
    return run_folder(data_dir, run_id) / "log.txt"


def stop_request_path(data_dir: Path, run_id: int, request: str) -> Path:
    """The file that asks a running training for something: `pause` or `cancel`."""
    return run_folder(data_dir, run_id) / request


def stop_request_of(data_dir: Path, run_id: int) -> str | None:
    """Read the stop request of a run, `cancel` before `pause`; None without one."""
    requests = (request for request in ("cancel", "pause") if stop_request_path(data_dir, run_id, request).exists())
    return next(requests, None)


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Replace a file as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.stem}.{os.getpid()}.tmp")
    part.write_text(json.dumps(value), encoding="utf-8")
    os.replace(part, path)


def clear_run(data_dir: Path, run_id: int) -> None:
    """Remove what a run needs to go on; its status and its log stay."""
    for name in ("feedback.db", "candidate", "pause", "cancel"):
        for path in run_folder(data_dir, run_id).glob(f"{name}*"):
            path.unlink(missing_ok=True)
    for folder in (checkpoint_folder(data_dir, run_id), run_folder(data_dir, run_id) / "features"):
        shutil.rmtree(folder, ignore_errors=True)
