"""Training from a pretrained audio encoder: wav2vec2, HuBERT, WavLM, Whisper, AST and their like.

A classifier head on all layers is fitted first; unless the encoder stays frozen, both are then fine-tuned together, as
gradients from an untrained head distort what the encoder knows. Source: Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features and Underperform Out-of-Distribution", https://arxiv.org/abs/2202.10054

Heads on the embedded encoder are trained by `ser.training.recipe`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from accelerate.utils import set_seed
from safetensors.numpy import save_file

from ser.acoustic.folders import HEAD_FILE, model_folder
from ser.acoustic.head import ClassifierHead
from ser.acoustic.model import HERE, HeadModel
from ser.audio.augmentation import load_noises
from ser.checkpoints.folder import Meta, check_weights, load_meta, save_checkpoint, weights_sha256
from ser.checkpoints.pretrained import load_config
from ser.config import TrainConfig
from ser.encoder.pretrained import LoadedEncoder, PretrainedEncoder
from ser.evaluation.metrics import fit_temperature
from ser.training.embeddings import EmbeddingSet
from ser.training.gradients.adapters import adapt_encoder, merge_adapters
from ser.training.gradients.engine import optimise
from ser.training.gradients.network import EncoderClassifier, EncoderTask, embed_together, uar_by_corpus
from ser.training.gradients.processes import Processes
from ser.training.gradients.state import has_state, hash_tensors, remove_state
from ser.training.gradients.task import Outcome, Surroundings
from ser.training.heads import HeadConfig, fit_head
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recipe import (
    HEAD_LABELS,
    TOLERATED,
    HeadRecipe,
    RecipeResult,
    check_labels,
    refuse_folder,
    run_recipe,
    split_corpora,
)
from ser.training.recordings import Recordings, describe, read_recordings
from ser.types import Example, Signal

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
        config: of the run.
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
        """Measure unweighted average recall on each corpus of the recordings, over the labels that it has."""
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
        """Write the head and, if it was trained, the encoder, whole or not at all; `load_acoustic_model` reads it.

        A head on a frozen encoder names the checkpoint of the encoder, which is not copied.

        Args:
            folder: must not exist yet, or be empty.
            name: for people; the folder's by default.
            metrics: added to those of the run.
            data: added to what the run says of its data.
            keep_checkpoint: leave the kept run where it is, for a caller that records the model first.

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
    around: Surroundings | None = None,
) -> TunedEncoder:
    """Train from a checkpoint; under `torchrun`, together with the other processes.

    Args:
        checkpoint: folder of an audio encoder, finished for some task or not; its head is left aside.
        recordings: to train on; labels may be soft, weights count. The model answers the labels that they have.
        config: of the run. With `augment`, every second recording that a step sees is changed.
        dev: of other speakers, to choose the epoch and the temperature by; without it the last epoch is taken.
        noises: to mix in; synthetic noise if there are none.
        data: what is to be said of the data.
        around: the CPU, and nothing kept, if left out. A kept run goes on, after a kill, to the same weights.

    Raises:
        ModelUnavailableError: if the checkpoint cannot be used.
        SettingsError: if the checkpoint has not what `config.tune` names.
        TrainingDataError: if the state that is kept is another run's.
        TrainingCancelledError: if asked to stop.
    """
    config = replace(config, tune=tune_of(config, len(recordings.examples)))
    around = around or Surroundings(Processes())
    processes, state_dir = around.processes, around.state_dir
    # What is drawn of the network before training is drawn alike in every process.
    set_seed(config.seed)
    encoder: LoadedEncoder = PretrainedEncoder(str(checkpoint), processes.device)
    # A run that goes on has its head, whatever it began with.
    goes_on = state_dir is not None and has_state(state_dir)
    head = first_head(encoder, recordings, processes, blank=goes_on and config.tune != "frozen")
    outcome = Outcome([], 0)
    metrics: dict[str, object] = {}
    if config.tune != "frozen":
        task = EncoderTask(encoder.extractor, head.labels, recordings, dev, noises, config, processes, encoder.sha256)
        network = EncoderClassifier(encoder.model, head, config.dropout)
        model = adapt_encoder(network, config, task.steps * config.epochs)
        outcome = optimise(model, task, config, around)
        metrics["best_epoch"] = outcome.best_epoch
        trained = merge_adapters(model.to("cpu")).eval().requires_grad_(True)
        sha256 = hash_tensors(trained.encoder.state_dict())
        encoder = LoadedEncoder(trained.encoder, encoder.extractor, encoder.name, sha256)
        head = replace(head, encoder=HERE, encoder_sha256=sha256, **trained.head_tensors())
    if dev is not None:
        logits = head.logits(embed_together(encoder, dev.signals, processes))
        head = _calibrated(head, logits, dev)
        metrics["dev"] = {"uar": uar_by_corpus(logits, head.labels, dev)}
    return TunedEncoder(encoder, head, config, outcome.curve, metrics, data or {}, state_dir)


