"""Teaches the judging part of a network from tens to hundreds of clips, without forgetting what it judged before.

What the network hears stays as it is, so that clips pass through it once and a run takes seconds. Knows features and
prototypes; reads no files.
"""

import copy
import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.network import AcousticModelForAudioClassification
from ser.errors import TrainingCancelledError
from ser.training.engine import torch_threads
from ser.training.members import between, rounded
from ser.training.memory import Prototypes, answer_pooled, judging_parameters, pooled_statistics, uar_on_prototypes
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.run_state import RunState, hash_tensors

Array = npt.NDArray[np.float32]

PIECE = 64
"""Clips that are heard between two looks at whether to stop."""


@dataclass(frozen=True)
class HeadConfig:
    """How the judging part learns.

    Attributes:
        epochs: of `steps` steps each.
        steps: of the optimiser in an epoch.
        batch_size: clips in a step, and as many prototypes beside them.
        learning_rate: peak of AdamW's, falling as a cosine.
        weight_decay: AdamW's.
        label_smoothing: share of each truth spread over the labels, 0..1.
        mixup: parameter of the Beta distribution that mixes pairs of clips.
        mixup_probability: share of the clips that are mixed.
        replay: weight of the prototypes' own labels in the loss.
        distillation: weight of the old network's answers to the prototypes in the loss.
        anchor: pull towards the old weights.
        tolerance: what the new network may lose on the prototypes, points of UAR as a share; the old weights are
            mixed in until it loses no more.
        seed: of everything drawn.
    """

    epochs: int = 10
    steps: int = 40
    batch_size: int = 32
    learning_rate: float = 5e-4
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    mixup: float = 0.4
    mixup_probability: float = 0.3
    replay: float = 2.0
    distillation: float = 4.0
    anchor: float = 0.0
    tolerance: float = 0.005
    seed: int = 0


@dataclass(frozen=True)
class TunedHead:
    """What came of it.

    Attributes:
        network: the new one, in evaluation mode, rounded to half precision.
        curve: `epoch` and `loss` of each epoch, and `uar` where there are dev clips.
        kept_share: of the way from the old weights to the learnt ones, 0..1; less than 1 where all of it would have
            forgotten too much.
        prototypes_before: UAR of the old network on the judging prototypes; None without any.
        prototypes_after: the same of the new one.
    """

    network: AcousticModelForAudioClassification
    curve: list[dict[str, object]]
    kept_share: float
    prototypes_before: float | None
    prototypes_after: float | None


