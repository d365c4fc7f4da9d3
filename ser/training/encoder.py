"""Training from a pretrained audio encoder: wav2vec2, HuBERT, WavLM, Whisper, AST and their like.

A classifier head on all layers is fitted first; unless the encoder stays frozen, both are then fine-tuned together, as
gradients from a head that knows nothing yet distort what the encoder knows. Source: Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features and Underperform Out-of-Distribution", https://arxiv.org/abs/2202.10054
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from ser.acoustic.head import HEAD_FILE, ClassifierHead
from ser.acoustic.model import HERE, HeadModel
from ser.checkpoints.folder import Meta, save_checkpoint, weights_sha256
from ser.config import TrainConfig
from ser.encoder.pretrained import LoadedEncoder, PretrainedEncoder
from ser.evaluation.calibration import fit_temperature
from ser.training.adapters import finished_encoder, prepare_encoder
from ser.training.embeddings import EmbeddingSet
from ser.training.encoder_model import EncoderClassifier
from ser.training.encoder_task import EncoderTask, embed_together, recordings_sampler, uar_by_corpus
from ser.training.engine import optimise
from ser.training.heads import HeadConfig, fit_head
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recipe import HEAD_LABELS
from ser.training.recordings import Recordings
from ser.training.run_state import has_state, hash_tensors, remove_state, seed_everything
from ser.training.task import Surroundings
from ser.types import Signal

FROZEN_BELOW = 3000
"""Clips below which `auto` leaves the encoder frozen: fine-tuning end to end needs some thousand to be worth it.

Source: on RAVDESS's 1,440 clips a linear head on frozen layers beat fine-tuning end to end by 8 points of UAR
(WavLM-large; see benchmarks/README.md for Whisper tiny.en)."""

MIN_CALIBRATION_EXAMPLES = 30
"""Dev examples below which a temperature would be fitted to chance."""


@dataclass(frozen=True)
class TunedEncoder:
    """An encoder with a classifier head, and the figures of its training.

    Attributes:
        encoder: on the CPU, in evaluation mode.
        head: on its embeddings.
        config: of the run; `tune` tells what learnt.
        curve: `epoch`, `loss` and, with dev examples, `score` and `uar` of each epoch; empty for a frozen encoder.
        metrics: `best_epoch`, and with dev examples `dev` with the UAR of each corpus.
        data: counts of what it was trained on.
        checkpoint_dir: where the run is still kept; removed when the model is saved.
    """

    encoder: LoadedEncoder
    head: ClassifierHead
    config: TrainConfig
    curve: list[dict[str, object]]
    metrics: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    checkpoint_dir: Path | None = None

    def as_acoustic_model(self, name: str = "trained") -> HeadModel:
        """Return it ready to classify, without going through a folder."""
        return HeadModel(self.head, self.encoder, Meta(name, self.head.labels, self.head.temperature))

    def uar_by_corpus(self, recordings: Recordings) -> dict[str, float]:
        """Unweighted average recall on each corpus of the recordings, over the labels that it has."""
        embeddings = embed_together(self.encoder, recordings.signals, Processes())
        return uar_by_corpus(self.head.logits(embeddings), self.head.labels, recordings)

    def save(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        metrics: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        keep_checkpoint: bool = False,
    ) -> Meta:
        """Write the head and, if it learnt, the encoder, whole or not at all; `load_acoustic_model` reads it.

        A head on a frozen encoder names the checkpoint of the encoder, which is not copied.

        Args:
            folder: must not exist yet, or be empty.
            name: for people; the folder's by default.
            metrics: added to those of the run.
            data: added to what the run says of its data.
            keep_checkpoint: leave the kept run where it is, for whoever records the model first.

        Raises:
            ModelUnavailableError: if the folder holds something already.
        """
        folder = Path(folder)
        meta = Meta(
            name=name or folder.name,
            labels=self.head.labels,
            config=asdict(self.config),
            data={**self.data, **(data or {})},
            metrics={**self.metrics, "curve": self.curve, **(metrics or {})},
        )
        meta = self.head.save(folder, meta) if self.config.tune == "frozen" else self._save_whole(folder, meta)
        if self.checkpoint_dir is not None and not keep_checkpoint:
            remove_state(self.checkpoint_dir)
        return meta

    def _save_whole(self, folder: Path, meta: Meta) -> Meta:
        config: dict[str, object] = {**meta.config, "encoder": HERE}

        def write(place: Path) -> None:
            self.encoder.model.save_pretrained(place, max_shard_size="100GB")
            self.encoder.extractor.save_pretrained(place)
            save_file(self.head.tensors(), place / HEAD_FILE)
            # Known once the encoder is written; meta.json is written after that.
            config["encoder_sha256"] = weights_sha256(place, without=HEAD_FILE)

        meta = replace(meta, temperature=self.head.temperature, config=config)
        return save_checkpoint(folder, write, meta, HEAD_FILE)


def tune_encoder(
    checkpoint: Path,
    recordings: Recordings,
    config: TrainConfig,
    *,
    dev: Recordings | None = None,
    noises: Sequence[Signal] = (),
    data: Mapping[str, object] | None = None,
    device: str = "cpu",
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TunedEncoder:
    """Train from a checkpoint; under `torchrun`, together with the other processes.

    Args:
        checkpoint: folder of an audio encoder, finished for some task or not; its head is left aside.
        recordings: to train on; labels may be soft, weights count. The model answers the labels that they have.
        config: `tune` names what learns. With `augment`, every second recording that a step sees is changed.
        dev: of other speakers, to choose the epoch and the temperature by; without it the last epoch is taken.
        noises: to mix in; synthetic noise without.
        data: what is to be said of the data.
        device: `cpu` or `cuda`.
        checkpoint_dir: keeps the run until the model is saved, to go on from after a kill.
        on_progress: called after every step.
        should_stop: asked just as often.

    Raises:
        ModelUnavailableError: if the checkpoint cannot be used.
        SettingsError: if the checkpoint has not what `config.tune` names.
        TrainingDataError: if `checkpoint_dir` holds another run.
        TrainingCancelledError: if asked to stop.
    """
    config = replace(config, tune=tune_of(config, len(recordings.examples)))
    processes = Processes(device)
    # What is drawn of the network before training is drawn alike in every process.
    seed_everything(config.seed)
    encoder: LoadedEncoder = PretrainedEncoder(str(checkpoint), processes.device)
    # A run that goes on has its head, whatever it began with.
    goes_on = checkpoint_dir is not None and has_state(checkpoint_dir)
    head = _first_head(encoder, recordings, processes, blank=goes_on and config.tune != "frozen")
    outcome = None
    if config.tune != "frozen":
        network = EncoderClassifier(encoder.model, head, config.dropout)
        steps = recordings_sampler(recordings, head.labels, config).steps * config.epochs
        model = prepare_encoder(network, config, steps)
        task = EncoderTask(
            model, encoder.extractor, head.labels, recordings, dev, noises, config, processes, encoder.sha256
        )
        around = Surroundings(processes, checkpoint_dir, on_progress, should_stop)
        outcome = optimise(model, task, config, around, linear)
        trained = finished_encoder(model.to("cpu")).eval()
        for parameter in trained.parameters():
            parameter.requires_grad_(True)
        sha256 = hash_tensors(trained.encoder.state_dict())
        encoder = LoadedEncoder(trained.encoder, encoder.extractor, encoder.name, sha256)
        head = replace(head, encoder=HERE, encoder_sha256=sha256, **trained.head_tensors())
    metrics: dict[str, object] = {} if outcome is None else {"best_epoch": outcome.best_epoch}
    if dev is not None:
        logits = head.logits(embed_together(encoder, dev.signals, processes))
        head = _calibrated(head, logits, dev)
        metrics["dev"] = {"uar": uar_by_corpus(logits, head.labels, dev)}
    return TunedEncoder(encoder, head, config, outcome.curve if outcome else [], metrics, data or {}, checkpoint_dir)


def tune_of(config: TrainConfig, clips: int) -> str:
    """Decide what learns if `config.tune` is `auto`.

    >>> tune_of(TrainConfig(), 500), tune_of(TrainConfig(), 50_000)
    ('frozen', 'full')
    """
    if config.tune != "auto":
        return config.tune
    return "frozen" if clips < FROZEN_BELOW else "full"


def linear(step: int, steps: int, warmup: int) -> float:
    """Linear up, linear down: how encoders of this kind are usually tuned.

    >>> [linear(step, 6, 2) for step in (0, 1, 2, 4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    return (step + 1) / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))


