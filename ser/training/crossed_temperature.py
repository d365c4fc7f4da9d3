"""How sure a network that has just been taught may be: found on clips that the one that answers them has not learnt.

Knows features and prototypes; reads no files.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import GroupKFold

from ser.acoustic.network import AcousticModelForAudioClassification
from ser.calibration import fit_temperature
from ser.training.head import HeadConfig, tune_head
from ser.training.memory import Prototypes, answer_pooled
from ser.training.progress import ShouldStop

LEAST_CLIPS = 40
"""Under it the temperature before stays: that of so few clips is chance."""

FOLDS = 3

Array = npt.NDArray[np.float32]


def crossed_temperature(
    network: AcousticModelForAudioClassification,
    heard: Array,
    targets: Array,
    weights: Array,
    groups: Sequence[str],
    config: HeadConfig,
    *,
    prototypes: Prototypes | None = None,
    should_stop: ShouldStop | None = None,
) -> float | None:
    """The temperature that suits heads taught as this one is, on the speakers that each of them was not taught.

    A network taught on some clips is surer of them than of others; the clips that judge it must not set it. So it is
    taught once more for each part of the speakers, without them.

    Args:
        network: before it is taught.
        heard: as `ser.training.head.hear` gives it, shape (clips, variants, size).
        targets: shape (clips, labels), rows of sum 1.
        weights: of each clip.
        groups: who speaks in each.
        config: how it is taught.
        prototypes: of the network.
        should_stop: asked after every step.

    Returns:
        None where there are fewer than `LEAST_CLIPS` clips or fewer than two speakers.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    people = len(set(groups))
    if len(heard) < LEAST_CLIPS or people < 2:
        return None
    answers = np.zeros_like(targets)
    for learnt, asked in GroupKFold(min(FOLDS, people)).split(heard, groups=list(groups)):
        if len(np.unique(targets[learnt].argmax(1))) < 2:
            return None
        taught = tune_head(
            network,
            heard[learnt],
            targets[learnt],
            weights[learnt],
            config,
            prototypes=prototypes,
            should_stop=should_stop,
        ).network
        with torch.inference_mode():
            answers[asked] = answer_pooled(taught, torch.from_numpy(heard[asked, 0])).numpy()
    return fit_temperature(answers, targets, weights)
