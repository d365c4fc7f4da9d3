"""Fine-tuning of other people's audio encoders: wav2vec2, HuBERT, WavLM, Whisper, AST and their like.

The whole network learns, with a new head of our labels; the layers that turn the waveform into frames stay as they
are where the network has such. Knows transformers' audio classification models; our own network has its own loop.
"""

import copy
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification
from transformers.utils import logging as transformers_logging

from ser.checkpoints import Meta, save_checkpoint
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.metrics import uar
from ser.training.dataset import class_weights
from ser.training.loop import has_bfloat16
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.training.recordings import Recordings, Watch
from ser.types import SAMPLING_RATE, Signal


@dataclass(frozen=True)
class TunedEncoder:
    """A fine-tuned checkpoint and what is to be said of it.

    Attributes:
        network: in evaluation mode, on the CPU.
        extractor: of its inputs.
        config: of the run.
        curve: `epoch`, `loss` and, with dev examples, `uar` of each epoch.
        metrics: `best_epoch`, and `dev` with the UAR.
        data: counts of what it was trained on.
    """

    network: Any
    extractor: Any
    config: TrainConfig
    curve: list[dict[str, object]]
    metrics: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)

    def uar_by_corpus(self, recordings: Recordings, device: str = "cpu") -> dict[str, float]:
        """Unweighted average recall on each corpus of the recordings, over the labels that it has."""
        longest = round(self.config.max_duration * SAMPLING_RATE)
        answers = predict_labels(self.network, self.extractor, recordings.signals, longest, device)
        corpora = sorted({example.corpus for example in recordings.examples})
        pairs = list(zip(recordings.examples, answers, strict=True))
        return {
            corpus: uar(
                [e.hard_label for e, _ in pairs if e.corpus == corpus],
                [answer for e, answer in pairs if e.corpus == corpus],
                EMOTIONS,
            )
            for corpus in corpora
        }

    def save(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        metrics: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
    ) -> Meta:
        """Write the checkpoint and its meta.json, whole or not at all; `load_acoustic_model` reads it.

        Raises:
            ModelUnavailableError: where the folder holds something already.
        """
        folder = Path(folder)
        meta = Meta(
            name=name or folder.name,
            labels=EMOTIONS,
            config=asdict(self.config),
            data={**self.data, **(data or {})},
            metrics={**self.metrics, "curve": self.curve, **(metrics or {})},
        )
        return save_checkpoint(folder, self._save_weights, meta)

    def _save_weights(self, folder: Path) -> None:
        # One file, however large: its hash is the model's name in meta.json.
        self.network.save_pretrained(folder, max_shard_size="100GB")
        self.extractor.save_pretrained(folder)


