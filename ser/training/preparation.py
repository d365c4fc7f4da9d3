"""Examples -> features in memory: decoded, cut to speech, changed into variants, cached on disk. Knows no network."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

from ser.acoustic.features import FEATURE_SIZE
from ser.augmentation import SignalAugmentation
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.training.dataset import FeatureSet
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.types import Example, Signal, SpeechDetector
from ser.variants import NoisePool, VariantRecipe, Variants, variants_alone, variants_or_sentence

MIN_EXAMPLES_FOR_WORKERS = 200
"""Under it, threads are done before worker processes have started (some five seconds)."""


@dataclass(frozen=True)
class Preparation:
    """How features are made.

    Attributes:
        variants: changed recordings of each example beside the untouched one.
        seed: of the changes.
        noises: recordings to mix in; synthetic noise without.
        augmentation: how far a variant may be changed.
        cache_dir: where features are kept by content; None keeps nothing.
        detector: of speech; None takes Silero's.
        tolerated: share of recordings that may be unusable and are left out; beyond it that is an error.
        labels: of the targets, in order.
        workers: processes that share the work; None takes as many as there are cores where there is enough to do.
            A detector of the caller's own stays in this process, whatever stands here.
        on_progress: told every few examples, as stage `preparing`.
        should_stop: asked at every example.
    """

    variants: int = 0
    seed: int = 0
    noises: Sequence[Signal] = ()
    augmentation: SignalAugmentation = field(default_factory=SignalAugmentation)
    cache_dir: Path | None = None
    detector: SpeechDetector | None = None
    tolerated: float = 0.0
    labels: Sequence[str] = EMOTIONS
    workers: int | None = None
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
    recipe = VariantRecipe(how.variants, how.seed, how.augmentation, how.cache_dir)
    noises = NoisePool.of(how.noises if how.variants else ())
    tick = _ticker(len(examples), how)
    variants: list[Variants | str] = []
    for made in _made([example.path for example in examples], recipe, noises, how):
        tick()
        variants.append(made)
    skipped = tuple(v for v in variants if isinstance(v, str))
    if len(skipped) > how.tolerated * len(examples):
        raise TrainingDataError(f"{len(skipped)} of {len(examples)} recordings cannot be used. First: {skipped[0]}")
    kept = [example for example, v in zip(examples, variants, strict=True) if not isinstance(v, str)]
    return FeatureSet(
        [v for v in variants if not isinstance(v, str)],
        np.stack([example.shares(how.labels) for example in kept]),
        np.array([example.weight for example in kept], dtype=np.float32),
        [example.speaker for example in kept],
        [example.corpus for example in kept],
        [str(example.path) for example in kept],
        skipped,
        np.array([np.nan if e.intensity is None else e.intensity for e in kept], dtype=np.float32),
    )


def _made(
    paths: Sequence[Path], recipe: VariantRecipe, noises: NoisePool, how: Preparation
) -> Iterator[Variants | str]:
    """The features of each file, in order, or a sentence on what is wrong with it."""
    workers = how.workers or (cpu_count() if len(paths) >= MIN_EXAMPLES_FOR_WORKERS else 1)
    if how.detector is None and workers > 1:
        # Each worker is a process: finding speech holds Python's lock, and codecs are slow.
        try:
            with Parallel(n_jobs=workers, return_as="generator", batch_size=4, pre_dispatch="4 * n_jobs") as parallel:
                yield from parallel(delayed(variants_alone)(path, recipe, noises, os.getpid()) for path in paths)
        finally:
            # They would stay for minutes, with their memory.
            get_reusable_executor().shutdown(wait=False)
        return
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        yield from pool.map(lambda path: variants_or_sentence(path, recipe, noises, how.detector), paths)


def _ticker(total: int, how: Preparation) -> Callable[[], None]:
    """Counts examples, tells of them, and stops the work when asked to."""
    started = time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done
        if how.should_stop is not None and how.should_stop():
            raise TrainingCancelledError("Training was stopped while the recordings were prepared.")
        done += 1
        if how.on_progress is not None and (done % 25 == 0 or done == total):
            eta = (time.monotonic() - started) / done * (total - done)
            how.on_progress(TrainProgress(0, 0, done, total, None, None, eta, stage="preparing"))

    return tick


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
