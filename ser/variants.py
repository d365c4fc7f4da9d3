"""A recording -> its features and those of changed copies of it, kept on disk by content.

Imports little, as each of several worker processes loads it. Knows no examples, no labels and no network.
"""

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.features import extract_features
from ser.audio import decode_file
from ser.augmentation import SignalAugmentation
from ser.errors import AudioError
from ser.types import Signal, SpeechDetector
from ser.vad import SileroDetector, trim_to_speech

CACHE_VERSION = 3
"""Part of every key: raise it whenever features, speech detection or augmentation change."""

Variants = list[npt.NDArray[np.float16]]


@dataclass(frozen=True)
class NoisePool:
    """Recordings of noise end to end: one array is shared among processes, hundreds would be copied.

    Attributes:
        samples: float32 of shape (samples,).
        ends: of each recording, int64 of shape (recordings,).
        key: hash of all of it.
    """

    samples: Signal
    ends: npt.NDArray[np.int64]
    key: str

    @classmethod
    def of(cls, noises: Sequence[Signal]) -> "NoisePool":
        """Put recordings together."""
        samples = np.concatenate([np.zeros(0, np.float32), *noises]).astype(np.float32)
        ends = np.cumsum([len(noise) for noise in noises], dtype=np.int64)
        return cls(samples, ends, hashlib.sha256(samples.tobytes() + ends.tobytes()).hexdigest())

    def __len__(self) -> int:
        return len(self.ends)

    def recordings(self) -> list[Signal]:
        """Each of them, without copying."""
        return list(np.split(self.samples, self.ends[:-1])) if len(self.ends) else []


@dataclass(frozen=True)
class VariantRecipe:
    """How features and changed copies are made.

    Attributes:
        count: changed copies beside the untouched recording.
        seed: of the changes.
        augmentation: how far a copy may be changed.
        cache_dir: where features are kept by content; None keeps nothing.
    """

    count: int
    seed: int
    augmentation: SignalAugmentation
    cache_dir: Path | None

    def key(self, content: str, noise_key: str) -> str:
        """Names what comes of a file with this content."""
        # Untouched recordings are the same whatever copies might have been made.
        changes = f"{self.count} {self.seed} {noise_key} {asdict(self.augmentation)}" if self.count else "0"
        return hashlib.sha256(f"{CACHE_VERSION} {content} {changes}".encode()).hexdigest()


def make_variants(
    path: Path, recipe: VariantRecipe, noises: NoisePool, detector: SpeechDetector | None = None
) -> Variants:
    """Features of a recording, the untouched one first.

    Args:
        path: of the recording.
        recipe: what else is wanted.
        noises: to mix in; synthetic noise where there are none.
        detector: of speech, to which recordings are cut; Silero's where left out.

    Returns:
        float16 of shape (frames, FEATURE_SIZE) each.

    Raises:
        AudioError: where it cannot be used.
        OSError: where it cannot be read.
    """
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    if recipe.cache_dir is None:
        return _make(path, content, recipe, noises, detector)
    key = recipe.key(content, noises.key)
    # Named after the recording, so that what was made of it can be found when it is to be erased.
    file = recipe.cache_dir / content[:2] / f"{content}-{key[:32]}.npz"
    if file.is_file():
        with np.load(file) as stored:
            ends = stored["ends"]
            return np.split(stored["features"], ends[:-1])
    features = _make(path, content, recipe, noises, detector)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and moved, so that a killed run leaves no half a file behind.
    building = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with building.open("wb") as out:
        np.savez(out, features=np.concatenate(features), ends=np.cumsum([len(f) for f in features]))
    os.replace(building, file)
    return features


def _make(
    path: Path, content: str, recipe: VariantRecipe, noises: NoisePool, detector: SpeechDetector | None
) -> Variants:
    audio = decode_file(path)
    signal = trim_to_speech(audio, (detector or own_detector()).detect(audio)).signal
    # Seeded by content, so that neither the order of the examples nor the number of workers matters.
    generator = np.random.default_rng([recipe.seed, int(content[:15], 16)])
    recordings = noises.recordings()
    copies = (recipe.augmentation.apply(signal, recordings, generator) for _ in range(recipe.count))
    return [extract_features(copy).astype(np.float16) for copy in (signal, *copies)]


@lru_cache(maxsize=1)
def own_detector() -> SpeechDetector:
    """This process's own."""
    return SileroDetector()


def variants_or_sentence(
    path: Path, recipe: VariantRecipe, noises: NoisePool, detector: SpeechDetector | None = None
) -> Variants | str:
    """As `make_variants`, with a sentence on what is wrong with a recording that cannot be used."""
    try:
        return make_variants(path, recipe, noises, detector)
    except (AudioError, OSError) as error:
        return f"{path}: {error}"


def variants_alone(path: Path, recipe: VariantRecipe, noises: NoisePool, parent: int | None = None) -> Variants | str:
    """As `variants_or_sentence`, in a worker process of `parent`: each keeps to one thread."""
    if parent is not None:
        _end_with(parent)
    torch.set_num_threads(1)
    return variants_or_sentence(path, recipe, noises)


@lru_cache(maxsize=1)
def _end_with(parent: int) -> None:
    """End this process when its parent has ended: killed, it could not say so, and its workers would wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
