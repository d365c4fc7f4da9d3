"""Fits a member that measures whole recordings, in seconds: each is measured once, and then only judged.

A straight layer has one best solution, which a solver finds. A hidden layer learns by steps, half blind: what a solver
makes of it knows the voices at hand better and all others worse (benchmarks/README.md, "What statistics of the whole
recording add"). Knows features and a configuration; reads no files.
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

PENALTY = 0.004
"""Of the squared weights beside the mean loss; chosen on the dev speakers, clean and degraded."""

CHANGED = 2
"""Changed copies of each recording, which together count as much as the recording as it is. With the latter alone the
layer knows voices better, and noise, rooms and telephone lines worse, than anybody would want."""

NARROWED = 0.7
"""Share of the changed copies whose band is narrowed."""

ROUNDS = 300
"""Of the solver, at most."""

BATCH = 256
PASSES, LEAST_STEPS = 10, 300
"""Of the hidden layer over all measured recordings, and its steps where these are few."""

STEP, DECAY, SMOOTHING = 2e-3, 0.01, 0.05
"""Largest step, decay of the weights a step, share of each truth spread over the labels, for the hidden layer."""

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

    The changes are drawn as for the networks, but for what hides parts of a recording or changes its tempo. The
    quasi-Newton method is that of Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization",
    https://doi.org/10.1007/BF01589116.

    Args:
        network: for which `is_unfitted`.
        data: to learn from.
        config: of it `corpus_weights, mask_absent_labels, augment` and what belongs to that, `epochs` and `seed`.
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
        loss = _solve(member.eval(), measured, truths, weights, config, on_progress, should_stop)
        if member.hidden_layer is not None:
            _learn_hidden(member, measured, truths, weights, config, should_stop)
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


def _solve(
    member: FunctionalMember,
    measured: torch.Tensor,
    truths: _Truths,
    weights: torch.Tensor,
    config: TrainConfig,
    on_progress: OnProgress | None,
    should_stop: ShouldStop | None,
) -> float:
    with torch.no_grad():
        standard = member.project(measured)
        for layer in (member.classifier, member.intensity):
            layer.weight.zero_()
            layer.bias.zero_()
    # The penalty keeps it from being too sure; smoothed truths would do so twice.
    plain = replace(config, label_smoothing=0.0)
    layers = [member.classifier.weight, member.intensity.weight]
    solver = torch.optim.LBFGS(
        [*layers, member.classifier.bias, member.intensity.bias],
        max_iter=1,
        max_eval=25,
        tolerance_grad=1e-6,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        solver.zero_grad()
        logits, intensity = member.answer(standard)
        losses = emotion_losses(logits, truths, plain)
        losses = losses + intensity_losses(intensity, truths.intensities)
        loss = (weights * losses).sum() + 0.5 * PENALTY * torch.stack([w.square().sum() for w in layers]).sum()
        loss.backward()
        return loss

    loss = float("inf")
    for number in range(1, ROUNDS + 1):
        _check(should_stop)
        before, loss = loss, float(solver.step(objective).detach())
        over = number == ROUNDS or before - loss < 1e-7
        if on_progress is not None:
            epochs, step = config.epochs, ROUNDS if over else number
            told = TrainProgress(
                max(1, step * epochs // ROUNDS), epochs, step, ROUNDS, loss, None, None, epoch_done=over
            )
            on_progress(told)
        if over:
            break
    return loss


def _learn_hidden(
    member: FunctionalMember,
    measured: torch.Tensor,
    truths: _Truths,
    weights: torch.Tensor,
    config: TrainConfig,
    should_stop: ShouldStop | None,
) -> None:
    assert member.hidden_layer is not None and member.hidden_classifier is not None
    smoothed = replace(config, label_smoothing=SMOOTHING)
    layers = [*member.hidden_layer.parameters(), *member.hidden_classifier.parameters()]
    steps = max(LEAST_STEPS, PASSES * len(measured) // BATCH)
    optimizer = torch.optim.AdamW(layers, lr=STEP, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, STEP, total_steps=steps)
    with torch.no_grad():
        standard = member.project(measured)
    # What is dropped out is drawn as torch draws; the seed holds for this alone.
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(config.seed)
        member.dropout.train()
        for _ in range(steps):
            _check(should_stop)
            rows = torch.multinomial(weights, BATCH, replacement=True)
            drawn = _Truths(truths.targets[rows], truths.allowed[rows], truths.intensities[rows])
            logits = member.answer_by_hidden(member.dropout(standard[rows]))
            loss = emotion_losses(logits, drawn, smoothed).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    member.eval()


def _check(should_stop: ShouldStop | None) -> None:
    if should_stop is not None and should_stop():
        raise TrainingCancelledError("Training was stopped while whole recordings were measured.")