def _first_head(encoder: LoadedEncoder, recordings: Recordings, processes: Processes, *, blank: bool) -> ClassifierHead:
    """Fit a head on the embeddings of the encoder as it is, for the labels of the recordings; or a blank one."""
    examples = recordings.examples
    present = np.stack([example.shares(HEAD_LABELS) for example in examples]).sum(0) > 0
    labels = tuple(label for label, there in zip(HEAD_LABELS, present, strict=True) if there)
    if blank:
        size = encoder.rows * 2 * encoder.width
        zeros, ones = np.zeros(size, dtype=np.float32), np.ones(size, dtype=np.float32)
        kernel, bias = np.zeros((size, len(labels)), dtype=np.float32), np.zeros(len(labels), dtype=np.float32)
        return ClassifierHead(labels, zeros, ones, kernel, bias, 1.0, encoder.name, encoder.sha256)
    embeddings = embed_together(encoder, recordings.signals, processes)
    unknown = np.full(len(examples), np.nan, dtype=np.float32)
    data = EmbeddingSet(
        embeddings[:, None].astype(np.float16),
        np.stack([example.shares(labels) for example in examples]),
        np.array([example.weight for example in examples], dtype=np.float32),
        [example.speaker for example in examples],
        [example.corpus for example in examples],
        labels,
        [str(example.path) for example in examples],
        unknown,
    )
    # The sums of several processes may differ in their last digits: all begin with the main one's.
    return processes.tell(fit_head(data, HeadConfig(), encoder=encoder.name, encoder_sha256=encoder.sha256))


def _calibrated(head: ClassifierHead, logits: npt.NDArray[np.float32], dev: Recordings) -> ClassifierHead:
    targets = np.stack([example.shares(head.labels) for example in dev.examples])
    known = targets.sum(1) > 0
    if known.sum() < MIN_CALIBRATION_EXAMPLES:
        return head
    return replace(head, temperature=fit_temperature(logits[known], targets[known] / targets[known].sum(1)[:, None]))
