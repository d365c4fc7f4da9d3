"""Fine-tuning of an encoder and its classifier head on recordings; see `ser.training.task.Task`.

Knows the network and the extractor of its inputs; nothing of where they come from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import AdaLoraModel, PeftModel

from ser.acoustic.head import LIMIT, emotion_of
from ser.audio.augmentation import SignalAugmentation
from ser.config import TrainConfig
from ser.encoder.pretrained import LoadedEncoder
from ser.encoder.states import extract
from ser.encoder.windows import MIN_DURATION, embed_clips
from ser.evaluation.metrics import uar
from ser.labels import EMOTIONS
from ser.training.adapters import inner_network
from ser.training.processes import Processes
from ser.training.recipe import HEAD_LABELS
from ser.training.recordings import Recordings
from ser.training.sampling import Places, Sampler, allowed_labels
from ser.training.task import DevFigures
from ser.types import SAMPLING_RATE, Signal

SHORTEST = round(MIN_DURATION * SAMPLING_RATE)
"""Samples; shorter clips are filled up with zeros, as in answering."""

MASKED = -30.0
"""Logit of a label that a clip's corpus lacks."""

CHANGED_SHARE = 0.5
"""Of the recordings that a step sees, where `augment` is on."""

ORTHOGONALITY = 0.5
"""How much AdaLoRA's matrices are pulled towards orthogonal ones.

Source: Zhang et al. 2023, "AdaLoRA", https://arxiv.org/abs/2303.10512; the value is `peft`'s."""


@dataclass(frozen=True)
class SignalBatch:
    """Recordings that pass through an encoder together.

    Attributes:
        inputs: what the extractor made of them.
        targets: float32 of shape (examples, labels).
        weights: float32 of shape (examples,).
        allowed: float32 of shape (examples, labels).
    """

    inputs: Mapping[str, torch.Tensor]
    targets: torch.Tensor
    weights: torch.Tensor
    allowed: torch.Tensor


