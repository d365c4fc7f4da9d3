"""Estimate of a run's duration from earlier runs on this machine, else from a first guess.

Reads the store; trains nothing.
"""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from annotations.learning.config import BY_PRESET, RetrainingConfig
from annotations.raters.votes import training_examples
from annotations.store import AnnotationStore
from annotations.store.queries import list_training_runs
from annotations.store.records import TrainingRun
from ser.checkpoints.hub import pick_device

START = 12.0
"""Guess of the seconds before and after training: libraries, models, the first clip."""

PACE: Mapping[tuple[str, str], float] = {
    ("acoustic", "quick"): 0.6,
    ("acoustic", "thorough"): 6.0,
    ("text", "quick"): 0.5,
    ("text", "thorough"): 2.0,
    ("fusion", "quick"): 0.7,
    ("fusion", "thorough"): 0.7,
    ("transcriber", "quick"): 4.0,
    ("transcriber", "thorough"): 12.0,
}
"""Seconds for each clip of the feedback, both splits together, by target and preset, guessed on the high side for one
core of two. They are for the first run only: what that one takes counts from then on."""

RECENT = 5
"""Earlier runs that are looked at."""


@dataclass(frozen=True)
class Estimate:
    """Estimate of a run.

    Attributes:
        seconds: from the request to the decision, if no other run is before it.
        clips: of the feedback, both splits together.
        device: `cpu` or `cuda`.
        basis: where the figure comes from, for people.
    """

    seconds: float
    clips: int
    device: str
    basis: str


def estimate(store: AnnotationStore, config: RetrainingConfig) -> Estimate:
    """Say how long a run would take on the feedback as it stands.

    Raises:
        ModelUnavailableError: if the device asked for is absent.
    """
    clips = len(training_examples(store))
    device = pick_device(config.device)
    alike = [
        run
        for run in list_training_runs(store, 100)
        if (run.target, run.preset, run.config.get("epochs"), run.config.get("tune", BY_PRESET))
        == (config.target, config.preset, config.epochs, config.tune)
    ]
    paces = measured_paces(alike, device, platform.node())[:RECENT]
    if paces:
        basis = f"{len(paces)} earlier run{'s' if len(paces) > 1 else ''} on this machine"
        return Estimate(round(START + median(paces) * clips, 1), clips, device, basis)
    pace = PACE[config.target, config.preset]
    basis = "a first guess, as no run has ended on this machine yet"
    return Estimate(round(START + pace * clips, 1), clips, device, basis)


def measured_paces(runs: Iterable[TrainingRun], device: str, machine: str) -> list[float]:
    """Seconds for each clip in the runs that came to a decision on that machine and device, in their order."""
    paces = []
    for run in runs:
        timing = run.metrics.get("timing")
        if not isinstance(timing, Mapping) or (timing.get("device"), timing.get("machine")) != (device, machine):
            continue
        clips = timing["clips"] + timing["held_out"]
        paces.append(max(0.0, timing["seconds"] - START) / clips)
    return paces
