"""Teaches all layers of a network that has learnt from feedback, with the base corpora beside it."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from annotations.learning.base_corpora import BaseCorpora, base_features, speakers_of
from annotations.learning.learners import Lesson
from ser.acoustic.classifier import load_network, model_folder
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.calibration import TEMPERATURE_RANGE
from ser.config import TrainConfig
from ser.errors import TrainingDataError
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits, temperature_of
from ser.training.members import between, fit_members
from ser.training.memory import make_prototypes
from ser.training.progress import placed
from ser.training.remembering import RememberingModel

TIMES = 2
"""So often each clip of the feedback comes in an epoch, and as many clips of the base beside them."""

TAKEN_OVER = 0.5
"""Share of the truth of a base clip that is what the network in use answers to it."""

FALL = 0.02
"""What is true may become less probable in no corpus of the base by more than this, nats."""

SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.0)
"""Of the way to the new weights that are tried, until the base allows one."""


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
    feedback asks for it; and at last it goes back as far as base speakers who are not learnt ask for. Sources: as in
    `ser.training.head`. How sure the answers may be is taken from before, changed by as much as they became surer of
    these speakers.

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
    base = BaseCorpora.read(folders, lesson.config.seed, without=speakers_of(lesson))
    sides = (base.replayed, base.watching, base.judging)
    replayed, watching, judging = (base_features(side, lesson.should_stop) for side in sides)
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
        replace(config, epoch_size=2 * TIMES * len(taught), corpus_weights=weights),
        dev=watched,
        device=lesson.device,
        checkpoint_dir=lesson.checkpoint_dir / "all-layers",
        on_progress=placed(lesson.on_progress, (0.35, 1.0), before=len(begun.curve)),
        should_stop=lesson.should_stop,
    )
    network, share, temperature = fit.network, 1.0, begun.temperature
    found = dict(begun.metrics["temperature"])  # type: ignore[call-overload]
    if watching is not None:
        network, share = as_far_as_allowed(in_use, begun.network, fit.network, watching)
        surer = [temperature_of(predict_logits(each, watching), watching) for each in (network, begun.network)]
        temperature = float(np.clip(temperature * surer[0] / surer[1], *TEMPERATURE_RANGE))
        found |= {"after": temperature, "changed_by_base": surer[0] / surer[1]}
        lesson.say(f"Of what all layers learnt {share:.0%} is kept, as much as the base allows.")
    curve = [{**entry, "epoch": place} for place, entry in enumerate([*begun.curve, *fit.curve], 1)]
    return replace(
        begun,
        network=network,
        temperature=temperature,
        config=config,
        curve=curve,
        metrics={
            **begun.metrics,
            "best_epoch": len(curve),
            "temperature": found,
            "all_layers_share": share,
        },
        data={**begun.data, "replayed_clips": len(replayed)},
        prototypes=make_prototypes(network, replayed, judging),
    )


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(torch.softmax(torch.from_numpy(logits), dim=1).numpy())


def as_far_as_allowed(
    in_use: AcousticModelForAudioClassification,
    begun: AcousticModelForAudioClassification,
    learnt: AcousticModelForAudioClassification,
    watching: FeatureSet,
) -> tuple[AcousticModelForAudioClassification, float]:
    """As far on the way from what was begun with to what was learnt as no corpus is forgotten.

    By probabilities, which tell of a loss long before a label changes.

    Args:
        in_use: what may not be forgotten.
        begun: with a judging part that has learnt.
        learnt: all of whose layers have learnt after that.
        watching: clips of the base whose speakers none of them has learnt.

    Returns:
        The network, and how far it is on the way, 0..1.
    """
    before = [_worth(network, watching) for network in (in_use, begun)]
    least = {corpus: min(worth[corpus] for worth in before) - FALL for corpus in before[0]}
    for share in SHARES:
        mixed = between(begun, learnt, share)
        if all(worth >= least[corpus] for corpus, worth in _worth(mixed, watching).items()):
            return mixed, share
    return begun, 0.0


def _worth(network: AcousticModelForAudioClassification, data: FeatureSet) -> dict[str, float]:
    """Log probability of what is true, nats, by corpus: mean over labels of the mean over their clips."""
    logits = predict_logits(network, data)
    chances = torch.log_softmax(torch.from_numpy(logits / temperature_of(logits, data)), dim=1).numpy()
    truths, corpora = data.targets.argmax(1), np.array(data.corpora)
    of_truth = chances[np.arange(len(truths)), truths]
    worths = {}
    for corpus in sorted(set(data.corpora)):
        own = corpora == corpus
        worths[corpus] = float(np.mean([of_truth[own & (truths == k)].mean() for k in np.unique(truths[own])]))
    return worths
