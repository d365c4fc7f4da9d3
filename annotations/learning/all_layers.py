"""Teaches all layers of a network that has learnt from feedback, with the base corpora beside it."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from annotations.learning.base_corpora import BaseCorpora, base_features
from annotations.learning.learners import Lesson
from ser.acoustic.classifier import load_network, model_folder
from ser.calibration import TEMPERATURE_RANGE, fit_temperature
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits
from ser.training.members import fit_members
from ser.training.memory import make_prototypes
from ser.training.progress import placed
from ser.training.remembering import RememberingModel

EPOCH = 512
"""Clips in an epoch, at least; half of them are of the feedback, where with many corrections each comes twice."""

TAKEN_OVER = 0.5
"""Share of the truth of a base clip that is what the network in use answers to it."""


def teach_all_layers(
    lesson: Lesson,
    begun: RememberingModel,
    taught: FeatureSet,
    watched: FeatureSet,
    folders: Sequence[Path],
    config: TrainConfig,
) -> RememberingModel:
    """Go on from a network whose judging part has learnt; begun again after a kill it goes on where it was.

    Half of what is shown is of the base, its truth half what the network in use answers: so it changes where the
    feedback asks for it. Source: as in `ser.training.head`, Li & Hoiem 2016, "Learning without Forgetting". How sure
    the answers may be is taken from before, changed by as much as they became surer of base speakers not learnt.

    Args:
        lesson: begins with the network in use.
        begun: what has learnt already.
        taught: features of the feedback.
        watched: features of the held-out clips; only for the curve.
        folders: of the base corpora.
        config: how; corpora and the size of an epoch are filled in.

    Returns:
        With prototypes of its own hearing.

    Raises:
        TrainingDataError: where the base corpora cannot be used.
        TrainingCancelledError: when asked to stop.
    """
    lesson.say("Reading the base corpora.")
    base = BaseCorpora.read(folders, lesson.config.seed)
    replayed, judging = (base_features(part, lesson.should_stop) for part in (base.replayed, base.judging))
    if replayed is None:
        raise TrainingDataError(
            f"There is nothing to learn again in {', '.join(map(str, folders))}. Name base corpora."
        )
    in_use = load_network(model_folder(lesson.base))
    answers = _probabilities(predict_logits(in_use, replayed))
    targets = (1.0 - TAKEN_OVER) * replayed.targets + TAKEN_OVER * answers
    # A corpus ten times as large has more to lose, but not ten times as much.
    sizes = {corpus: count**0.5 for corpus, count in Counter(replayed.corpora).items()}
    shares = {corpus: size / sum(sizes.values()) for corpus, size in sizes.items()}
    weights = {**shares, **dict.fromkeys(taught.corpora, 1.0)}
    lesson.say("Learning with all layers, the base corpora beside the feedback.")
    fit = fit_members(
        copy.deepcopy(begun.network),
        taught.beside(replace(replayed, targets=targets.astype(np.float32))),
        replace(config, epoch_size=max(EPOCH, 4 * len(taught)), corpus_weights=weights),
        dev=watched,
        device=lesson.device,
        checkpoint_dir=lesson.checkpoint_dir / "all-layers",
        on_progress=placed(lesson.on_progress, (0.35, 1.0), before=len(begun.curve)),
        should_stop=lesson.should_stop,
    )
    temperature = begun.temperature
    if judging is not None:
        surer = [_temperature(network, judging) for network in (fit.network, begun.network)]
        temperature = float(np.clip(temperature * surer[0] / surer[1], *TEMPERATURE_RANGE))
    found = begun.metrics["temperature"]
    assert isinstance(found, dict)
    curve = [{**entry, "epoch": place} for place, entry in enumerate([*begun.curve, *fit.curve], 1)]
    return replace(
        begun,
        network=fit.network,
        temperature=temperature,
        config=config,
        curve=curve,
        metrics={**begun.metrics, "best_epoch": len(curve), "temperature": {**found, "after": temperature}},
        data={**begun.data, "replayed_clips": len(replayed)},
        prototypes=make_prototypes(fit.network, replayed, judging),
    )


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(torch.softmax(torch.from_numpy(logits), dim=1).numpy())


def _temperature(network: torch.nn.Module, data: FeatureSet) -> float:
    """That suits its answers; every corpus counts alike."""
    sizes = Counter(data.corpora)
    weights = np.array([1.0 / sizes[corpus] for corpus in data.corpora], dtype=np.float32)
    return fit_temperature(predict_logits(network, data), data.targets, weights)