def tune_encoder(
    checkpoint: Path,
    recordings: Recordings,
    config: TrainConfig,
    *,
    dev: Recordings | None = None,
    data: Mapping[str, object] | None = None,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TunedEncoder:
    """Fine-tune a checkpoint.

    Args:
        checkpoint: folder of an audio encoder, with or without a classification head; a head of other labels is
            replaced by a new one.
        recordings: to learn from; labels may be soft, weights count.
        config: `epochs, batch_size, learning_rate, warmup, weight_decay, label_smoothing, class_weight_power,
            max_duration, patience, choose_best, autocast, seed` count; the rest is for our own network.
        dev: of other speakers, to choose the epoch by; without it the last epoch is taken.
        data: what is to be said of the data.
        device: `cpu` or `cuda`.
        on_progress: told after every step.
        should_stop: asked just as often.

    Raises:
        ModelUnavailableError: where the checkpoint cannot be had.
        TrainingCancelledError: when asked to stop.
    """
    torch.manual_seed(config.seed)
    network, extractor = _load(checkpoint)
    run = _Run(network, extractor, config, device, Watch(on_progress, should_stop))
    run.fit(recordings, dev)
    network = run.network.to("cpu").eval()
    return TunedEncoder(network, extractor, config, run.curve, run.metrics, data or {})


class _Run:
    """The moving parts of one fine-tuning."""

    def __init__(self, network: Any, extractor: Any, config: TrainConfig, device: str, watch: Watch) -> None:
        self.network = network.to(device)
        self.extractor = extractor
        self.config = config
        self.device = device
        self.watch = watch
        self.generator = np.random.default_rng(config.seed)
        self.longest = round(config.max_duration * SAMPLING_RATE)
        self.curve: list[dict[str, object]] = []
        self.metrics: dict[str, object] = {}
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.score: float | None = None

    def fit(self, recordings: Recordings, dev: Recordings | None) -> None:
        signals, examples = recordings.signals, recordings.examples
        targets = np.stack([example.soft_label for example in examples])
        weights = np.array([example.weight for example in examples], dtype=np.float32)
        weights *= targets @ class_weights(targets, self.config.class_weight_power)
        per_epoch = math.ceil(len(signals) / self.config.batch_size)
        steps = per_epoch * self.config.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _rate(step, steps, self.config.warmup)
        )
        best, best_epoch, best_state = -math.inf, 0, copy.deepcopy(self.network.state_dict())
        started, step, loss = time.monotonic(), 0, 0.0
        for epoch in range(1, self.config.epochs + 1):
            losses = []
            for places in self._batches(len(signals)):
                loss = self._step([signals[i] for i in places], targets[places], weights[places])
                losses.append(loss)
                schedule.step()
                step += 1
                eta = (time.monotonic() - started) / step * (steps - step)
                progress = TrainProgress(epoch, self.config.epochs, step, steps, loss, self.score, eta)
                self.watch.report(progress)
            entry: dict[str, object] = {"epoch": epoch, "loss": float(np.mean(losses))}
            ranking = float(epoch)
            if dev:
                answers = predict_labels(self.network, self.extractor, dev.signals, self.longest, self.device)
                self.score = uar([example.hard_label for example in dev.examples], answers, EMOTIONS)
                entry["uar"] = self.score
                if self.config.choose_best:
                    ranking = self.score
            self.curve.append(entry)
            self.watch.report(
                TrainProgress(epoch, self.config.epochs, step, steps, loss, self.score, eta, epoch_done=True)
            )
            if ranking > best:
                best, best_epoch, best_state = ranking, epoch, copy.deepcopy(self.network.state_dict())
            elif self.config.patience is not None and epoch - best_epoch >= self.config.patience:
                break
        self.network.load_state_dict(best_state)
        self.metrics = {"best_epoch": best_epoch} | ({"dev": {"uar": self.curve[best_epoch - 1]["uar"]}} if dev else {})

    def _batches(self, count: int) -> Iterator[npt.NDArray[np.int64]]:
        order = self.generator.permutation(count)
        yield from np.array_split(order, math.ceil(count / self.config.batch_size))

    def _step(
        self, signals: Sequence[Signal], targets: npt.NDArray[np.float32], weights: npt.NDArray[np.float32]
    ) -> float:
        self.network.train()
        with self._autocast():
            logits = self.network(**self._inputs([self._crop(signal) for signal in signals])).logits.float()
        truth = torch.from_numpy(targets).to(self.device)
        truth = (1 - self.config.label_smoothing) * truth + self.config.label_smoothing / len(EMOTIONS)
        each = -(truth * torch.log_softmax(logits, dim=1)).sum(1)
        shares = torch.from_numpy(weights).to(self.device)
        loss = (each * shares).sum() / shares.sum().clamp_min(1e-6)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _inputs(self, signals: Sequence[Signal]) -> dict[str, torch.Tensor]:
        inputs = _extract(self.extractor, signals)
        return {name: inputs[name].to(self.device) for name in inputs}

    def _crop(self, signal: Signal) -> Signal:
        start = int(self.generator.integers(0, max(1, len(signal) - self.longest + 1)))
        return signal[start : start + self.longest]

    def _autocast(self) -> torch.autocast:
        enabled = self.config.autocast and has_bfloat16(self.device)
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=enabled)


def predict_labels(network: Any, extractor: Any, signals: Sequence[Signal], longest: int, device: str) -> list[str]:
    """The most probable emotion of each signal's first `longest` samples."""
    network.to(device).eval()
    labels = []
    with torch.inference_mode():
        # One by one: some encoders take no mask, and padding would change their answer.
        for signal in signals:
            inputs = _extract(extractor, [signal[:longest]])
            logits = network(**{name: inputs[name].to(device) for name in inputs}).logits
            labels.append(EMOTIONS[int(logits[0].argmax())])
    return labels


def _load(checkpoint: Path) -> tuple[Any, Any]:
    verbosity = transformers_logging.get_verbosity()
    # A new head is what is wanted here; transformers would warn of it.
    transformers_logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(
            checkpoint,
            num_labels=len(EMOTIONS),
            id2label=dict(enumerate(EMOTIONS)),
            label2id={label: i for i, label in enumerate(EMOTIONS)},
        )
        extractor = AutoFeatureExtractor.from_pretrained(checkpoint)
        network = AutoModelForAudioClassification.from_pretrained(
            checkpoint, config=config, use_safetensors=True, ignore_mismatched_sizes=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"{checkpoint} cannot be fine-tuned as an audio classification model: {str(error).partition(chr(10))[0]}"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    if hasattr(network, "freeze_feature_encoder"):
        network.freeze_feature_encoder()
    return network, extractor


def _extract(extractor: Any, signals: Sequence[Signal]) -> Any:
    """Inputs of one length; extractors that have a length of their own (Whisper, AST) keep it."""
    arguments = {"sampling_rate": SAMPLING_RATE, "return_tensors": "pt"}
    if getattr(extractor, "nb_max_frames", None) is None and not hasattr(extractor, "num_mel_bins"):
        arguments["padding"] = True
    return extractor(list(signals), **arguments)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear up, linear down: how encoders of this kind are usually tuned."""
    rise = max(1, round(warmup * steps))
    return (step + 1) / rise if step < rise else max(0.0, (steps - step) / max(1, steps - rise))
