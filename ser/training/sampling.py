"""Choice of the examples that share a step, by labels, speakers, corpora and lengths. Reads no recording."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ser.config import TrainConfig

POOL = 8
"""Steps' worth of examples that are sorted by length together."""

Places = npt.NDArray[np.int64]


def draw_probabilities(
    targets: npt.NDArray[np.float32], corpora: Sequence[str], corpus_weights: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    """Probability of drawing each example: corpora by weight, and within a corpus every label alike.

    Returns:
        Shape (examples,), sum 1.

    >>> targets = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    >>> print(draw_probabilities(targets, ["a", "a", "a"], {}))
    [0.25 0.25 0.5 ]
    """
    labels = targets.argmax(1).tolist()
    cells = Counter(zip(corpora, labels, strict=True))
    labels_of = Counter(corpus for corpus, _ in cells)
    shares = np.array(
        [
            corpus_weights.get(corpus, 1.0) / labels_of[corpus] / cells[corpus, label]
            for corpus, label in zip(corpora, labels, strict=True)
        ]
    )
    return shares / shares.sum()


def class_weights(targets: npt.NDArray[np.float32], power: float) -> npt.NDArray[np.float32]:
    """Weight of each label: the rarer, the larger; mean 1 over the examples.

    >>> print(class_weights(np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32), 1.0).round(2))
    [0.67 2.  ]
    """
    counts = targets.sum(0)
    weights = np.where(counts > 0, np.maximum(counts, 1e-6) ** -power, 0.0)
    return (weights * counts.sum() / max(float((weights * counts).sum()), 1e-9)).astype(np.float32)


def allowed_labels(targets: npt.NDArray[np.float32], corpora: Sequence[str]) -> npt.NDArray[np.float32]:
    """1 where an example's corpus has a label at all, shape (examples, labels)."""
    seen: dict[str, npt.NDArray[np.float32]] = {}
    for corpus, target in zip(corpora, targets, strict=True):
        seen[corpus] = np.maximum(seen.get(corpus, 0.0), (target > 0).astype(np.float32))
    return np.stack([seen[corpus] for corpus in corpora])


class Sampler:
    """Plans the steps of an epoch.

    Everything drawn follows from the seed and the epoch: a run that goes on after a kill, and each of several
    processes, needs to know nothing else.

    Attributes:
        probabilities: of each example to be drawn, shape (examples,); None where each is shown once in an epoch.
        label_weights: how much each label counts, shape (labels,).
    """

    def __init__(
        self,
        targets: npt.NDArray[np.float32],
        corpora: Sequence[str],
        lengths: npt.NDArray[np.int64],
        config: TrainConfig,
    ) -> None:
        self.config = config
        self.lengths = lengths
        drawn = config.epoch_size is not None
        self.probabilities = draw_probabilities(targets, corpora, config.corpus_weights) if drawn else None
        # Drawing evens the labels out already; weighting them as well would count the rare ones twice.
        self.label_weights = class_weights(targets, 0.0 if drawn else config.class_weight_power)

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return math.ceil((self.config.epoch_size or len(self.lengths)) / self.config.batch_size)

    def plan(self, epoch: int) -> list[Places]:
        """The examples of each step of an epoch, as places in the data."""
        generator = np.random.default_rng([self.config.seed, epoch])
        if self.probabilities is None:
            order = generator.permutation(len(self.lengths))
        else:
            order = generator.choice(len(self.lengths), self.config.epoch_size, p=self.probabilities)
        # Clips of like length share a step, so that little of it is padding; which step comes when stays random.
        chunks = np.array_split(order, self.steps)
        steps: list[Places] = []
        for first in range(0, self.steps, POOL):
            pool = np.concatenate(chunks[first : first + POOL])
            ordered = pool[np.argsort(self.lengths[pool], kind="stable")]
            steps += np.array_split(ordered, len(chunks[first : first + POOL]))
        return [steps[place] for place in generator.permutation(len(steps))]