class EncoderTask:
    """An encoder with a head, the recordings it is trained on, and those it is measured on.

    Args:
        model: as `ser.training.adapters.prepare_encoder` gives it.
        extractor: of its inputs.
        labels: of its outputs.
        recordings: to train on.
        dev: to measure each epoch on; None for nothing.
        noises: to mix in; synthetic noise without.
        config: how.
        processes: of the run.
        start: names the weights before training, for `fingerprint`.
    """

    clip_norm = 1.0

    def __init__(
        self,
        model: torch.nn.Module,
        extractor: Any,
        labels: Sequence[str],
        recordings: Recordings,
        dev: Recordings | None,
        noises: Sequence[Signal],
        config: TrainConfig,
        processes: Processes,
        start: str,
    ) -> None:
        self.extractor, self.labels, self.noises = extractor, tuple(labels), noises
        self.recordings, self.dev, self.start = recordings, dev, start
        self.config, self.processes = config, processes
        self.longest = round(config.max_duration * SAMPLING_RATE)
        self.targets = np.stack([example.shares(self.labels) for example in recordings.examples])
        self.own_weights = np.array([example.weight for example in recordings.examples], dtype=np.float32)
        self.allowed = allowed_labels(self.targets, [example.corpus for example in recordings.examples])
        self.sampler = recordings_sampler(recordings, self.labels, config)
        self.label_weights = torch.from_numpy(self.sampler.label_weights)
        self.augmentation = SignalAugmentation.of(config)
        inner = model.base_model if isinstance(model, PeftModel) else None
        self.ranks = inner if isinstance(inner, AdaLoraModel) else None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampler.steps

    def plan(self, epoch: int) -> Sequence[Places]:
        """The recordings of each step."""
        return self.sampler.plan(epoch)

    def draw(self, places: Places, epoch: int, step: int, part: int) -> SignalBatch:
        """Cut, perhaps changed and mixed, and extracted."""
        generator = np.random.default_rng([self.config.seed, epoch, step, part])
        signals = [self._signal(int(place), generator) for place in places]
        targets, allowed = self.targets[places], self.allowed[places]
        if self.config.mixup:
            signals = self._mixed(signals, targets, allowed, generator)
        inputs = extract(self.extractor, signals)
        return SignalBatch(
            {name: inputs[name] for name in inputs},
            torch.from_numpy(targets),
            torch.from_numpy(self.own_weights[places]),
            torch.from_numpy(allowed),
        )

    def _signal(self, place: int, generator: np.random.Generator) -> Signal:
        signal = self.recordings.signals[place]
        start = int(generator.integers(0, max(1, len(signal) - self.longest + 1)))
        cut = signal[start : start + self.longest]
        if self.config.augment and generator.random() < CHANGED_SHARE:
            cut = self.augmentation.apply(cut, self.noises, generator)[: self.longest]
        return np.pad(cut, (0, max(0, SHORTEST - len(cut))))

    def _mixed(
        self,
        signals: list[Signal],
        targets: npt.NDArray[np.float32],
        allowed: npt.NDArray[np.float32],
        generator: np.random.Generator,
    ) -> list[Signal]:
        """Some of the signals with others of the batch in them; the larger share of each stays its own."""
        mixed, truths, labels = list(signals), targets.copy(), allowed.copy()
        for row in np.flatnonzero(generator.random(len(signals)) < self.config.mixup_probability):
            share = float(generator.beta(self.config.mixup, self.config.mixup))
            share = max(share, 1.0 - share)
            partner = int(generator.integers(len(signals)))
            other = np.resize(signals[partner], len(signals[row]))
            mixed[row] = (share * signals[row] + (1.0 - share) * other).astype(np.float32)
            targets[row] = share * truths[row] + (1.0 - share) * truths[partner]
            allowed[row] = np.maximum(labels[row], labels[partner])
        return mixed

    def weights(self, batch: SignalBatch) -> torch.Tensor:
        """By the example and its label."""
        return batch.weights * (batch.targets @ self.label_weights)

    def losses(self, model: torch.nn.Module, batch: SignalBatch) -> torch.Tensor:
        """Cross-entropy, and what AdaLoRA asks of its matrices."""
        device = self.processes.device
        logits = model(**{name: value.to(device) for name, value in batch.inputs.items()})["logits"]
        losses = emotion_losses(logits, batch.targets.to(device), batch.allowed.to(device), self.config)
        return losses + ORTHOGONALITY * orthogonality(self.ranks) if self.ranks is not None else losses

    def evaluate(self, network: torch.nn.Module) -> DevFigures | None:
        """Measure unweighted average recall on the dev recordings, by corpus, all corpora alike in the score."""
        if self.dev is None:
            return None
        logits = predict_logits(network, self.extractor, self.dev.signals, self.processes)
        by_corpus = uar_by_corpus(logits, self.labels, self.dev)
        score = float(np.mean(list(by_corpus.values())))
        return DevFigures(score, figures={"score": score, "uar": by_corpus})

    def after_step(self, step: int) -> None:
        """Share out AdaLoRA's ranks."""
        if self.ranks is not None:
            self.ranks.update_and_allocate(step)

    def state(self) -> Mapping[str, Any]:
        """What AdaLoRA's sharing out remembers."""
        if self.ranks is None:
            return {}
        allocator = self.ranks.rankallocator
        memory = {name: dict(getattr(allocator, name)) for name in ("ipt", "exp_avg_ipt", "exp_avg_unc")}
        pattern = self.ranks.peft_config[self.ranks.trainable_adapter_name].rank_pattern
        return {**memory, "pattern": dict(pattern or {})}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Put that back."""
        if self.ranks is None:
            return
        for name in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
            there = {key: value.to(self.processes.device) for key, value in state[name].items()}
            setattr(self.ranks.rankallocator, name, there)
        self.ranks.peft_config[self.ranks.trainable_adapter_name].rank_pattern = state["pattern"]

    def fingerprint(self) -> Mapping[str, str]:
        """Hashes of the recordings and of the weights that training began with."""
        dev = "" if self.dev is None else recordings_hash(self.dev)
        return {"data": recordings_hash(self.recordings), "dev": dev, "start": self.start}


def recordings_sampler(recordings: Recordings, labels: Sequence[str], config: TrainConfig) -> Sampler:
    """Plan which recordings share a step."""
    examples = recordings.examples
    longest = round(config.max_duration * SAMPLING_RATE)
    return Sampler(
        np.stack([example.shares(labels) for example in examples]),
        [example.corpus for example in examples],
        np.array([min(len(signal), longest) for signal in recordings.signals]),
        config,
    )


def recordings_hash(recordings: Recordings) -> str:
    """SHA-256 of what is learnt from: signals, truths, weights, speakers, corpora."""
    digest = hashlib.sha256()
    for example, signal in zip(recordings.examples, recordings.signals, strict=True):
        digest.update(f"{example.speaker}\0{example.corpus}\0{example.weight}\0{len(signal)}\0".encode())
        digest.update(example.shares(HEAD_LABELS).tobytes())
        digest.update(np.ascontiguousarray(signal).data)
    return digest.hexdigest()


def orthogonality(model: torch.nn.Module) -> torch.Tensor:
    """How far AdaLoRA's outer matrices are from orthogonal ones: the mean distance of their products from identity."""
    distances = []
    for name, matrix in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            product = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix
            distances.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=matrix.device)))
    return torch.stack(distances).mean()


