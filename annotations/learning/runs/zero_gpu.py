"""Training on ZeroGPU, which lends a GPU for seconds at a time: slices that each continue the last one.

Elsewhere nothing of it is imported and nothing is decorated. Knows no votes and no model.

Source: https://huggingface.co/docs/hub/spaces-zerogpu (the decorator, its `duration`, and what happens at its end).
"""

import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ser.errors import SettingsError, TrainingDataError

VARIABLE = "SPACES_ZERO_GPU"
"""Set by Spaces on that hardware."""

LENGTH_VARIABLE, LENGTH = "SER_GPU_SLICE", 60
"""Default seconds of a GPU per request; longer requests wait longer."""

MARGIN = 15
"""Seconds before a slice's end at which training stops and saves its state; a step under way is done in less."""

MAX_IDLE = 3
"""Slices in a row that brought nothing before it is given up."""


def on_zero_gpu(environ: Mapping[str, str] = os.environ) -> bool:
    """True if this process may request slices of a GPU.

    >>> on_zero_gpu({})
    False
    """
    wanted = environ.get(VARIABLE, "").lower() in ("1", "true", "yes")
    return wanted and importlib.util.find_spec("spaces") is not None


def slice_length(environ: Mapping[str, str] = os.environ) -> int:
    """Seconds of a slice.

    Raises:
        SettingsError: if the variable holds no whole number above 0.

    >>> slice_length({"SER_GPU_SLICE": "90"})
    90
    """
    text = environ.get(LENGTH_VARIABLE, "") or str(LENGTH)
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"{LENGTH_VARIABLE} is '{text}'; a whole number of seconds above 0 is needed.")
    return int(text)


def run_in_slices(work: Callable[[float], bool], kept: Path, *, slice_seconds: int) -> None:
    """Call `work` with a GPU until it is done, however many slices that takes.

    Args:
        work: takes the moment, by `time.time`, at which it is to stop and keep itself; returns whether it is done. It
            runs in a process of its own, which may be killed: what it found out must be in files.
        kept: the folder that it keeps itself in: a slice that was killed counts as useful where this changed.
        slice_seconds: that are asked for at a time.

    Raises:
        TrainingDataError: if slices end before anything could be kept.
    """
    decorate = importlib.import_module("spaces").GPU
    idle, done = 0, False
    while not done:
        before = _latest_change(kept)
        failure: BaseException | None = None
        sliced = decorate(duration=slice_seconds)(_until(work, slice_seconds))
        try:
            done = sliced()
        except Exception as error:  # What a slice that ran out raises differs between versions of the package.
            failure = error
        idle = 0 if done or _latest_change(kept) != before else idle + 1
        if idle >= MAX_IDLE:
            raise TrainingDataError(
                f"{idle} slices of {slice_seconds} s on a GPU ended before anything could be kept"
                f"{f' ({failure})' if failure else ''}. Train on the CPU (device 'cpu'), or on fewer clips."
            ) from failure


def _until(work: Callable[[float], bool], seconds: int) -> Callable[[], bool]:
    margin = min(MARGIN, seconds / 4)

    def part() -> bool:
        return work(time.time() + seconds - margin)

    return part


def _latest_change(folder: Path) -> tuple[int, int]:
    """Return the number of files and the time of the last write."""
    times = [path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()]
    return len(times), max(times, default=0)
