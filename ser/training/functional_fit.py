"""Fits a member that measures whole recordings, in seconds: each is measured once, and then only judged.

It learns by steps, half blind. What a solver makes of the same measurements knows the voices at hand no worse, and
other corpora less (benchmarks/README.md, "What statistics of the whole recording add"). Knows features and a
configuration; reads no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.functionals import FunctionalMember
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError
from ser.training.dataset import FeatureSet
from ser.training.engine import torch_threads
from ser.training.feature_augmentation import augment_batch
from ser.training.loop import Fit, judge_logits, predict_logits
from ser.training.memory import pooled_statistics
from ser.training.objective import emotion_losses, intensity_losses
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.sampling import allowed_labels, draw_probabilities

CHANGED = 2
"""Changed copies of each recording, which together count as much as the recording as it is. With the latter alone the
layer knows voices better, and noise, rooms and telephone lines worse, than anybody would want."""

NARROWED = 0.7
"""Share of the changed copies whose band is narrowed."""

BATCH = 256
PASSES, LEAST_STEPS = 10, 600
"""Over all measured recordings, and the steps where these are few."""

STEP, DECAY, SMOOTHING = 2e-3, 0.01, 0.05
"""Largest step, decay of the weights, share of each truth spread over the labels."""

PIECE = 256
"""Clips that are measured between two looks at whether to stop."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Truths:
    """Of all recordings at once; see `ser.training.objective.Truths`."""

    targets: torch.Tensor
    allowed: torch.Tensor
    intensities: torch.Tensor


def is_unfitted(network: AcousticModelForAudioClassification) -> bool:
    """Whether it is one member that measures whole recordings and has learnt nothing yet."""
    members = network.networks()
    return (
        len(members) == 1
        and isinstance(members[0], FunctionalMember)
        and not int(members[0].pool_norm.num_batches_tracked)  # type: ignore[arg-type]
    )


def fit_functionals(
    network: AcousticModelForAudioClassification,
    data: FeatureSet,
    config: TrainConfig,
    *,
    dev: FeatureSet | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Fit:
    """Fit in place, on all recordings and some changed copies: corpora by weight, in each every label alike.

    The changes are drawn as for the networks, but for what hides parts of a recording or changes its tempo.

    Args:
        network: for which `is_unfitted`.
        data: to learn from.
        config: of it `corpus_weights, mask_absent_labels, intensity_weight, augment` and what belongs to that,
            `epochs` and `seed`.
        dev: of other speakers, only watched.
        on_progress: told as if of `config.epochs` epochs.
        should_stop: asked again and again.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    member = network.networks()[0]
    assert isinstance(member, FunctionalMember)
    with torch_threads(1):
        measured, truths, weights = _measure(network, data, config, should_stop)
        mean = (weights[:, None] * measured).sum(0)
        member.pool_norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        member.pool_norm.running_var.copy_((weights[:, None] * (measured - mean).square()).sum(0))  # type: ignore[union-attr]
        member.pool_norm.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        loss = _learn(member, measured, truths, weights, config, on_progress, should_stop)
    entry: dict[str, object] = {"epoch": 1, "loss": loss}
    if dev is not None:
        entry |= judge_logits(predict_logits(network, dev), dev, config).figures
    return Fit(network.eval(), [entry], 1)


def _measure(
    network: AcousticModelForAudioClassification, data: FeatureSet, config: TrainConfig, should_stop: ShouldStop | None
) -> tuple[torch.Tensor, _Truths, torch.Tensor]:
    """Functionals of every recording and its changed copies, what is true of each, and how much it counts (sum 1)."""
    generator = np.random.default_rng(config.seed)
    parts: list[Array] = []
    for copy in range(1 + CHANGED):
        for first in range(0, len(data), PIECE):
            _check(should_stop)
            clips = data.variants[first : first + PIECE]
            heard = _changed(clips, config, generator) if copy else [variants[0] for variants in clips]
            parts.append(pooled_statistics(network, heard))
    shares = draw_probabilities(data.targets, data.corpora, config.corpus_weights) * data.weights
    shares = np.concatenate([CHANGED * shares, *[shares] * CHANGED])
    unknown = np.full(len(data), np.nan, np.float32)
    intensities = unknown if data.intensities is None else data.intensities
    allowed = allowed_labels(data.targets, data.corpora)
    known = (np.concatenate([values] * (1 + CHANGED)) for values in (data.targets, allowed, intensities))
    truths = _Truths(*(torch.from_numpy(values) for values in known))
    return torch.from_numpy(np.concatenate(parts)), truths, torch.from_numpy(shares / shares.sum()).float()


def _changed(
    clips: Sequence[Sequence[npt.NDArray[np.float16]]], config: TrainConfig, generator: np.random.Generator
) -> list[npt.NDArray[np.floating]]:
    """A drawn variant of each, with another microphone, vocal tract, noise floor or band."""
    drawn = [variants[int(generator.integers(len(variants)))] for variants in clips]
    changes = replace(config, stretch=0.0, time_masks=0, band_masks=0, narrow_probability=NARROWED)
    features, ends = augment_batch(drawn, changes, generator, max(len(clip) for clip in drawn))
    return [row[:end].numpy() for row, end in zip(features, ends, strict=True)]


def _learn(
    member: FunctionalMember,
    measured: torch.Tensor,
    truths: _Truths,
    weights: torch.Tensor,
    config: TrainConfig,
    on_progress: OnProgress | None,
    should_stop: ShouldStop | None,
) -> float:
    """Returns the mean loss of the last pass."""
    smoothed = replace(config, label_smoothing=SMOOTHING)
    steps = max(LEAST_STEPS, PASSES * len(measured) // BATCH)
    optimizer = torch.optim.AdamW(member.parameters(), lr=STEP, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, STEP, total_steps=steps)
    # Mean and deviation of what is measured stay as they are; only the dropout is as in training.
    standard = member.eval().project(measured)
    member.dropout.train()
    course: list[float] = []
    # torch draws what is dropped out; the seed holds for this alone.
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        for step in range(1, steps + 1):
            _check(should_stop)
            rows = torch.multinomial(weights, BATCH, replacement=True)
            drawn = _Truths(truths.targets[rows], truths.allowed[rows], truths.intensities[rows])
            logits, intensity = member.answer(standard[rows])
            losses = emotion_losses(logits, drawn, smoothed)
            loss = (losses + config.intensity_weight * intensity_losses(intensity, drawn.intensities)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            course.append(float(loss.detach()))
            if on_progress is not None and (step % (steps // 10) == 0 or step == steps):
                on_progress(_progress(step, steps, config.epochs, course[-1]))
    member.eval()
    return float(np.mean(course[-(steps // PASSES) :]))


def _progress(step: int, steps: int, epochs: int, loss: float) -> TrainProgress:
    return TrainProgress(
        max(1, step * epochs // steps), epochs, step, steps, loss, None, None, epoch_done=step == steps
    )


def _check(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise TrainingCancelledError("Training was stopped while whole recordings were measured.")
