"""How our own network is trained: features and a configuration in, the best weights on dev speakers out.

Knows nothing of files, corpora or the app; the loop itself is `ser.training.engine`'s.
"""

import hashlib
import inspect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ser.acoustic.network import AcousticModelForAudioClassification, pad_features
from ser.calibration import fit_temperature
from ser.config import TrainConfig
from ser.training.dataset import Batch, BatchDrawer, FeatureSet
from ser.training.engine import optimise
from ser.training.objective import batch_losses
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.sampling import Places
from ser.training.task import Judgement, Surroundings


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
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Fit:
    """Train `network` in place; under `torchrun`, together with the other processes.

    Args:
        network: with its initial weights and its feature statistics set. It is called with `input_features` and
            `attention_mask`, and with `speakers` (int64, the same number for the same speaker) where it takes them;
            what its output may hold stands in `ser.training.objective.batch_losses`.
        data: to train on.
        config: how.
        dev: of other speakers, to choose the epoch by; without it the last epoch is taken.
        device: of torch.
        checkpoint_dir: where the run is kept, to go on from after a kill; when it is over too, until it is removed by
            `ser.training.run_state.remove_state`.
        on_progress: called after every step.
        should_stop: asked after every step.

    Returns:
        The network with the chosen weights, on the CPU.

    Raises:
        TrainingDataError: where `checkpoint_dir` holds another run.
        TrainingCancelledError: when `should_stop` says so.
    """
    processes = Processes(device)
    freeze(network, config.frozen_blocks)
    task = _NetworkTask(network, data, dev, config, processes)
    around = Surroundings(processes, checkpoint_dir, on_progress, should_stop)
    outcome = optimise(network, task, config, around, cosine)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    return Fit(network.to("cpu").eval(), outcome.curve, outcome.best_epoch)


class _NetworkTask:
    """Our network learning from features; see `ser.training.task.Task`."""

    clip_norm = 5.0

    def __init__(
        self,
        network: AcousticModelForAudioClassification,
        data: FeatureSet,
        dev: FeatureSet | None,
        config: TrainConfig,
        processes: Processes,
    ) -> None:
        self.data, self.dev, self.config, self.processes = data, dev, config, processes
        self.drawer = BatchDrawer(data, config)
        self.label_weights = torch.from_numpy(self.drawer.sampler.label_weights)
        self.takes_speakers = "speakers" in inspect.signature(network.forward).parameters

    @property
    def steps(self) -> int:
        return self.drawer.sampler.steps

    def plan(self, epoch: int) -> Sequence[Places]:
        return self.drawer.sampler.plan(epoch)

    def draw(self, places: Places, epoch: int, step: int, part: int) -> Batch:
        return self.drawer.draw(places, epoch, step, part)

    def weights(self, batch: Batch) -> torch.Tensor:
        return batch.weights * (batch.targets @ self.label_weights)

    def losses(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        if self.processes.device != "cpu":
            batch = _moved(batch, self.processes.device)
        speakers = {"speakers": batch.speakers} if self.takes_speakers else {}
        output = model(input_features=batch.input_features, attention_mask=batch.attention_mask, **speakers)
        return batch_losses(output, batch, self.config)

    def judge(self, network: torch.nn.Module) -> Judgement | None:
        if self.dev is None:
            return None
        logits = predict_logits(network, self.dev, self.processes.device, processes=self.processes)
        return judge_logits(logits, self.dev, self.config)

    def after_step(self, step: int) -> None:
        pass

    def state(self) -> Mapping[str, object]:
        return {}

    def set_state(self, state: Mapping[str, object]) -> None:
        pass

    def fingerprint(self) -> Mapping[str, str]:
        return {"data": data_hash(self.data), "dev": "" if self.dev is None else data_hash(self.dev)}


def _moved(batch: Batch, device: str) -> Batch:
    return Batch(**{part.name: getattr(batch, part.name).to(device, non_blocking=True) for part in fields(batch)})


def data_hash(data: FeatureSet) -> str:
    """SHA-256 of what is learnt from: truths, weights, and features by their untouched recordings."""
    digest = hashlib.sha256()
    for name in (*data.speakers, *data.corpora):
        digest.update(name.encode() + b"\0")
    for values in (data.targets, data.weights, data.intensities):
        digest.update(b"" if values is None else np.ascontiguousarray(values).tobytes())
    for variants in data.variants:
        digest.update(np.array([len(variant) for variant in variants]).tobytes())
        digest.update(np.ascontiguousarray(variants[0]).data)
    return digest.hexdigest()


def cosine(step: int, steps: int, warmup: int) -> float:
    """Linear up, then down as half a cosine.

    >>> [round(cosine(step, 10, 2), 2) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.04]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


def predict_logits(
    network: torch.nn.Module,
    data: FeatureSet,
    device: str = "cpu",
    batch_size: int = 64,
    processes: Processes | None = None,
) -> npt.NDArray[np.float32]:
    """Logits of the untouched recordings, shape (examples, labels), in the order of `data`.

    With `processes`, each of them answers for a part, and all have the whole.
    """
    network.eval()
    logits = torch.zeros(data.targets.shape)
    # Clips of like length share a batch, so that little of it is padding.
    order = sorted(range(len(data)), key=lambda i: len(data.variants[i][0]))
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    mine = batches[processes.rank :: processes.count] if processes else batches
    with torch.inference_mode():
        for places in mine:
            stacked, mask = pad_features([data.variants[i][0].astype(np.float32) for i in places], multiple_of=32)
            answer = network(torch.from_numpy(stacked).to(device), torch.from_numpy(mask).to(device))
            logits[places] = answer.logits.float().cpu()
    if processes is not None and processes.count > 1:
        logits = processes.add(logits.to(processes.device)).cpu()
    return logits.numpy()


def judge_logits(logits: npt.NDArray[np.float32], dev: FeatureSet, config: TrainConfig) -> Judgement:
    """How good the answers to dev examples are: `score`, `uar` by corpus and `dev_loss`."""
    by_corpus = uar_by_corpus(logits, dev)
    score, dev_loss = weighted_score(by_corpus, config), soft_cross_entropy(logits, dev.targets)
    return Judgement(score, -dev_loss, {"score": score, "uar": by_corpus, "dev_loss": dev_loss})


def uar_by_corpus(logits: npt.NDArray[np.float32], data: FeatureSet) -> dict[str, float]:
    """Mean recall over the labels that each corpus has, all labels being open to the answer."""
    truths, answers = data.targets.argmax(1), logits.argmax(1)
    corpora = np.array(data.corpora)
    figures = {}
    for corpus in sorted(set(data.corpora)):
        truth, answer = truths[corpora == corpus], answers[corpora == corpus]
        figures[corpus] = float(np.mean([np.mean(answer[truth == label] == label) for label in np.unique(truth)]))
    return figures


def temperature_of(logits: npt.NDArray[np.float32], data: FeatureSet) -> float:
    """The temperature that suits these answers; every corpus counts alike, however many clips it has."""
    sizes = Counter(data.corpora)
    weights = np.array([1.0 / sizes[corpus] for corpus in data.corpora], dtype=np.float32)
    return fit_temperature(logits, data.targets, weights)


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
    members = network.networks() if blocks else []
    modules = [module for member in members for module in member.early_layers(blocks - 1)]
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
