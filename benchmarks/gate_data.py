"""What the benchmark of the gate plays with: vectors of real clips by the embedded network, and heads on top of them.

The feedback is of speakers that the embedded network never learnt from; the base is of those that it did.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.classifier import EMBEDDED_FOLDER, load_network
from ser.acoustic.network import pad_features
from ser.checkpoints import load_meta
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.training.engine import torch_threads
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.types import EmotionScores, Example

CORPORA = ("ravdess", "nemo", "emodb", "turev")
BATCH = 32

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips as the embedded network hears them.

    Attributes:
        vectors: of shape (clips, size).
        logits: what its own head says, of shape (clips, labels).
        truth: index of each clip's label in `EMOTIONS`.
        speakers: of each clip.
    """

    vectors: Vectors
    logits: Vectors
    truth: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, places: npt.NDArray[np.int64]) -> "Clips":
        """Some of them, in that order."""
        return Clips(self.vectors[places], self.logits[places], self.truth[places], self.speakers[places])

    def names(self) -> list[str]:
        """The label of each."""
        return [EMOTIONS[index] for index in self.truth]

    def base_answers(self) -> list[str]:
        """What the embedded network says."""
        return [EMOTIONS[index] for index in self.logits.argmax(1)]


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer beside the embedded network's own, which it is added to."""

    weight: Vectors
    bias: Vectors

    def added(self, clips: Clips) -> Vectors:
        """What it adds to the network's logits."""
        return np.asarray(clips.vectors @ self.weight + self.bias)

    def logits(self, clips: Clips) -> Vectors:
        """The network's with this head."""
        return np.asarray(clips.logits + self.added(clips))

    def answers(self, clips: Clips) -> list[str]:
        """What the network says with this head."""
        return [EMOTIONS[index] for index in self.logits(clips).argmax(1)]


def softmax(logits: Vectors) -> npt.NDArray[np.float64]:
    """Probabilities, of the same shape."""
    shares = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


def as_scores(logits: Vectors) -> list[EmotionScores]:
    """As models answer."""
    return [EmotionScores(tuple(row.tolist())) for row in softmax(logits)]


def train_head(
    clips: Clips, labels: npt.NDArray[np.int64], *, epochs: int, learning_rate: float, seed: int = 0
) -> Head:
    """Train a head from zero, so that it begins as the network in use.

    Args:
        clips: what it learns from.
        labels: index of the label of each that it is told.
        epochs: steps of AdamW over all of them.
        learning_rate: of it.
        seed: of the order of nothing but torch's own.
    """
    torch.manual_seed(seed)
    vectors, logits = torch.from_numpy(clips.vectors), torch.from_numpy(clips.logits)
    head = torch.nn.Linear(vectors.shape[1], len(EMOTIONS))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimiser = torch.optim.AdamW(head.parameters(), lr=learning_rate, weight_decay=0.01)
    wanted = torch.from_numpy(labels)
    # The steps are tiny: with several threads they would mostly wait for each other.
    with torch_threads(1):
        for _ in range(epochs):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(logits + head(vectors), wanted, label_smoothing=0.1).backward()
            optimiser.step()
    return Head(head.weight.detach().numpy().T.copy(), head.bias.detach().numpy().copy())


def load_clips(data: Path, *, for_each: int, base_clips: int, seed: int) -> tuple[Clips, Clips]:
    """Clips of speakers that the embedded network never learnt from, and clips of those that it did.

    Args:
        data: the folder of the corpora.
        for_each: at most so many of each new speaker.
        base_clips: at most so many of the others together.
        seed: draws which.

    Raises:
        TrainingDataError: where there is none of the corpora.
    """
    draw = random.Random(seed)
    learnt = _learnt_from()
    new: dict[str, list[Example]] = {}
    known: list[Example] = []
    for name in CORPORA:
        if not (data / name / "metadata.csv").is_file():
            continue
        for example in load_corpus(data / name):
            if example.speaker in learnt:
                known.append(example)
            else:
                new.setdefault(example.speaker, []).append(example)
    if not new or not known:
        raise TrainingDataError(f"There are no corpora in {data}; name their folder with --data.")
    feedback = [e for part in new.values() for e in draw.sample(part, min(for_each, len(part)))]
    return _hear(feedback), _hear(draw.sample(known, min(base_clips, len(known))))


def _learnt_from() -> set[str]:
    """Speakers whose clips the embedded network was trained on."""
    speakers = load_meta(EMBEDDED_FOLDER).data["speakers"]
    return {str(speaker) for speaker in speakers}  # type: ignore[attr-defined]


def _hear(examples: list[Example]) -> Clips:
    prepared = prepare(examples, Preparation(variants=0, seed=0, cache_dir=default_cache_dir(), tolerated=0.02))
    network = load_network(EMBEDDED_FOLDER)
    vectors, logits = [], []
    with torch.inference_mode():
        for first in range(0, len(prepared), BATCH):
            features, mask = pad_features([v[0].astype(np.float32) for v in prepared.variants[first : first + BATCH]])
            given = torch.from_numpy(features), torch.from_numpy(mask)
            vectors.append(torch.cat(network.embed(*given), dim=1))
            logits.append(network(*given).logits)
    rows = torch.cat(vectors)
    return Clips(
        # In units of the vectors' own size, so that one learning rate suits all networks.
        (rows / rows.norm(dim=1).mean() * rows.shape[1] ** 0.5).numpy(),
        torch.cat(logits).numpy(),
        prepared.targets.argmax(1).astype(np.int64),
        np.array(prepared.speakers),
    )
