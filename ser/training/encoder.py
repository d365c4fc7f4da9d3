"""Fine-tuning of other people's audio encoders: wav2vec2, HuBERT, WavLM, Whisper, AST and their like.

They get a new head of our labels; what else learns is `ser.training.adapters`' to set. The layers that turn the
waveform into frames stay as they are where the network has such. Knows transformers' audio classification models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification
from transformers.utils import logging as transformers_logging

from ser.checkpoints import Meta, save_checkpoint
from ser.config import TrainConfig
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.metrics import uar
from ser.training.adapters import finished_encoder, prepare_encoder
from ser.training.encoder_task import EncoderTask, predict_labels, recordings_sampler
from ser.training.engine import optimise
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recordings import Recordings
from ser.training.run_state import remove_state, seed_everything
from ser.training.task import Surroundings
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
        checkpoint_dir: where the run is still kept; removed when the model is saved.
    """

    network: Any
    extractor: Any
    config: TrainConfig
    curve: list[dict[str, object]]
    metrics: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    checkpoint_dir: Path | None = None

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
        meta = save_checkpoint(folder, self._save_weights, meta)
        if self.checkpoint_dir is not None:
            remove_state(self.checkpoint_dir)
        return meta

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
    noises: Sequence[Signal] = (),
    data: Mapping[str, object] | None = None,
    device: str = "cpu",
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TunedEncoder:
    """Fine-tune a checkpoint; under `torchrun`, together with the other processes.

    Args:
        checkpoint: folder of an audio encoder, with or without a classification head; a head of other labels is
            replaced by a new one.
        recordings: to learn from; labels may be soft, weights count.
        config: all but what changes features (`stretch` to `band_mask_size`; these networks hide stretches by
            themselves), `frozen_blocks`, `network` and the weights of heads that they do not have. With `augment`,
            every second recording that a step sees is changed as variants are.
        dev: of other speakers, to choose the epoch by; without it the last epoch is taken.
        noises: to mix in; synthetic noise without.
        data: what is to be said of the data.
        device: `cpu` or `cuda`.
        checkpoint_dir: where the run is kept, to go on from after a kill, until the model is saved.
        on_progress: told after every step.
        should_stop: asked just as often.

    Raises:
        ModelUnavailableError: where the checkpoint cannot be had.
        SettingsError: where the checkpoint has not what `config.tune` names.
        TrainingDataError: where `checkpoint_dir` holds another run.
        TrainingCancelledError: when asked to stop.
    """
    # The new head is drawn here, alike in every process.
    seed_everything(config.seed)
    network, extractor = _load(checkpoint)
    processes = Processes(device)
    steps = recordings_sampler(recordings, config).steps * config.epochs
    model = prepare_encoder(network, config, steps)
    task = EncoderTask(model, extractor, recordings, dev, noises, config, processes)
    around = Surroundings(processes, checkpoint_dir, on_progress, should_stop)
    outcome = optimise(model, task, config, around, linear)
    network = finished_encoder(model.to("cpu")).eval()
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    metrics: dict[str, object] = {"best_epoch": outcome.best_epoch}
    if dev is not None:
        metrics["dev"] = {"uar": outcome.curve[outcome.best_epoch - 1]["uar"]}
    return TunedEncoder(network, extractor, config, outcome.curve, metrics, data or {}, checkpoint_dir)


def linear(step: int, steps: int, warmup: int) -> float:
    """Linear up, linear down: how encoders of this kind are usually tuned.

    >>> [linear(step, 6, 2) for step in (0, 1, 2, 4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    return (step + 1) / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))


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
    return network, extractor
