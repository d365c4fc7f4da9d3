"""The training loop: a network, features and a configuration in, the best weights on dev speakers out.

Knows nothing of files, corpora or the app.
"""

import copy
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.network import AcousticModelForAudioClassification, pad_features
from ser.config import TrainConfig
from ser.errors import TrainingCancelledError
from ser.training.dataset import Batch, BatchDrawer, FeatureSet, class_weights
from ser.training.progress import OnProgress, ShouldStop, TrainProgress


@dataclass(frozen=True)
class Fit:
    """What a run gave.

    Attributes:
        network: in evaluation mode, with the best weights.
        curve: for each epoch `epoch`, `loss` and, with dev examples, `score` and `uar` by corpus.
        best_epoch: whose weights these are.
    """

    network: AcousticModelForAudioClassification
    curve: list[dict[str, object]]
    best_epoch: int


def fit(
    network: AcousticModelForAudioClassification,
    data: FeatureSet,
    config: TrainConfig,
    *,
    dev: FeatureSet | None = None,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Fit:
    """Train `network` in place.

    Args:
        network: with its initial weights and its feature statistics set.
        data: to train on.
        config: how.
        dev: of other speakers, to choose the epoch by; without it the last epoch is taken.
        device: of torch.
        on_progress: called after every step.
        should_stop: asked after every step.

    Returns:
        The network with the chosen weights, on the CPU.

    Raises:
        TrainingCancelledError: when `should_stop` says so.
    """
    with _threads(config.threads):
        return _Run(network, data, config, dev, device, on_progress, should_stop).fit()


class _Run:
    """One training run's moving parts."""

    def __init__(
        self,
        network: AcousticModelForAudioClassification,
        data: FeatureSet,
        config: TrainConfig,
        dev: FeatureSet | None,
        device: str,
        on_progress: OnProgress | None,
        should_stop: ShouldStop | None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.network = network.to(device)
        self.config = config
        self.dev = dev
        self.device = device
        self.on_progress = on_progress
        self.should_stop = should_stop
        self.drawer = BatchDrawer(data, config, np.random.default_rng(config.seed))
        self.steps = self.drawer.steps * config.epochs
        self.step = 0
        self.loss: float | None = None
        self.score: float | None = None
        self.curve: list[dict[str, object]] = []
        self.average = copy.deepcopy(network).eval() if config.ema_decay else network
        self.anchor = {n: p.detach().clone() for n, p in network.named_parameters()} if config.anchor else {}
        # Drawing evens the labels out already; weighting them as well would count the rare ones twice.
        power = 0.0 if self.drawer.probabilities is not None else config.class_weight_power
        self.label_weights = torch.from_numpy(class_weights(data.targets, power)).to(device)
        freeze(network, config.frozen_blocks)
        trained = [p for p in network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(_decay_groups(trained, config.weight_decay), lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)

    def _rate(self, step: int) -> float:
        warmup = max(1, round(self.config.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, self.steps - warmup))

    def fit(self) -> Fit:
        best_state, best_epoch, best = copy.deepcopy(self.average.state_dict()), 0, (-math.inf, 0.0)
        self.started = time.monotonic()
        for epoch in range(1, self.config.epochs + 1):
            losses = [self._step(batch, epoch) for batch in self.drawer.epoch()]
            entry: dict[str, object] = {"epoch": epoch, "loss": float(np.mean(losses))}
            ranking = (float(epoch), 0.0)
            if self.dev is not None:
                logits = predict_logits(self.average, self.dev, self.device)
                by_corpus = uar_by_corpus(logits, self.dev)
                self.score = weighted_score(by_corpus, self.config)
                dev_loss = soft_cross_entropy(logits, self.dev.targets)
                entry |= {"score": self.score, "uar": by_corpus, "dev_loss": dev_loss}
                if self.config.choose_best:
                    ranking = (self.score, -dev_loss)
            self.curve.append(entry)
            self._report(epoch, epoch_done=True)
            if ranking > best:
                best_state, best_epoch, best = copy.deepcopy(self.average.state_dict()), epoch, ranking
            elif self.config.patience is not None and epoch - best_epoch >= self.config.patience:
                break
        self.network.load_state_dict(best_state)
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        return Fit(self.network.to("cpu").eval(), self.curve, best_epoch)

    def _step(self, batch: Batch, epoch: int) -> float:
        self.network.train()
        if self.config.freeze_norms:
            freeze_norms(self.network)
        stacked, mask = pad_features(batch.features, multiple_of=32)
        half = self.config.autocast and has_bfloat16(self.device)
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=half):
            logits = self.network(
                torch.from_numpy(stacked).to(self.device), torch.from_numpy(mask).to(self.device)
            ).logits
        loss = self._loss(logits, batch)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + self._anchor_loss()).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        update_average(self.average, self.network, min(self.config.ema_decay, self.step / (self.step + 10)))
        value = float(loss.detach())
        self.loss = value if self.loss is None else 0.95 * self.loss + 0.05 * value
        self._report(epoch)
        if self.should_stop is not None and self.should_stop():
            raise TrainingCancelledError(f"Training was stopped in epoch {epoch} of {self.config.epochs}.")
        return value

    def _loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        targets = torch.from_numpy(batch.targets).to(self.device)
        weights = torch.from_numpy(batch.weights).to(self.device) * (targets @ self.label_weights)
        allowed = torch.ones_like(targets)
        if self.config.mask_absent_labels:
            allowed = torch.from_numpy(batch.allowed).to(self.device)
            logits = logits.masked_fill(allowed == 0, -30.0)
        spread = allowed / allowed.sum(1, keepdim=True)
        targets = (1.0 - self.config.label_smoothing) * targets + self.config.label_smoothing * spread
        losses = -(targets * torch.log_softmax(logits, dim=1)).sum(1)
        return (losses * weights).sum() / weights.sum().clamp_min(1e-6)

    def _anchor_loss(self) -> torch.Tensor:
        total = torch.zeros((), device=self.device)
        for name, parameter in self.network.named_parameters():
            if name in self.anchor and parameter.requires_grad:
                total = total + (parameter - self.anchor[name]).square().sum()
        return 0.5 * self.config.anchor * total

    def _report(self, epoch: int, epoch_done: bool = False) -> None:
        if self.on_progress is None:
            return
        eta = (time.monotonic() - self.started) / self.step * (self.steps - self.step)
        self.on_progress(
            TrainProgress(
                epoch,
                self.config.epochs,
                self.step,
                self.steps,
                self.loss,
                self.score,
                eta,
                epoch_done=epoch_done,
            )
        )


def predict_logits(
    network: AcousticModelForAudioClassification, data: FeatureSet, device: str = "cpu", batch_size: int = 64
) -> npt.NDArray[np.float32]:
    """Logits of the untouched recordings, shape (examples, labels), in the order of `data`."""
    network.eval()
    logits = np.zeros(data.targets.shape, dtype=np.float32)
    # Clips of like length share a batch, so that little of it is padding.
    order = sorted(range(len(data)), key=lambda i: len(data.variants[i][0]))
    with torch.inference_mode():
        for first in range(0, len(order), batch_size):
            places = order[first : first + batch_size]
            stacked, mask = pad_features([data.variants[i][0].astype(np.float32) for i in places], multiple_of=32)
            answer = network(torch.from_numpy(stacked).to(device), torch.from_numpy(mask).to(device))
            logits[places] = answer.logits.cpu().numpy()
    return logits


def uar_by_corpus(logits: npt.NDArray[np.float32], data: FeatureSet) -> dict[str, float]:
    """Mean recall over the labels that each corpus has, all labels being open to the answer."""
    truths, answers = data.targets.argmax(1), logits.argmax(1)
    corpora = np.array(data.corpora)
    figures = {}
    for corpus in sorted(set(data.corpora)):
        truth, answer = truths[corpora == corpus], answers[corpora == corpus]
        figures[corpus] = float(np.mean([np.mean(answer[truth == label] == label) for label in np.unique(truth)]))
    return figures


def weighted_score(by_corpus: dict[str, float], config: TrainConfig) -> float:
    """One figure to choose by: the mean over corpora, weighted as in training."""
    weights = [config.corpus_weights.get(corpus, 1.0) for corpus in by_corpus]
    return float(np.average(list(by_corpus.values()), weights=weights))


def soft_cross_entropy(logits: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]) -> float:
    """Mean over examples, nats."""
    log_probabilities = torch.log_softmax(torch.from_numpy(logits), dim=1).numpy()
    return float(-(targets * log_probabilities).sum(1).mean())


def freeze(network: AcousticModelForAudioClassification, blocks: int) -> None:
    """Keep the front and the first `blocks - 1` blocks over time as they are; 0 keeps nothing."""
    modules: Sequence[torch.nn.Module] = (
        [network.mel_front, network.pitch_front, network.join, network.join_norm, *network.blocks[: blocks - 1]]
        if blocks
        else []
    )
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)


def freeze_norms(network: torch.nn.Module) -> None:
    """Put batch normalisation into evaluation mode."""
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()


@torch.no_grad()
def update_average(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    """Move the average a step towards the network; counters are copied."""
    if average is network:
        return
    ours, theirs = average.state_dict(), network.state_dict()
    for name, value in theirs.items():
        if value.dtype.is_floating_point:
            ours[name].lerp_(value, 1.0 - decay)
        else:
            ours[name].copy_(value)


def has_bfloat16(device: str) -> bool:
    """Whether half precision is quicker there: CUDA since Ampere, CPUs with bfloat16 instructions."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _decay_groups(parameters: Sequence[torch.nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Biases and norms are not decayed."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
