"""How long heads are to be taught, and how sure they may be: found on clips that the one that answers has not learnt.

Knows features and prototypes; reads no files.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import GroupKFold

from ser.acoustic.network import AcousticModelForAudioClassification
from ser.calibration import fit_temperature
from ser.training.head import HeadConfig, tune_head
from ser.training.memory import Prototypes, answer_pooled
from ser.training.progress import OnProgress, ShouldStop, TrainProgress

LEAST_CLIPS = 40
"""Under it nothing is chosen, and the temperature before stays: what so few clips say is chance."""

FOLDS = 3

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trial:
    """How heads that are taught in one way do on speakers whom they were not taught.

    Attributes:
        config: the way.
        log_probability: of what is true, at the temperature, nats; mean over labels of the mean over their clips.
        temperature: that suits their answers.
    """

    config: HeadConfig
    log_probability: float
    temperature: float


def try_crosswise(
    network: AcousticModelForAudioClassification,
    heard: Array,
    targets: Array,
    weights: Array,
    groups: Sequence[str],
    configs: Sequence[HeadConfig],
    *,
    prototypes: Prototypes | None = None,
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> list[Trial]:
    """Teach heads in several ways, a part of the speakers left out in turn, for as long as that gets better.

    A network taught on some clips is surer of them than of others, and how long it may learn before it knows only its
    own speakers differs from one collection to the next; the clips that judge it must set neither.

    Args:
        network: before it is taught.
        heard: as `ser.training.head.hear` gives it, shape (clips, variants, size).
        targets: shape (clips, labels), rows of sum 1.
        weights: of each clip.
        groups: who speaks in each.
        configs: the ways, the shortest first; one is tried only where the one before was better than its own.
        prototypes: of the network.
        checkpoint_dir: keeps what was tried, so that it is not done again after a kill.
        on_progress: told after every step, as stage `choosing`.
        should_stop: asked after every step.

    Returns:
        Those that were tried, in their order; empty where there are fewer than `LEAST_CLIPS` clips, fewer than two
        speakers, or fewer than two labels without one of the parts.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    people = len(set(groups))
    if len(heard) < LEAST_CLIPS or people < 2:
        return []
    folds = list(GroupKFold(min(FOLDS, people)).split(heard, groups=list(groups)))
    if any(len(np.unique(targets[learnt].argmax(1))) < 2 for learnt, _ in folds):
        return []
    totals = targets.sum(0)
    # Labels count alike, as they do in unweighted average recall.
    even = weights * (targets / np.maximum(totals, 1e-6)).sum(1)
    told = _Told(on_progress, [config.epochs * config.steps * len(folds) for config in configs])
    trials: list[Trial] = []
    for place, config in enumerate(configs):
        answers = np.zeros_like(targets)
        for number, (learnt, asked) in enumerate(folds):
            kept = checkpoint_dir / f"{place}-{number}" if checkpoint_dir else None
            taught = tune_head(
                network,
                heard[learnt],
                targets[learnt],
                weights[learnt],
                config,
                prototypes=prototypes,
                checkpoint_dir=kept,
                on_progress=told.of(place, number),
                should_stop=should_stop,
            ).network
            with torch.inference_mode():
                answers[asked] = answer_pooled(taught, torch.from_numpy(heard[asked, 0])).numpy()
        temperature = fit_temperature(answers, targets, weights)
        chances = torch.log_softmax(torch.from_numpy(answers / temperature), dim=1).numpy()
        trials.append(Trial(config, float(np.average((chances * targets).sum(1), weights=even)), temperature))
        if trials[-1] is not best_of(trials):
            break
    return trials


def best_of(trials: Sequence[Trial]) -> Trial:
    """The one that holds what is true most probable; of equals, the shortest."""
    return max(trials, key=lambda trial: trial.log_probability)


class _Told:
    """The progress of many short runs as that of one; those that are not begun may never come."""

    def __init__(self, on_progress: OnProgress | None, steps: Sequence[int]) -> None:
        self.on_progress, self.steps, self.started = on_progress, steps, time.monotonic()

    def of(self, place: int, number: int) -> OnProgress | None:
        """Whom one of the runs tells."""
        if self.on_progress is None:
            return None
        on_progress, total = self.on_progress, sum(self.steps)

        def tell(progress: TrainProgress) -> None:
            done = sum(self.steps[:place]) + number * progress.steps + progress.step
            left = (time.monotonic() - self.started) / done * (total - done)
            on_progress(
                TrainProgress(place + 1, len(self.steps), done, total, progress.loss, None, left, stage="choosing")
            )

        return tell
