"""Examples -> embeddings in memory: decoded, cut to speech, augmented, embedded, cached on disk. Knows no head."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky import get_reusable_executor

from ser.errors import TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.protocols import SpeechDetector
from ser.training.clip_embeddings import (
    ClipEmbeddings,
    CopyPlan,
    NoisePool,
    embed_in_worker,
    embeddings_or_sentence,
)
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.types import Example, Signal

MIN_EXAMPLES_FOR_WORKERS = 200
"""Under it, threads are done before worker processes have started (some three seconds)."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class EmbeddingSet:
    """Examples ready for training a head.

    Attributes:
        embeddings: float16 of shape (examples, 1 + copies, size), the untouched recording first.
        targets: float32 of shape (examples, labels), rows of sum 1.
        weights: float32 of shape (examples,).
        speakers: of each example.
        corpora: of each example.
        labels: of the targets' columns.
        paths: of each example's file.
        skipped: a sentence for each recording that was left out.
        intensities: of each example, 0..1, NaN where unknown; shape (examples,).
    """

    embeddings: npt.NDArray[np.float16]
    targets: Array
    weights: Array
    speakers: Sequence[str]
    corpora: Sequence[str]
    labels: Sequence[str]
    paths: Sequence[str]
    intensities: Array
    skipped: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def plain(self) -> Array:
        """Embeddings of the untouched recordings, float32 of shape (examples, size)."""
        return self.embeddings[:, 0].astype(np.float32)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "EmbeddingSet":
        """The examples in these places, in this order."""
        return EmbeddingSet(
            self.embeddings[rows],
            self.targets[rows],
            self.weights[rows],
            [self.speakers[row] for row in rows],
            [self.corpora[row] for row in rows],
            self.labels,
            [self.paths[row] for row in rows],
            self.intensities[rows],
        )


@dataclass(frozen=True)
class EmbeddingPlan:
    """Plan of embedding examples: the encoder, the copies, and the calls that report and stop it.

    Attributes:
        plan: of each recording.
        noises: recordings to mix in; synthetic noise without.
        detector: of speech; None takes Silero's.
        tolerated: share of recordings that may be unusable and are left out; beyond it that is an error.
        labels: of the targets, in order.
        workers: processes that share the work; None takes as many as there are cores where there is enough to do.
            A detector of the caller's own stays in this process, whatever stands here.
        on_progress: called every few examples, as stage `preparing`.
        should_stop: asked at every example.
    """

    plan: CopyPlan = field(default_factory=CopyPlan)
    noises: Sequence[Signal] = ()
    detector: SpeechDetector | None = None
    tolerated: float = 0.0
    labels: Sequence[str] = EMOTIONS
    workers: int | None = None
    on_progress: OnProgress | None = None
    should_stop: ShouldStop | None = None


def default_cache_dir() -> Path:
    """Folder where this user's embeddings are kept; safe to delete at any time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speech-emotion-studio" / "embeddings"


def embed_examples(examples: Sequence[Example], how: EmbeddingPlan) -> EmbeddingSet:
    """Embed every example.

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
    noises = NoisePool.of(how.noises if how.plan.augmentations else ())
    tick = _ticker(len(examples), how)
    found: list[ClipEmbeddings | str] = []
    for embedded in _embedded([example.path for example in examples], noises, how):
        tick()
        found.append(embedded)
    skipped = tuple(sentence for sentence in found if isinstance(sentence, str))
    if len(skipped) > how.tolerated * len(examples) or len(skipped) == len(examples):
        raise TrainingDataError(
            f"Recordings that cannot be used: {len(skipped)} of {len(examples)}. First: {skipped[0]}"
        )
    kept = [example for example, values in zip(examples, found, strict=True) if not isinstance(values, str)]
    return EmbeddingSet(
        np.stack([values for values in found if not isinstance(values, str)]),
        np.stack([example.shares(how.labels) for example in kept]),
        np.array([example.weight for example in kept], dtype=np.float32),
        [example.speaker for example in kept],
        [example.corpus for example in kept],
        tuple(how.labels),
        [str(example.path) for example in kept],
        np.array([np.nan if e.intensity is None else e.intensity for e in kept], dtype=np.float32),
        skipped,
    )


def _embedded(paths: Sequence[Path], noises: NoisePool, how: EmbeddingPlan) -> Iterator[ClipEmbeddings | str]:
    """The embeddings of each file, in order, or a sentence on what is wrong with it."""
    workers = how.workers or (cpu_count() if len(paths) >= MIN_EXAMPLES_FOR_WORKERS else 1)
    if how.detector is None and workers > 1 and how.plan.device == "cpu":
        # Each worker is a process: finding speech holds Python's lock, and codecs are slow.
        try:
            with Parallel(n_jobs=workers, return_as="generator", batch_size=4, pre_dispatch="4 * n_jobs") as parallel:
                yield from parallel(delayed(embed_in_worker)(path, how.plan, noises, os.getpid()) for path in paths)
        finally:
            # They would stay for minutes, with their memory.
            get_reusable_executor().shutdown(wait=False)
        return
    with ThreadPoolExecutor(cpu_count()) as pool:
        yield from pool.map(lambda path: embeddings_or_sentence(path, how.plan, noises, how.detector), paths)


def _ticker(total: int, how: EmbeddingPlan) -> Callable[[], None]:
    """Return a function to call after each example: it counts, reports progress, and stops the work on request."""
    started = time.monotonic()
    done = 0

    def tick() -> None:
        nonlocal done
        if how.should_stop is not None and how.should_stop():
            raise TrainingCancelledError("Training was stopped while the recordings were embedded.")
        done += 1
        if how.on_progress is not None and (done % 25 == 0 or done == total):
            eta = (time.monotonic() - started) / done * (total - done)
            how.on_progress(TrainProgress(0, 0, done, total, None, None, eta, stage="preparing"))

    return tick