def predict_logits(
    network: torch.nn.Module, extractor: Any, signals: Sequence[Signal], processes: Processes
) -> npt.NDArray[np.float32]:
    """Compute the logits of recordings as serving does: from the mean of the embeddings of their windows.

    Args:
        network: an `EncoderClassifier`, adapted or not, on the device of the processes; left in evaluation mode.
        extractor: of its inputs.
        signals: float32 of shape (samples,) at 16 kHz.
        processes: each of them computes a part.

    Returns:
        Shape (signals, labels).
    """
    network.eval()
    inner = inner_network(network)
    encoder = LoadedEncoder(inner.encoder, extractor, "", "", processes.device)
    embeddings = embed_together(encoder, signals, processes)
    with torch.inference_mode():
        values = (torch.from_numpy(embeddings).to(processes.device) - inner.mean) / inner.scale
        logits = inner.classifier(values.clamp(-LIMIT, LIMIT))
    return np.asarray(logits.float().cpu().numpy())


def embed_together(encoder: LoadedEncoder, signals: Sequence[Signal], processes: Processes) -> npt.NDArray[np.float32]:
    """Embed recordings, each process a part of them; all have the whole, shape (signals, size)."""
    places = range(processes.rank, len(signals), processes.count)
    embeddings = torch.zeros(len(signals), encoder.rows * 2 * encoder.width)
    for place in places:
        embeddings[place] = torch.from_numpy(embed_clips(encoder, [signals[place]])[0])
    if processes.count > 1:
        embeddings = processes.add(embeddings.to(processes.device)).cpu()
    return embeddings.numpy()


def uar_by_corpus(logits: npt.NDArray[np.float32], labels: Sequence[str], recordings: Recordings) -> dict[str, float]:
    """Unweighted average recall on each corpus of the recordings, over the labels that it has."""
    # As the head answers: labels beyond the seven count as an emotion.
    emotions = [emotion_of(label) for label in labels]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    sums = np.stack([powers[:, [e == emotion for e in emotions]].sum(1) for emotion in EMOTIONS], axis=1)
    answers = [EMOTIONS[place] for place in sums.argmax(1)]
    corpora = sorted({example.corpus for example in recordings.examples})
    pairs = list(zip(recordings.examples, answers, strict=True))
    return {
        corpus: uar(
            [emotion_of(e.hard_label) for e, _ in pairs if e.corpus == corpus],
            [answer for e, answer in pairs if e.corpus == corpus],
            EMOTIONS,
        )
        for corpus in corpora
    }


def emotion_losses(
    logits: torch.Tensor, targets: torch.Tensor, allowed: torch.Tensor, config: TrainConfig
) -> torch.Tensor:
    """Compute cross-entropy with soft, smoothed labels among those that are allowed; shape (examples,), nats."""
    if not config.mask_absent_labels:
        allowed = torch.ones_like(targets)
    logits = logits.float().masked_fill(allowed == 0, MASKED)
    spread = allowed / allowed.sum(1, keepdim=True)
    smoothed = (1.0 - config.label_smoothing) * targets + config.label_smoothing * spread
    return -(smoothed * torch.log_softmax(logits, dim=1)).sum(1)
