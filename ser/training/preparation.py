"""Examples -> features in memory: decoded, cut to speech, changed into variants, cached on disk. Knows no network."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.features import FEATURE_SIZE, extract_features
from ser.audio import decode_file
from ser.augmentation import SignalAugmentation
from ser.errors import AudioError, TrainingCancelledError, TrainingDataError
from ser.training.dataset import FeatureSet
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.types import Example, Signal, SpeechDetector
from ser.vad import SileroDetector, trim_to_speech

CACHE_VERSION = 1
"""Part of every key: raise it whenever features, speech detection or augmentation change."""


@dataclass(frozen=True)
class Preparation:
    """How features are made.

    Attributes:
        variants: changed recordings of each example beside the untouched one.
        seed: of the changes.
        noises: recordings to mix in; synthetic noise without.
        cache_dir: where features are kept by content; None keeps nothing.
        detector: of speech; None takes Silero's.
        tolerated: share of recordings that may be unusable and are left out; beyond it that is an error.
        on_progress: told every few examples, as stage `preparing`.
        should_stop: asked at every example.
    """

    variants: int = 0
    seed: int = 0
    noises: Sequence[Signal] = ()
    cache_dir: Path | None = None
    detector: SpeechDetector | None = None
    tolerated: float = 0.0
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None


def default_cache_dir() -> Path:
    """Where features are kept for this user; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "features"


def prepare(examples: Sequence[Example], how: Preparation) -> FeatureSet:
    """Features of every example.

    Args:
        examples: whose files are read.
        how: see there.

    Returns:
        Those whose files can be used, in order, with a sentence in `skipped` for each of the others.

    Raises:
        TrainingDataError: where there are no examples, or more files than tolerated cannot be used; names the first.
        TrainingCancelledError: when asked to stop.
    """
    if not examples:
        raise TrainingDataError("There are no examples. Give recordings with labels.")
    detector = how.detector or SileroDetector()
    noise_key = hashlib.sha256(b"".join(noise[:64].tobytes() for noise in how.noises)).hexdigest()
    tick = _ticker(len(examples), how)

    def features_of(example: Example) -> list[npt.NDArray[np.float16]] | str:
        try:
            features = _cached_features(example.path, how, detector, noise_key)
        except (AudioError, OSError) as error:
            return f"{example.path}: {error}"
        finally:
            tick()
        return features

    # The work is in numpy, torch and ONNX, which let other threads run; the order of results stays.
    workers = max(1, min(torch.get_num_threads(), os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as pool:
        variants = list(pool.map(features_of, examples))
    skipped = tuple(v for v in variants if isinstance(v, str))
    if len(skipped) > how.tolerated * len(examples):
        raise TrainingDataError(f"{len(skipped)} of {len(examples)} recordings cannot be used. First: {skipped[0]}")
    kept = [example for example, v in zip(examples, variants, strict=True) if not isinstance(v, str)]
    return FeatureSet(
        [v for v in variants if not isinstance(v, str)],
        np.stack([example.soft_label for example in kept]),
        np.array([example.weight for example in kept], dtype=np.float32),
        [example.speaker for example in kept],
        [example.corpus for example in kept],
        [str(example.path) for example in kept],
        skipped,
    )


def _ticker(total: int, how: Preparation) -> Callable[[], None]:
    """Counts examples, tells of them, and stops the work when asked to."""
    lock, started = threading.Lock(), time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done
        if how.should_stop is not None and how.should_stop():
            raise TrainingCancelledError("Training was stopped while the recordings were prepared.")
        with lock:
            done += 1
            if how.on_progress is not None and (done % 25 == 0 or done == total):
                eta = (time.monotonic() - started) / done * (total - done)
                how.on_progress(TrainProgress(0, 0, done, total, None, None, eta, stage="preparing"))

    return tick


def _cached_features(
    path: Path, how: Preparation, detector: SpeechDetector, noise_key: str
) -> list[npt.NDArray[np.float16]]:
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    if how.cache_dir is None:
        return _make_features(path, content, how, detector)
    key = hashlib.sha256(f"{CACHE_VERSION} {content} {how.variants} {how.seed} {noise_key}".encode()).hexdigest()
    file = how.cache_dir / key[:2] / f"{key}.npz"
    if file.is_file():
        with np.load(file) as stored:
            ends = stored["ends"]
            return np.split(stored["features"], ends[:-1])
    features = _make_features(path, content, how, detector)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and moved, so that a killed run leaves no half a file behind.
    building = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with building.open("wb") as out:
        np.savez(out, features=np.concatenate(features), ends=np.cumsum([len(f) for f in features]))
    os.replace(building, file)
    return features


def _make_features(
    path: Path, content: str, how: Preparation, detector: SpeechDetector
) -> list[npt.NDArray[np.float16]]:
    audio = decode_file(path)
    signal = trim_to_speech(audio, detector.detect(audio)).signal
    # Seeded by content, so that neither the order of the examples nor the number of threads matters.
    generator = np.random.default_rng([how.seed, int(content[:15], 16)])
    augmentation = SignalAugmentation()
    signals = [signal, *(augmentation.apply(signal, how.noises, generator) for _ in range(how.variants))]
    return [extract_features(s).astype(np.float16) for s in signals]


def feature_statistics(data: FeatureSet) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and deviation of each feature over the untouched recordings, each of shape (FEATURE_SIZE,)."""
    total, squares, frames = np.zeros(FEATURE_SIZE), np.zeros(FEATURE_SIZE), 0
    for variants in data.variants:
        values = variants[0].astype(np.float64)
        total += values.sum(0)
        squares += np.square(values).sum(0)
        frames += len(values)
    mean = total / frames
    deviation = np.sqrt(np.maximum(squares / frames - mean**2, 1e-6))
    return mean.astype(np.float32), deviation.astype(np.float32)
