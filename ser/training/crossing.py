"""How sure a recipe's model may be of somebody new: found on every speaker, each answered by a network without them.

A handful of dev speakers may be harder or easier to hear than most; the temperature would be theirs. Knows features
and a configuration; reads no files.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ser.calibration import fit_temperature
from ser.config import TrainConfig
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.members import in_emotions
from ser.training.run import TrainedModel

Learn = Callable[[FeatureSet, TrainConfig, str], TrainedModel]
"""Trains on examples as the configuration says; the name tells the runs of one recipe apart."""


@dataclass(frozen=True)
class Answered:
    """Clips and what was said of them by a network that never heard their speakers.

    Attributes:
        logits: of the emotions, shape (clips, labels).
        data: truths in emotions.
    """

    logits: npt.NDArray[np.float32]
    data: FeatureSet

    @classmethod
    def by(cls, model: TrainedModel, data: FeatureSet, labels: Sequence[str]) -> "Answered":
        """Let a model answer; truths are in `labels`."""
        return cls(predict_logits(model.network, data), in_emotions(data, labels))


def answer_crosswise(
    data: FeatureSet, parts: Sequence[set[str]], config: TrainConfig, labels: Sequence[str], learn: Learn
) -> list[Answered]:
    """Answer each part of the speakers by a network that learnt from all others.

    Args:
        data: of all who teach, truths in `labels`.
        parts: of the speakers, as `ser.splits.part_speakers` gives them.
        config: of the recipe; `crossed_network` says how these networks differ.
        labels: that networks learn to tell apart.
        learn: trains one.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    own = replace(config, crossed=0, refit=False, network={**config.network, **config.crossed_network})
    everyone = set(data.speakers)
    answered = []
    for number, part in enumerate(parts, 1):
        model = learn(data.of_speakers(everyone - part), own, f"part-{number}")
        answered.append(Answered.by(model, data.of_speakers(part), labels))
    return answered


def joint_temperature(answered: Sequence[Answered]) -> float:
    """The temperature that suits all these answers; every speaker counts alike, as the next one will be one more."""
    speakers = [speaker for part in answered for speaker in part.data.speakers]
    clips = Counter(speakers)
    weights = np.array([1.0 / clips[speaker] for speaker in speakers], dtype=np.float32)
    logits = np.concatenate([part.logits for part in answered])
    return fit_temperature(logits, np.concatenate([part.data.targets for part in answered]), weights)


def joint_uar(answered: Sequence[Answered]) -> dict[str, float]:
    """UAR by corpus of all these answers together."""
    targets = np.concatenate([part.data.targets for part in answered])
    together = FeatureSet(
        [clip for part in answered for clip in part.data.variants],
        targets,
        np.ones(len(targets), np.float32),
        [speaker for part in answered for speaker in part.data.speakers],
        [corpus for part in answered for corpus in part.data.corpora],
    )
    return uar_by_corpus(np.concatenate([part.logits for part in answered]), together)
