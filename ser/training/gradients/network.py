"""A pretrained audio encoder with a classifier head as one network, and its fine-tuning on recordings."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from peft import PeftModel
from torch import nn

from ser.acoustic.head import LIMIT, ClassifierHead, emotion_of
from ser.audio.augmentation import SignalAugmentation
from ser.config import TrainConfig
from ser.encoder.pretrained import LoadedEncoder
from ser.encoder.states import extract, hidden_states, pool
from ser.encoder.windows import MIN_DURATION, embed_clips
from ser.evaluation.metrics import uar
from ser.labels import EMOTIONS
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import DevFigures, Places, Task
from ser.training.recipe import HEAD_LABELS
from ser.training.recordings import Recordings
from ser.training.sampling import Sampler, allowed_labels
from ser.types import SAMPLING_RATE, Signal

SHORTEST = round(MIN_DURATION * SAMPLING_RATE)
"""Samples; shorter clips are filled up with zeros, as in answering."""

MASKED = -30.0
"""Logit of a label that a clip's corpus lacks."""

CHANGED_SHARE = 0.5
"""Of the recordings that a step sees, if `augment` is on."""

Batch = tuple[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor, torch.Tensor]
"""Inputs of the encoder; targets (examples, labels); weights (examples,); allowed labels (examples, labels)."""


