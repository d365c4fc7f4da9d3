"""An audio encoder of others learning from recordings; see `ser.training.task.Task`.

Knows transformers' audio classification models and their extractors; nothing of where they come from.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import AdaLoraModel, PeftModel

from ser.augmentation import SignalAugmentation
from ser.config import TrainConfig
from ser.labels import EMOTIONS
from ser.metrics import uar
from ser.training.objective import emotion_losses
from ser.training.processes import Processes
from ser.training.recordings import Recordings
from ser.training.sampling import Places, Sampler, allowed_labels
from ser.training.task import Judgement
from ser.types import SAMPLING_RATE, Signal

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
    """An encoder, what it learns from, and what it is judged by."""

    clip_norm = 1.0

    def __init__(
        self,
        model: torch.nn.Module,
        extractor: Any,
        recordings: Recordings,
        dev: Recordings | None,
        noises: Sequence[Signal],
        config: TrainConfig,
        processes: Processes,
    ) -> None:
        self.extractor, self.recordings, self.dev, self.noises = extractor, recordings, dev, noises
        self.config, self.processes = config, processes
        self.longest = round(config.max_duration * SAMPLING_RATE)
        self.targets = np.stack([example.soft_label for example in recordings.examples])
        self.own_weights = np.array([example.weight for example in recordings.examples], dtype=np.float32)
        self.allowed = allowed_labels(self.targets, [example.corpus for example in recordings.examples])
        self.sampler = recordings_sampler(recordings, config)
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
            return self.augmentation.apply(cut, self.noises, generator)[: self.longest]
        return cut

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
        logits = model(**{name: value.to(device) for name, value in batch.inputs.items()}).logits
        there = SignalBatch({}, batch.targets.to(device), batch.weights, batch.allowed.to(device))
        losses = emotion_losses(logits, there, self.config)
        return losses + ORTHOGONALITY * orthogonality(self.ranks) if self.ranks is not None else losses

    def judge(self, network: torch.nn.Module) -> Judgement | None:
        """Unweighted average recall on the dev recordings."""
        if self.dev is None:
            return None
        answers = predict_labels(
            network, self.extractor, self.dev.signals, self.longest, self.processes.device, self.processes
        )
        score = uar([example.hard_label for example in self.dev.examples], answers, EMOTIONS)
        return Judgement(score, figures={"uar": score})

    def after_step(self, step: int) -> None:
        """Share out AdaLoRA's ranks."""
        if self.ranks is None:
            return
        for parameter in self.ranks.parameters():
            if parameter.requires_grad and parameter.grad is None:
                # A layer that the step dropped has learnt nothing, and AdaLoRA wants to hear so as a number.
                parameter.grad = torch.zeros_like(parameter)
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
        """Hashes of the recordings."""
        dev = "" if self.dev is None else recordings_hash(self.dev)
        return {"data": recordings_hash(self.recordings), "dev": dev}


def recordings_sampler(recordings: Recordings, config: TrainConfig) -> Sampler:
    """Which recordings share a step."""
    examples = recordings.examples
    longest = round(config.max_duration * SAMPLING_RATE)
    return Sampler(
        np.stack([example.soft_label for example in examples]),
        [example.speaker for example in examples],
        [example.corpus for example in examples],
        np.array([min(len(signal), longest) for signal in recordings.signals]),
        config,
    )


def recordings_hash(recordings: Recordings) -> str:
    """SHA-256 of what is learnt from: signals, truths, weights, speakers, corpora."""
    digest = hashlib.sha256()
    for example, signal in zip(recordings.examples, recordings.signals, strict=True):
        digest.update(f"{example.speaker}\0{example.corpus}\0{example.weight}\0{len(signal)}\0".encode())
        digest.update(example.soft_label.tobytes())
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


def predict_labels(
    network: Any,
    extractor: Any,
    signals: Sequence[Signal],
    longest: int,
    device: str,
    processes: Processes | None = None,
) -> list[str]:
    """The most probable emotion of each signal's first `longest` samples; each process answers for a part."""
    network.to(device).eval()
    rank, count = (processes.rank, processes.count) if processes else (0, 1)
    places = torch.zeros(len(signals), dtype=torch.int64, device=device)
    with torch.inference_mode():
        # One by one: some encoders take no mask, and padding would change their answer.
        for number in range(rank, len(signals), count):
            inputs = extract(extractor, [signals[number][:longest]])
            logits = network(**{name: inputs[name].to(device) for name in inputs}).logits
            places[number] = logits[0].argmax()
    answers = processes.add(places) if processes else places
    return [EMOTIONS[place] for place in answers.tolist()]


def extract(extractor: Any, signals: Sequence[Signal]) -> Any:
    """Inputs of one length; extractors that have a length of their own (Whisper, AST) keep it."""
    arguments = {"sampling_rate": SAMPLING_RATE, "return_tensors": "pt"}
    if getattr(extractor, "nb_max_frames", None) is None and not hasattr(extractor, "num_mel_bins"):
        arguments["padding"] = True
    return extractor(list(signals), **arguments)
