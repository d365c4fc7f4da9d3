"""One recording -> the embeddings of it and of augmented copies of it, kept on disk by content.

Imports little, as each of several worker processes loads it. Knows no examples and no labels.
"""

import hashlib
import os
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ser.audio.augmentation import SignalAugmentation
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.config import EMBEDDED
from ser.encoder.loading import load_encoder
from ser.encoder.windows import embed_clips
from ser.errors import AudioError
from ser.protocols import SpeechDetector
from ser.types import Signal

CACHE_VERSION = 4
"""Part of every key: raise it whenever decoding, speech detection, windows or augmentation change."""

ClipEmbeddings = npt.NDArray[np.float16]
"""Shape (1 + copies, size), the untouched recording first."""


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
class CopyPlan:
    """Plan of the copies to embed of each recording, and the cache of their embeddings.

    Attributes:
        augmentations: one copy is embedded for each; those that stand here twice are drawn anew.
        seed: of the changes.
        encoder: as `ser.encoder.loading.load_encoder` takes it.
        device: of encoders that run on torch.
        cache_dir: where embeddings are kept by content; None keeps nothing.
    """

    augmentations: tuple[SignalAugmentation, ...] = ()
    seed: int = 0
    encoder: str = EMBEDDED
    device: str = "cpu"
    cache_dir: Path | None = None

    def changes(self, noise_key: str) -> list[str]:
        """Describe each copy, independent of the others that are asked for; the untouched recording, first, is `0`."""
        before = [self.augmentations[:place].count(change) for place, change in enumerate(self.augmentations)]
        copies = zip(before, self.augmentations, strict=True)
        return ["0", *(f"{number} {self.seed} {noise_key} {asdict(change)}" for number, change in copies)]

    def key(self, content: str, change: str) -> str:
        """Name the embedding of a file with this content after one of `changes`."""
        encoder = load_encoder(self.encoder, self.device).sha256
        return hashlib.sha256(f"{CACHE_VERSION} {encoder} {content} {change}".encode()).hexdigest()


def embed_file(path: Path, plan: CopyPlan, noises: NoisePool, detector: SpeechDetector | None = None) -> ClipEmbeddings:
    """Embed a recording and augmented copies of it.

    Args:
        path: of the recording.
        plan: what else is wanted.
        noises: to mix in; synthetic noise where there are none.
        detector: of speech, to which recordings are cut; Silero's where left out.

    Returns:
        float16 of shape (1 + copies, size), the untouched recording first.

    Raises:
        AudioError: where it cannot be used.
        OSError: where it cannot be read.
    """
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    changes = plan.changes(noises.key)
    files = []
    if plan.cache_dir is not None:
        # Named after the recording, so that what was made of it can be found when it is to be erased.
        folder = plan.cache_dir / content[:2]
        files = [folder / f"{content}-{plan.key(content, change)[:32]}.npy" for change in changes]
    known = {place: np.load(file)[0] for place, file in enumerate(files) if file.is_file()}
    missing = [place for place in range(len(changes)) if place not in known]
    if missing:
        audio = decode_file(path)
        signal = trim_to_speech(audio, (detector or own_detector()).detect(audio)).signal
        copies = [_copy(signal, content, place, changes[place], plan, noises) for place in missing]
        found = embed_clips(load_encoder(plan.encoder, plan.device), copies).astype(np.float16)
        for place, embedding in zip(missing, found, strict=True):
            known[place] = embedding
            if files:
                _write(files[place], embedding[None])
    return np.stack([known[place] for place in range(len(changes))])


def _copy(signal: Signal, content: str, place: int, change: str, plan: CopyPlan, noises: NoisePool) -> Signal:
    """The recording itself in place 0, or an augmented copy."""
    if place == 0:
        return signal
    # Seeded by content and change, so that neither other copies, nor the order of the examples, nor the number of
    # workers matter.
    generator = np.random.default_rng([int(content[:15], 16), zlib.crc32(change.encode())])
    return plan.augmentations[place - 1].apply(signal, noises.recordings(), generator)


def _write(file: Path, embedding: ClipEmbeddings) -> None:
    """Write aside and move, so that a killed run leaves no half a file behind."""
    file.parent.mkdir(parents=True, exist_ok=True)
    building = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with building.open("wb") as out:
        np.save(out, embedding)
    os.replace(building, file)


@lru_cache(maxsize=1)
def own_detector() -> SpeechDetector:
    """The speech detector of this process."""
    return SileroDetector()


def embeddings_or_sentence(
    path: Path, plan: CopyPlan, noises: NoisePool, detector: SpeechDetector | None = None
) -> ClipEmbeddings | str:
    """Embed as `embed_file`; of a recording that cannot be used, return a sentence on what is wrong with it."""
    try:
        return embed_file(path, plan, noises, detector)
    except (AudioError, OSError) as error:
        return f"{path}: {error}"


def embed_in_worker(path: Path, plan: CopyPlan, noises: NoisePool, parent: int | None = None) -> ClipEmbeddings | str:
    """Embed as `embeddings_or_sentence`, in a worker process of `parent`."""
    if parent is not None:
        _end_with(parent)
    return embeddings_or_sentence(path, plan, noises)


@lru_cache(maxsize=1)
def _end_with(parent: int) -> None:
    """End this process when its parent has ended: killed, it could not say so, and its workers would wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