class EncoderClassifier(nn.Module):
    """Encoder, mean and deviation of all layers over the clip's frames, linear head.

    Answers as `ClassifierHead` does on embeddings of the same encoder.

    Args:
        encoder: as `ser.encoder.states.load_pretrained` gives it.
        head: to begin with.
        dropout: share of the standardised embedding that a training step does without.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, encoder: Any, head: ClassifierHead, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", torch.from_numpy(head.mean.copy()))
        self.register_buffer("scale", torch.from_numpy(head.scale.copy()))
        self.classifier = nn.Linear(*head.weights.shape)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.from_numpy(head.weights.T.copy()))
            self.classifier.bias.copy_(torch.from_numpy(head.bias.copy()))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Compute logits of shape (clips, labels) from what `ser.encoder.states.extract` gives."""
        return self.classify(pool(*hidden_states(self.encoder, inputs)))

    def classify(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Compute logits from pooled embeddings."""
        values = ((embeddings - self.mean) / self.scale).clamp(-LIMIT, LIMIT)
        logits: torch.Tensor = self.classifier(self.dropout(values))
        return logits

    def train(self, mode: bool = True) -> "EncoderClassifier":
        """Switch dropout and masking on or off; an encoder that is not trained keeps them off."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
        return self

    def head_tensors(self) -> dict[str, Any]:
        """Return `mean`, `scale`, `weights` and `bias` as a `ClassifierHead` takes them."""
        linear = self.classifier
        tensors = {"mean": self.mean, "scale": self.scale, "weights": linear.weight.T, "bias": linear.bias}
        return {name: tensor.detach().float().cpu().contiguous().numpy().copy() for name, tensor in tensors.items()}


class EncoderTask(Task):
    """Recordings that an encoder with a head is trained on, and those it is measured on.

    Args:
        extractor: of the encoder's inputs.
        labels: of its outputs.
        recordings: to train on.
        dev: to measure each epoch on; None for nothing.
        noises: to mix in; synthetic noise if there are none.
        config: of the run.
        processes: of the run.
        start: names the weights before training, for `fingerprint`.
    """

    config: TrainConfig

    def __init__(
        self,
        extractor: Any,
        labels: Sequence[str],
        recordings: Recordings,
        dev: Recordings | None,
        noises: Sequence[Signal],
        config: TrainConfig,
        processes: Processes,
        start: str,
    ) -> None:
        super().__init__(len(recordings.examples), config)
        self.extractor, self.labels, self.noises = extractor, tuple(labels), noises
        self.recordings, self.dev, self.start, self.processes = recordings, dev, start, processes
        self.longest = round(config.max_duration * SAMPLING_RATE)
        examples = recordings.examples
        corpora = [example.corpus for example in examples]
        self.targets = np.stack([example.shares(self.labels) for example in examples])
        self.allowed = allowed_labels(self.targets, corpora)
        lengths = np.array([min(len(signal), self.longest) for signal in recordings.signals])
        self.sampler = Sampler(self.targets, corpora, lengths, config)
        own_weights = np.array([example.weight for example in examples], dtype=np.float32)
        self.example_weights = own_weights * (self.targets @ self.sampler.label_weights)
        self.augmentation = SignalAugmentation.of(config)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.sampler.steps

    def plan(self, epoch: int) -> Sequence[Places]:
        """Divide the recordings into the steps of an epoch."""
        return self.sampler.plan(epoch)

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Batch:
        """Cut and perhaps change recordings, and extract the encoder's inputs."""
        generator = np.random.default_rng([self.config.seed, epoch, step, part])
        inputs = extract(self.extractor, [self._signal(int(place), generator) for place in places])
        arrays = self.targets[places], self.example_weights[places], self.allowed[places]
        targets, weights, allowed = (torch.from_numpy(array) for array in arrays)
        return inputs, targets, weights, allowed

    def _signal(self, place: int, generator: np.random.Generator) -> Signal:
        signal = self.recordings.signals[place]
        start = int(generator.integers(0, max(1, len(signal) - self.longest + 1)))
        cut = signal[start : start + self.longest]
        if self.config.augment and generator.random() < CHANGED_SHARE:
            cut = self.augmentation.apply(cut, self.noises, generator)[: self.longest]
        return np.pad(cut, (0, max(0, SHORTEST - len(cut))))

    def weights(self, batch: Batch) -> torch.Tensor:
        """Weigh each recording by its own weight and its label's rarity."""
        return batch[2]

    def losses(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Compute cross-entropy in nats with soft, smoothed labels among those that a recording's corpus has."""
        device = self.processes.device
        targets, allowed = batch[1].to(device), batch[3].to(device)
        inputs = {name: value.to(device) for name, value in batch[0].items()}
        logits = model(**inputs).float().masked_fill(allowed == 0, MASKED)
        spread, smoothing = allowed / allowed.sum(1, keepdim=True), self.config.label_smoothing
        smoothed = (1.0 - smoothing) * targets + smoothing * spread
        return -(smoothed * torch.log_softmax(logits, dim=1)).sum(1)

    def evaluate(self, network: torch.nn.Module) -> DevFigures | None:
        """Measure unweighted average recall on the dev recordings, by corpus, all corpora alike in the score."""
        if self.dev is None:
            return None
        by_corpus = uar_by_corpus(self._dev_logits(network, self.dev), self.labels, self.dev)
        score = float(np.mean(list(by_corpus.values())))
        return DevFigures(score, {"score": score, "uar": by_corpus})

    def _dev_logits(self, network: torch.nn.Module, dev: Recordings) -> npt.NDArray[np.float32]:
        """Compute logits as serving does: from the mean of the embeddings of a recording's windows."""
        network.eval()
        inner: Any = network.get_base_model() if isinstance(network, PeftModel) else network
        encoder = LoadedEncoder(inner.encoder, self.extractor, "", "", self.processes.device)
        embeddings = embed_together(encoder, dev.signals, self.processes)
        with torch.inference_mode():
            logits = inner.classify(torch.from_numpy(embeddings).to(self.processes.device))
        return np.asarray(logits.float().cpu().numpy())

    def fingerprint(self) -> Mapping[str, str]:
        """Hash the recordings; the weights that training began with have their hash already."""
        dev = "" if self.dev is None else recordings_hash(self.dev)
        return {"data": recordings_hash(self.recordings), "dev": dev, "start": self.start}


def recordings_hash(recordings: Recordings) -> str:
    """Hash all that is trained on: signals, labels, weights, speakers, corpora."""
    digest = hashlib.sha256()
    for example, signal in zip(recordings.examples, recordings.signals, strict=True):
        digest.update(f"{example.speaker}\0{example.corpus}\0{example.weight}\0{len(signal)}\0".encode())
        digest.update(example.shares(HEAD_LABELS).tobytes())
        digest.update(np.ascontiguousarray(signal).data)
    return digest.hexdigest()


def embed_together(encoder: LoadedEncoder, signals: Sequence[Signal], processes: Processes) -> npt.NDArray[np.float32]:
    """Embed recordings, each process a part of them; all have the whole, shape (signals, size)."""
    embeddings = torch.zeros(len(signals), encoder.rows * 2 * encoder.width)
    for place in range(processes.rank, len(signals), processes.count):
        embeddings[place] = torch.from_numpy(embed_clips(encoder, [signals[place]])[0])
    if processes.count > 1:
        embeddings = processes.add(embeddings.to(processes.device)).cpu()
    return embeddings.numpy()


def uar_by_corpus(logits: npt.NDArray[np.float32], labels: Sequence[str], recordings: Recordings) -> dict[str, float]:
    """Compute unweighted average recall on each corpus of the recordings, over the labels that it has."""
    # As the head answers: labels beyond the seven count as an emotion.
    emotions = [emotion_of(label) for label in labels]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    sums = np.stack([powers[:, [e == emotion for e in emotions]].sum(1) for emotion in EMOTIONS], axis=1)
    answers = [EMOTIONS[place] for place in sums.argmax(1)]
    pairs = list(zip(recordings.examples, answers, strict=True))
    return {
        corpus: uar(
            [emotion_of(e.hard_label) for e, _ in pairs if e.corpus == corpus],
            [answer for e, answer in pairs if e.corpus == corpus],
            EMOTIONS,
        )
        for corpus in sorted({example.corpus for example in recordings.examples})
    }
