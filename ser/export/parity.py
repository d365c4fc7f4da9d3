"""Whether two forms of a model answer alike, and how fast each does.

Knows nothing of how either form came about.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ser.errors import ExportError
from ser.protocols import AcousticModel
from ser.testing import synthetic_speech
from ser.types import Audio

PARITY_CLIPS: tuple[Audio, ...] = tuple(
    synthetic_speech(duration, pitch=110.0 + 40.0 * seed, seed=seed)
    for seed, duration in enumerate((0.3, 0.77, 1.6, 3.0, 5.9, 13.0))
)
"""From less than a window to several of them: a length that tracing froze shows here."""


@dataclass(frozen=True)
class Parity:
    """How two forms of a model differ.

    Attributes:
        clips: that both answered, one by one.
        max_difference: of any probability of any clip.
        mean_difference: over all probabilities.
        same_label: share of clips with the same most probable emotion.
        tolerance: that `max_difference` was held against.
    """

    clips: int
    max_difference: float
    mean_difference: float
    same_label: float
    tolerance: float


def compare(original: AcousticModel, other: AcousticModel, clips: Sequence[Audio], tolerance: float) -> Parity:
    """Let both forms answer every clip.

    Args:
        original: the model as it was.
        other: the same in another form.
        clips: at least one.
        tolerance: greatest difference of any probability that is accepted.

    Raises:
        ExportError: where they differ by more.
    """
    pairs = [(original.classify(clip), other.classify(clip)) for clip in clips]
    differences = np.abs([np.subtract(a.probabilities, b.probabilities) for a, b in pairs])
    worst = int(differences.max(axis=1).argmax())
    largest = float(differences.max())
    if not largest <= tolerance:
        raise ExportError(
            f"The exported model answers differently: a probability moved by {largest:.3g} on a clip of "
            f"{clips[worst].duration:.1f} s, more than the accepted {tolerance:g}. Nothing was written. Accept more "
            "with --tolerance, calibrate with --data, or export without --quantize."
        )
    same = float(np.mean([a.label == b.label for a, b in pairs]))
    return Parity(len(pairs), largest, float(differences.mean()), same, tolerance)


def measure_interleaved(calls: Mapping[str, Callable[[], object]], rounds: int = 30) -> dict[str, dict[str, float]]:
    """Time several ways to do something, turn by turn, so that other work on the machine meets all of them alike.

    Args:
        calls: by name; each is called three times first, unmeasured.
        rounds: measured calls of each.

    Returns:
        {name: {"median_ms", "min_ms", "p95_ms"}}.
    """
    for call in calls.values():
        for _ in range(3):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
    return {
        name: {
            "median_ms": round(1000 * statistics.median(values), 3),
            "min_ms": round(1000 * min(values), 3),
            "p95_ms": round(1000 * float(np.percentile(values, 95)), 3),
        }
        for name, values in seconds.items()
    }
