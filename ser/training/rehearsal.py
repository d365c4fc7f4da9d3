"""Clips of the base corpora, kept with a head as 4-bit embeddings, to be replayed when it is trained on new clips."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ser.acoustic.head import emotion_of
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.training.embeddings import EmbeddingSet

REHEARSAL_FILE = "rehearsal.safetensors"

LEVELS, SPREAD = 7, 3.5
"""Steps on either side of the mean, and standard deviations that they reach: the error is 2 % of the variance."""

TRAIN_CLIPS, TEST_CLIPS = 800, 280
"""Clips kept to be replayed, and clips of development speakers to measure forgetting on: 2.5 MB in 4 bits."""

DEV_SPEAKERS = (
    *("ravdess_04", "ravdess_10", "ravdess_12", "ravdess_14"),
    *("nemo_IC0", "emodb_09", "emodb_10", "turev_1358"),
    *(f"cremad_{number}" for number in (1015, 1020, 1021, 1030, 1050, 1070, 1079, 1089, 1090)),
)
"""Chosen by: EmoBox's fold 2 of RAVDESS, the validation split of CREMA-D, and some of every other corpus that can
spare a speaker."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Clips of the base corpora that keep a head from forgetting.

    Attributes:
        embeddings: shape (clips, size).
        targets: shape (clips, 7), in `EMOTIONS` order.
        corpora: of each clip.
        speakers: of each clip.
    """

    embeddings: Array
    targets: Array
    corpora: Sequence[str]
    speakers: Sequence[str]

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: npt.NDArray[np.bool_]) -> "Rehearsal":
        """The clips that a mask of shape (clips,) chooses."""
        places = np.flatnonzero(rows).tolist()
        return Rehearsal(
            self.embeddings[rows],
            self.targets[rows],
            [self.corpora[place] for place in places],
            [self.speakers[place] for place in places],
        )

    def save(self, folder: Path) -> None:
        """Write `rehearsal.safetensors` into a head's folder; each number of an embedding keeps 4 bits."""
        names = [f"{corpus}\t{speaker}" for corpus, speaker in zip(self.corpora, self.speakers, strict=True)]
        text = np.frombuffer("\n".join(names).encode(), dtype=np.uint8)
        rows = self.embeddings if len(self) else np.zeros((1, self.embeddings.shape[1]), np.float32)
        mean = rows.mean(axis=0, dtype=np.float32)
        steps = np.maximum(SPREAD * rows.std(axis=0, dtype=np.float32), 1e-12) / np.float32(LEVELS)
        whole = np.clip(np.rint((self.embeddings - mean) / steps), -LEVELS, LEVELS) + LEVELS
        pairs = np.pad(whole.astype(np.uint8), ((0, 0), (0, whole.shape[1] % 2)))
        tensors = {
            "pairs": pairs[:, ::2] << 4 | pairs[:, 1::2],
            "mean": mean,
            "steps": steps,
            "targets": self.targets.astype(np.float16),
            "names": text.copy(),
        }
        save_file(tensors, folder / REHEARSAL_FILE)


@dataclass(frozen=True)
class KeptRehearsal:
    """Rehearsal clips stored with one head, copied unchanged to another: rounding them again would lose precision."""

    source: Path

    @classmethod
    def of(cls, folder: Path) -> "KeptRehearsal | None":
        """The clips in a head's folder; None if it has none."""
        return cls(folder / REHEARSAL_FILE) if (folder / REHEARSAL_FILE).is_file() else None

    def save(self, folder: Path) -> None:
        """Copy the file into another head's folder."""
        shutil.copyfile(self.source, folder / REHEARSAL_FILE)


def load_rehearsal(folder: Path) -> Rehearsal | None:
    """Read what `Rehearsal.save` wrote; None where the folder has none.

    Raises:
        ModelUnavailableError: where the file is damaged.
    """
    path = folder / REHEARSAL_FILE
    if not path.is_file():
        return None
    try:
        tensors = load_file(path)
        names = [line.split("\t") for line in tensors["names"].tobytes().decode().split("\n") if line]
        return Rehearsal(
            _whole(tensors) * tensors["steps"] + tensors["mean"],
            tensors["targets"].astype(np.float32),
            [corpus for corpus, _ in names],
            [speaker for _, speaker in names],
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelUnavailableError(
            f"{path} is damaged: {error}. Take the model from its source again, or remove the file to train without it."
        ) from error


def _whole(tensors: Mapping[str, npt.NDArray[Any]]) -> Array:
    """The steps from the mean, shape (clips, size); versions from before there were 4 bits have 8."""
    if "embeddings" in tensors:
        return tensors["embeddings"].astype(np.float32)
    pairs, size = tensors["pairs"], len(tensors["mean"])
    both = np.stack([pairs >> 4, pairs & 15], axis=2).reshape(len(pairs), -1)[:, :size]
    return both.astype(np.float32) - LEVELS


def draw_rehearsal(train: EmbeddingSet, development: EmbeddingSet | None, seed: int) -> Rehearsal:
    """Draw clips to keep with a head: corpora and the labels of each with like shares, as far as there are clips."""
    parts = [_draw_evenly(train, TRAIN_CLIPS, seed)]
    if development is not None:
        parts.append(_draw_evenly(development, TEST_CLIPS, seed))
    columns = np.array([[emotion_of(label) == emotion for emotion in EMOTIONS] for label in train.labels])
    return Rehearsal(
        np.concatenate([part.plain for part in parts]),
        np.concatenate([part.targets @ columns.astype(np.float32) for part in parts]),
        [corpus for part in parts for corpus in part.corpora],
        [speaker for part in parts for speaker in part.speakers],
    )


def _draw_evenly(data: EmbeddingSet, clips: int, seed: int) -> EmbeddingSet:
    generator = np.random.default_rng(seed)
    corpora, labels = np.array(data.corpora), data.targets.argmax(axis=1)
    groups = sorted({(corpus, label) for corpus, label in zip(data.corpora, labels.tolist(), strict=True)})
    chosen: list[int] = []
    for corpus in sorted(set(data.corpora)):
        mine = [label for name, label in groups if name == corpus]
        share = max(1, round(clips / len(set(data.corpora)) / len(mine)))
        for label in mine:
            rows = np.flatnonzero((corpora == corpus) & (labels == label))
            chosen += generator.permutation(rows)[:share].tolist()
    return data.take(sorted(chosen))