def train(
    examples: Sequence[Example],
    config: TrainConfig | None = None,
    *,
    init: str | Path,
    dev: Sequence[Example] = (),
    around: Surroundings | None = None,
) -> TunedEncoder:
    """Decode examples and train on them; see `tune_encoder`.

    Args:
        examples: to train on.
        config: by default `TrainConfig()`.
        init: folder or Hub id of an audio encoder.
        dev: of other speakers.
        around: of the run; its watchers are called after each recording, too.

    Raises:
        TrainingDataError: if the examples do not suffice or cannot be read, or the state that is kept is another run's.
        ModelUnavailableError: if `init` cannot be used.
        SettingsError: if `init` has not what `config.tune` names.
        TrainingCancelledError: if asked to stop.
    """
    check_labels(examples)
    around = around or Surroundings(Processes())
    folder = model_folder(init)
    # Before an hour of decoding, not after it.
    load_config(folder)
    check_weights(folder)
    read = partial(read_recordings, on_progress=around.on_progress, should_stop=around.should_stop)
    train_set, dev_set = read(examples), read(dev) if dev else None
    return tune_encoder(
        folder, train_set, config or TrainConfig(), dev=dev_set, data=describe(examples, dev), around=around
    )


def run_encoder_recipe(
    data_dirs: Sequence[Path | str],
    out: Path | str,
    recipe: HeadRecipe,
    changes: Mapping[str, object],
    *,
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> RecipeResult:
    """Read corpora, split by speaker, check for leaks, train, measure, save.

    A frozen encoder goes through `ser.training.recipe.run_recipe`, which caches its embeddings; arguments and errors
    are the same, but for a SettingsError if the encoder has not what `tune` names.

    Args:
        data_dirs: corpora, as `ser.corpora.read_corpus` takes them.
        out: folder of the model; must not exist yet, or be empty.
        recipe: names the encoder, a folder or Hub id; the corpora are split and cached by it.
        changes: of `TrainConfig()`, by the names of its attributes.
        checkpoint_dir: keeps the run until its model is saved; None keeps nothing.
        on_progress: called while recordings are read and after every step.
        should_stop: asked just as often.
    """
    out, config = Path(out), replace(TrainConfig(), **{"seed": recipe.seed, **changes})  # type: ignore[arg-type]
    refuse_folder(out)
    folder = model_folder(recipe.encoder)
    check_weights(folder)
    corpora = split_corpora(data_dirs, recipe.test_speakers, recipe.dev_speakers, config.seed, on_progress, should_stop)
    split = corpora.split
    config = replace(config, tune=tune_of(config, len(split.train)))
    if config.tune == "frozen":
        return run_recipe(data_dirs, out, recipe, on_progress=on_progress, should_stop=should_stop)
    read = partial(read_recordings, tolerated=TOLERATED, on_progress=on_progress, should_stop=should_stop)
    train_set = read(split.train)
    dev, test = (read(part) if part else None for part in (split.dev, split.test))
    around = Surroundings(Processes(recipe.device), checkpoint_dir, on_progress, should_stop)
    noises = load_noises(recipe.noise_dir) if recipe.noise_dir else ()
    data = {**describe(split.train, split.dev), "test_speakers": sorted({e.speaker for e in split.test})}
    model = tune_encoder(folder, train_set, config, dev=dev, noises=noises, data=data, around=around)
    test_uar = model.uar_by_corpus(test) if test else {}
    metrics = {"test": {corpus: {"uar": uar} for corpus, uar in test_uar.items()}}
    # Of several processes (torchrun) one writes; the others read what it has written.
    meta = around.processes.on_main(lambda: model.save(out, metrics=metrics), otherwise=lambda: load_meta(out))
    left_out = [f"Left out: {sentence}" for part in (train_set, dev, test) if part for sentence in part.skipped]
    return RecipeResult(out, meta, (*corpora.notes, *left_out), corpora.leaks, test_uar)


def tune_of(config: TrainConfig, clips: int) -> str:
    """Decide what is trained if `config.tune` is `auto`.

    >>> tune_of(TrainConfig(), 500), tune_of(TrainConfig(), 50_000)
    ('frozen', 'full')
    """
    if config.tune != "auto":
        return config.tune
    return "frozen" if clips < FROZEN_BELOW else "full"


def first_head(encoder: LoadedEncoder, recordings: Recordings, processes: Processes, *, blank: bool) -> ClassifierHead:
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
    data = EmbeddingSet(
        embeddings[:, None].astype(np.float16),
        np.stack([example.shares(labels) for example in examples]),
        np.array([example.weight for example in examples], dtype=np.float32),
        [example.speaker for example in examples],
        [example.corpus for example in examples],
        labels,
        [str(example.path) for example in examples],
        np.full(len(examples), np.nan, dtype=np.float32),
    )
    # The sums of several processes may differ in their last digits: all begin with the main one's.
    return processes.broadcast(fit_head(data, HeadConfig(), encoder=encoder.name, encoder_sha256=encoder.sha256))


def _calibrated(head: ClassifierHead, logits: npt.NDArray[np.float32], dev: Recordings) -> ClassifierHead:
    targets = np.stack([example.shares(head.labels) for example in dev.examples])
    known = targets.sum(1) > 0
    if known.sum() < MIN_CALIBRATION_EXAMPLES:
        return head
    return replace(head, temperature=fit_temperature(logits[known], targets[known] / targets[known].sum(1)[:, None]))
