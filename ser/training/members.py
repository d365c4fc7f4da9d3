"""Trains the networks of a model one after the other, and joins them. Knows nothing of files or corpora."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ser.acoustic.network import (
    AcousticConfig,
    AcousticModelForAudioClassification,
    answer_with,
    join_members,
    split_members,
)
from ser.config import TrainConfig
from ser.labels import EMOTIONS, to_emotion
from ser.training.dataset import FeatureSet
from ser.training.functional_fit import fit_functionals, is_unfitted
from ser.training.loop import Fit, fit
from ser.training.progress import OnProgress, ShouldStop, TrainProgress

SEED_STEP = 1000
"""From a member's seed to the next one's: the seeds that people give do not meet."""


@dataclass(frozen=True)
class _Turn:
    """Which member's turn it is, so that progress counts them all as one run."""

    place: int
    members: int

    def moved(self, progress: TrainProgress) -> TrainProgress:
        """The progress of one member as that of the whole."""
        left = progress.eta
        if left is not None and progress.step:
            # What is left of this member, and the members after it at the same speed.
            of_one = left * progress.steps / max(1, progress.steps - progress.step)
            left += (self.members - self.place - 1) * of_one
        return replace(
            progress,
            epoch=progress.epoch + self.place * progress.epochs,
            epochs=progress.epochs * self.members,
            step=progress.step + self.place * progress.steps,
            steps=progress.steps * self.members,
            eta=left,
        )


def fresh_network(config: TrainConfig) -> AcousticModelForAudioClassification:
    """The networks of a configuration before any training, each drawn from the seed that it is trained with."""
    shape = AcousticConfig(**label_names(config.heard_labels), **dict(config.network))
    alone = []
    for place, changed in enumerate(shape.members):
        torch.manual_seed(config.seed + SEED_STEP * place)
        alone.append(AcousticModelForAudioClassification(shape.changed(members=[dict(changed)])))
    return join_members(alone)


def fit_members(
    network: AcousticModelForAudioClassification,
    data: FeatureSet,
    config: TrainConfig,
    *,
    dev: FeatureSet | None = None,
    device: str = "cpu",
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Fit:
    """Train every member by itself, each with a seed of its own; arguments and errors as those of `fit`.

    Networks that make different mistakes answer better together; trained together they would come to make the same.

    Returns:
        The members joined, rounded to half precision, in which they are saved; the curve counts their epochs on.
    """
    alone = split_members(network)
    fits = []
    for place, single in enumerate(alone):
        turn = _Turn(place, len(alone))
        if is_unfitted(single):
            told = _told(on_progress, turn)
            own = replace(config, seed=config.seed + SEED_STEP * place)
            fits.append(fit_functionals(single, data, own, dev=dev, on_progress=told, should_stop=should_stop))
            continue
        fits.append(
            fit(
                single,
                data,
                replace(config, seed=config.seed + SEED_STEP * place),
                dev=dev,
                device=device,
                checkpoint_dir=_member_dir(checkpoint_dir, turn),
                on_progress=_told(on_progress, turn),
                should_stop=should_stop,
            )
        )
    joined = join_members([result.network for result in fits]).eval()
    curve: list[dict[str, object]] = []
    for result in fits:
        curve += [{**entry, "epoch": len(curve) + n} for n, entry in enumerate(result.curve, 1)]
    return Fit(rounded(joined), curve, fits[0].best_epoch)


def rounded(network: AcousticModelForAudioClassification) -> AcousticModelForAudioClassification:
    """With the weights as half precision has them: what is measured is then what is saved."""
    return network.half().float()


def between(
    old: AcousticModelForAudioClassification, new: AcousticModelForAudioClassification, share: float
) -> AcousticModelForAudioClassification:
    """A network whose weights lie so far on the way from the old ones to the new ones, 0..1; see `rounded`.

    Source: Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903
    """
    mixed = copy.deepcopy(old).eval()
    with torch.no_grad():
        for ours, theirs in zip(mixed.parameters(), new.parameters(), strict=True):
            ours.lerp_(theirs, share)
    return rounded(mixed)


def heard_as(labels: Sequence[str]) -> dict[str, str]:
    """{label that is told apart: emotion that it counts as}.

    >>> heard_as(("anger", "calm", "neutral"))
    {'calm': 'neutral'}
    """
    return {label: to_emotion(label) or label for label in labels if label not in EMOTIONS}


def in_emotions(data: FeatureSet, labels: Sequence[str]) -> FeatureSet:
    """The same examples with truths in `EMOTIONS`, of truths in `labels`."""
    counts_as = heard_as(labels)
    merge = np.zeros((len(labels), len(EMOTIONS)), dtype=np.float32)
    for row, label in enumerate(labels):
        merge[row, EMOTIONS.index(counts_as.get(label, label))] = 1.0
    return replace(data, targets=data.targets @ merge)


def answer_in_emotions(
    network: AcousticModelForAudioClassification, labels: Sequence[str]
) -> AcousticModelForAudioClassification:
    """A network that tells `labels` apart, answering in `EMOTIONS`."""
    if tuple(labels) == EMOTIONS:
        return network
    return answer_with(network, EMOTIONS, heard_as(labels))


def _member_dir(checkpoint_dir: Path | None, turn: _Turn) -> Path | None:
    """Where one member's run is kept; the run of a single network is the whole."""
    if checkpoint_dir is None or turn.members == 1:
        return checkpoint_dir
    return checkpoint_dir / f"member-{turn.place + 1}"


def _told(on_progress: OnProgress | None, turn: _Turn) -> OnProgress | None:
    if on_progress is None or turn.members == 1:
        return on_progress
    return lambda progress: on_progress(turn.moved(progress))


def label_names(labels: Sequence[str]) -> Mapping[str, object]:
    """Labels as a configuration of transformers has them."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: n for n, label in enumerate(labels)},
    }