def hear(
    network: AcousticModelForAudioClassification,
    variants: Sequence[Sequence[npt.NDArray[np.float16]]],
    should_stop: ShouldStop | None = None,
) -> Array:
    """What the network hears in each variant of each clip, shape (clips, variants, size).

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    count = min(len(of_clip) for of_clip in variants)
    flat = [features for of_clip in variants for features in of_clip[:count]]
    parts = []
    for first in range(0, len(flat), PIECE):
        if should_stop is not None and should_stop():
            raise TrainingCancelledError("Training was stopped while the clips were heard.")
        parts.append(pooled_statistics(network, flat[first : first + PIECE]))
    return np.concatenate(parts).reshape(len(variants), count, -1)


def tune_head(
    network: AcousticModelForAudioClassification,
    heard: Array,
    targets: Array,
    weights: Array,
    config: HeadConfig,
    *,
    prototypes: Prototypes | None = None,
    dev: tuple[Array, Array] | None = None,
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TunedHead:
    """Train a copy of the network's judging part on one thread.

    Beside the clips it learns the prototypes again, by their labels and by the old network's answers to them, and at
    last goes back towards the old weights as far as needed not to lose on them.
    Source: Li & Hoiem 2016, "Learning without Forgetting", https://arxiv.org/abs/1606.09282 (distillation); Wortsman et
    al. 2022, "Robust fine-tuning of zero-shot models", https://arxiv.org/abs/2109.01903 (the way back).

    Args:
        network: the old one; it is not changed.
        heard: as `hear` gives it, shape (clips, variants, size).
        targets: shape (clips, labels), rows of sum 1.
        weights: of each clip, shape (clips,).
        config: how.
        prototypes: of the old network; None where there are none.
        dev: what is heard in further clips, shape (clips, size), and their targets: only watched.
        checkpoint_dir: keeps the run at every epoch's end: called again with the same arguments it goes on there, and
            ends with the same weights.
        on_progress: told after every step.
        should_stop: asked after every step.

    Raises:
        TrainingCancelledError: when asked to stop.
        TrainingDataError: where `checkpoint_dir` keeps another run.
    """
    with torch_threads(1):
        run = _Run(network, heard, targets, weights, config, prototypes, dev)
        curve = run.learn(checkpoint_dir, on_progress, should_stop)
        return _not_forgetting(network, run.network, curve, config, prototypes)


class _Run:
    def __init__(
        self,
        old: AcousticModelForAudioClassification,
        heard: Array,
        targets: Array,
        weights: Array,
        config: HeadConfig,
        prototypes: Prototypes | None,
        dev: tuple[Array, Array] | None,
    ) -> None:
        self.dev = dev
        self.old, self.heard, self.targets, self.weights, self.config = old.eval(), heard, targets, weights, config
        self.draw = np.random.default_rng(config.seed)
        self.network = copy.deepcopy(old).train()
        for member in self.network.networks():
            # Small data would spoil its statistics.
            member.pool_norm.eval()
        # Labels by the root of their number, as between counting clips and counting labels alike.
        counts = np.maximum(np.bincount(targets.argmax(1), minlength=targets.shape[1]), 1)
        chances = counts[targets.argmax(1)] ** -0.5
        self.chances = chances / chances.sum()
        self.parameters = judging_parameters(self.network)
        self.start = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.lessons = prototypes.lessons if prototypes is not None and len(prototypes) else None
        if self.lessons is not None:
            with torch.inference_mode():
                self.taught = answer_pooled(self.old, torch.from_numpy(self.lessons.values)).clone()
            names = np.array(self.lessons.corpora)
            self.cells = [
                np.flatnonzero((names == corpus) & (self.lessons.labels == label))
                for corpus in sorted(set(self.lessons.corpora))
                for label in sorted(set(self.lessons.labels[names == corpus].tolist()))
            ]

    def learn(
        self, checkpoint_dir: Path | None, on_progress: OnProgress | None, should_stop: ShouldStop | None
    ) -> list[dict[str, object]]:
        config, started = self.config, time.monotonic()
        total = config.epochs * config.steps
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / 20) * (0.5 + 0.5 * float(np.cos(np.pi * step / total)))
        )
        kept = RunState(checkpoint_dir, self._identity()) if checkpoint_dir else None
        curve = self._restored(kept)
        first, uar = len(curve), None
        for epoch in range(first + 1, config.epochs + 1):
            # Drawn by the epoch's number, so that a run that goes on needs to know nothing else.
            self.draw = np.random.default_rng([config.seed, epoch])
            torch.manual_seed(1_000_003 * config.seed + epoch)
            losses = []
            for number in range(1, config.steps + 1):
                losses.append(self._step())
                self.schedule.step()
                step = (epoch - 1) * config.steps + number
                if should_stop is not None and should_stop():
                    raise TrainingCancelledError(f"Training was stopped in epoch {epoch} of {config.epochs}.")
                done = number == config.steps
                uar = self._watch() if done else uar
                if on_progress is not None:
                    left = (time.monotonic() - started) / (step - first * config.steps) * (total - step)
                    loss = float(np.mean(losses))
                    on_progress(TrainProgress(epoch, config.epochs, step, total, loss, uar, left, epoch_done=done))
            watched = {} if uar is None else {"uar": uar}
            curve.append({"epoch": epoch, "loss": float(np.mean(losses)), **watched})
            if kept is not None:
                self._keep(kept, curve)
        return curve

    def _identity(self) -> dict[str, object]:
        digest = hashlib.sha256()
        known = [] if self.lessons is None else [self.lessons.values, self.lessons.labels]
        for values in (self.heard, self.targets, self.weights, *known):
            digest.update(np.ascontiguousarray(values).tobytes())
        return {"config": asdict(self.config), "data": digest.hexdigest(), "start": hash_tensors(self.old.state_dict())}

    def _keep(self, kept: RunState, curve: list[dict[str, object]]) -> None:
        weights = [parameter.detach().clone() for parameter in self.parameters]
        states = {"optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict()}
        kept.save({"weights": weights, "curve": curve, **states})

    def _restored(self, kept: RunState | None) -> list[dict[str, object]]:
        """The curve as far as the run came before it was killed; empty where it begins."""
        state = kept.load() if kept is not None else None
        if state is None:
            return []
        with torch.no_grad():
            for ours, theirs in zip(self.parameters, state["weights"], strict=True):
                ours.copy_(theirs)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        return list(state["curve"])

    def _watch(self) -> float | None:
        """UAR of the dev clips."""
        if self.dev is None:
            return None
        for member in self.network.networks():
            member.dropout.eval()
        with torch.inference_mode():
            answers = answer_pooled(self.network, torch.from_numpy(self.dev[0])).argmax(1).numpy()
        for member in self.network.networks():
            member.dropout.train()
        truth = self.dev[1].argmax(1)
        return float(np.mean([np.mean(answers[truth == label] == label) for label in np.unique(truth)]))

    def _step(self) -> float:
        loss = self._of_clips()
        if self.lessons is not None:
            loss = loss + self._of_prototypes()
        if self.config.anchor:
            pairs = zip(self.parameters, self.start, strict=True)
            loss = loss + 0.5 * self.config.anchor * torch.stack([(p - s).square().sum() for p, s in pairs]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        return float(loss.detach())

    def _of_clips(self) -> torch.Tensor:
        size, smoothing = self.config.batch_size, self.config.label_smoothing
        places = self.draw.choice(len(self.heard), size, p=self.chances)
        values = self.heard[places, self.draw.integers(self.heard.shape[1], size=size)]
        # Mixed as in Zhang et al. 2018, "mixup", https://arxiv.org/abs/1710.09412; the larger share stays a clip's own.
        drawn = self.draw.beta(self.config.mixup, self.config.mixup, size) if self.config.mixup else np.ones(size)
        alone = self.draw.random(size) >= self.config.mixup_probability
        shares: Array = np.where(alone, 1.0, np.maximum(drawn, 1.0 - drawn)).astype(np.float32)[:, None]
        others = self.draw.permutation(size)
        values = shares * values + (1.0 - shares) * values[others]
        targets = shares * self.targets[places] + (1.0 - shares) * self.targets[places][others]
        targets = (1.0 - smoothing) * targets + smoothing / targets.shape[1]
        answers = answer_pooled(self.network, torch.from_numpy(values))
        weights = torch.from_numpy(self.weights[places])
        losses = -(torch.from_numpy(targets) * answers).sum(1)
        return (losses * weights).sum() / weights.sum().clamp_min(1e-6)

    def _of_prototypes(self) -> torch.Tensor:
        assert self.lessons is not None
        chosen = self.draw.integers(len(self.cells), size=self.config.batch_size)
        places = [int(self.draw.choice(self.cells[cell])) for cell in chosen]
        answers = answer_pooled(self.network, torch.from_numpy(self.lessons.values[places]))
        truth = torch.from_numpy(self.lessons.labels[places])
        replayed = torch.nn.functional.nll_loss(answers, truth)
        old = self.taught[places]
        distilled = (old.exp() * (old - answers)).sum(1).mean()
        return self.config.replay * replayed + self.config.distillation * distilled


def _not_forgetting(
    old: AcousticModelForAudioClassification,
    new: AcousticModelForAudioClassification,
    curve: list[dict[str, object]],
    config: HeadConfig,
    prototypes: Prototypes | None,
) -> TunedHead:
    if prototypes is None or not len(prototypes):
        return TunedHead(rounded(new.eval()), curve, 1.0, None, None)
    judges = prototypes.judges
    before = uar_on_prototypes(old, judges)
    for share in (1.0, 0.85, 0.7, 0.55, 0.4, 0.25):
        mixed = between(old, new, share)
        after = uar_on_prototypes(mixed, judges)
        if after >= before - config.tolerance - 1e-9:
            break
    return TunedHead(mixed, curve, share, before, after)
