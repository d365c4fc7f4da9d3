"""train(): labelled recordings in, a trained model out; from nothing or from a model that stands.

Knows nothing of corpora, splits or databases: who trains and who is held out is the caller's choice.
"""

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from ser.acoustic.classifier import NetworkModel, is_own_model, load_network, model_folder
from ser.acoustic.network import AcousticFeatureExtractor, AcousticModelForAudioClassification
from ser.augmentation import SignalAugmentation, load_noises
from ser.checkpoints import Meta, load_meta, save_checkpoint
from ser.config import NO_MODEL, TrainConfig
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.training.dataset import FeatureSet
from ser.training.description import describe
from ser.training.encoder import TunedEncoder, tune_encoder
from ser.training.loop import predict_logits, temperature_of, uar_by_corpus, weighted_score
from ser.training.members import answer_in_emotions, fit_members, fresh_network, in_emotions
from ser.training.preparation import Preparation, feature_statistics, prepare
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recordings import read_recordings
from ser.training.run_state import remove_state
from ser.types import Example

MIN_CALIBRATION_EXAMPLES = 30
"""Dev examples under which a temperature would be fitted to chance; the one before then stays."""


@dataclass(frozen=True)
class TrainedModel:
    """A network and what is to be said of it.

    Attributes:
        network: in evaluation mode, on the CPU.
        labels: of its outputs.
        temperature: fitted on speakers that did not teach.
        config: of the run.
        curve: figures of each epoch.
        metrics: `best_epoch`, and with dev examples `dev` with the UAR of each corpus.
        data: counts of what it was trained on.
        checkpoint_dir: where the run is still kept; removed when the model is saved.
    """

    network: AcousticModelForAudioClassification
    labels: tuple[str, ...]
    temperature: float
    config: TrainConfig
    curve: list[dict[str, object]]
    metrics: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)
    checkpoint_dir: Path | None = None

    def save(
        self,
        folder: Path | str,
        *,
        name: str | None = None,
        metrics: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
    ) -> Meta:
        """Write config.json, model.safetensors, preprocessor_config.json and meta.json, whole or not at all.

        Args:
            folder: must not exist yet, or be empty.
            name: for people; the folder's by default.
            metrics: added to those of the run.
            data: added to what the run says of its data.

        Raises:
            ModelUnavailableError: where the folder holds something already.
        """
        folder = Path(folder)
        meta = save_checkpoint(folder, self._save_weights, self._meta(name or folder.name, metrics, data))
        if self.checkpoint_dir is not None:
            remove_state(self.checkpoint_dir)
        return meta

    def as_acoustic_model(self, name: str = "trained", device: str = "cpu") -> NetworkModel:
        """Ready to classify, without going through a folder."""
        return NetworkModel(self.network, self._meta(name), device)

    def _meta(
        self, name: str, metrics: Mapping[str, object] | None = None, data: Mapping[str, object] | None = None
    ) -> Meta:
        return Meta(
            name=name,
            labels=self.labels,
            temperature=self.temperature,
            config=asdict(self.config),
            data={**self.data, **(data or {})},
            metrics={**self.metrics, "curve": self.curve, **(metrics or {})},
        )

    def _save_weights(self, folder: Path) -> None:
        transformers_logging.disable_progress_bar()
        # Half the size; the weights were rounded when training ended, so that nothing changes.
        copy.deepcopy(self.network).half().save_pretrained(folder)
        AcousticFeatureExtractor().save_pretrained(folder)


def train(
    examples: Sequence[Example],
    config: TrainConfig | None = None,
    *,
    dev: Sequence[Example] | None = None,
    init: str | Path | None = None,
    replay: Sequence[Example] = (),
    noise_dir: Path | None = None,
    cache_dir: Path | None = None,
    checkpoint_dir: Path | None = None,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainedModel | TunedEncoder:
    """Train an acoustic model; under `torchrun`, every process calls it alike and has the model.

    Args:
        examples: to learn from; labels may be soft, weights count.
        config: by default `default_config(init)`.
        dev: of other speakers: chooses the epoch and fits the temperature. Without it the last epoch is taken.
        init: `embedded`, or a folder or Hub id of a model of this project or of an audio encoder of others; None or
            `none` begins from nothing.
        replay: examples of what the model learnt before, mixed in so that it is not forgotten.
        noise_dir: recordings of noise to mix in.
        cache_dir: keeps features between runs; None keeps nothing.
        checkpoint_dir: keeps the run, until its model is saved: called again after a kill with the same arguments,
            it goes on there and gives the same weights. None keeps nothing.
        device: `cpu` or `cuda`.
        on_progress: told while recordings are prepared and after every step.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: where the examples do not suffice or cannot be read, or `checkpoint_dir` keeps another run.
        ModelUnavailableError: where `init` cannot be had.
        TrainingCancelledError: when asked to stop.
    """
    config = config or default_config(init)
    check_labels(examples)
    if is_encoder_of_others(init):
        hear = partial(read_recordings, on_progress=on_progress, should_stop=should_stop)
        return tune_encoder(
            model_folder(str(init)),
            hear([*examples, *replay]),
            config,
            dev=hear(dev) if dev else None,
            data=describe(examples, dev or (), replay),
            noises=load_noises(noise_dir) if noise_dir else (),
            device=device,
            checkpoint_dir=checkpoint_dir,
            on_progress=on_progress,
            should_stop=should_stop,
        )
    how = Preparation(
        variants=config.variants,
        seed=config.seed,
        noises=load_noises(noise_dir) if noise_dir else (),
        augmentation=SignalAugmentation.of(config),
        labels=EMOTIONS if init is not None and str(init) != NO_MODEL else config.heard_labels,
        cache_dir=cache_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    # The others find in the cache what the main process has made.
    with Processes(device).main_first():
        features = prepare([*examples, *replay], how)
        dev_features = prepare(dev, replace(how, variants=0)) if dev else None
    return train_on_features(
        features,
        config,
        dev=dev_features,
        init=init,
        data=describe(examples, dev or (), replay),
        device=device,
        checkpoint_dir=checkpoint_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )


def is_encoder_of_others(init: str | Path | None) -> bool:
    """Whether training begins from a checkpoint that is not of this project's kind.

    Raises:
        ModelUnavailableError: where `init` cannot be had.
    """
    return init is not None and str(init) != NO_MODEL and not is_own_model(model_folder(init))


def default_config(init: str | Path | None) -> TrainConfig:
    """What suits where training begins: from nothing, from a model of ours, or from an encoder of others.

    Raises:
        ModelUnavailableError: where `init` cannot be had.
    """
    if init is None or str(init) == NO_MODEL:
        return TrainConfig()
    return TrainConfig.tune_encoder() if is_encoder_of_others(init) else TrainConfig.fine_tune()


def train_on_features(
    features: FeatureSet,
    config: TrainConfig,
    *,
    dev: FeatureSet | None = None,
    init: str | Path | None = None,
    data: Mapping[str, object] | None = None,
    device: str = "cpu",
    checkpoint_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TrainedModel:
    """As `train`, with the features at hand; `data` is what is to be said of them.

    Truths are in `config.heard_labels` where training begins from nothing, else in `EMOTIONS`.
    """
    starts_fresh = init is None or str(init) == NO_MODEL
    network, temperature = _start(None if starts_fresh else init, config)
    labels = config.heard_labels if starts_fresh else EMOTIONS
    if starts_fresh:
        mean, deviation = feature_statistics(features)
        network.feature_mean.copy_(torch.from_numpy(mean))
        network.feature_deviation.copy_(torch.from_numpy(deviation))
    result = fit_members(
        network,
        features,
        config,
        dev=dev,
        device=device,
        checkpoint_dir=checkpoint_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    trained = answer_in_emotions(result.network, labels).eval()
    metrics: dict[str, object] = {"best_epoch": result.best_epoch}
    if dev is not None:
        temperature, metrics["dev"] = _judge(trained, in_emotions(dev, labels), config, temperature)
    return TrainedModel(trained, EMOTIONS, temperature, config, result.curve, metrics, data or {}, checkpoint_dir)


def check_labels(examples: Sequence[Example]) -> None:
    """Refuse examples that no two labels can be told apart on.

    Raises:
        TrainingDataError: where they have fewer than two labels.
    """
    labels = Counter(example.hard_label for example in examples)
    if len(labels) < 2:
        found = f"only {next(iter(labels))}" if labels else "none"
        raise TrainingDataError(
            f"{len(examples)} examples with {len(labels)} label(s) ({found}) were given; at least two different "
            "labels are needed. Add examples of other emotions."
        )


def _start(init: str | Path | None, config: TrainConfig) -> tuple[AcousticModelForAudioClassification, float]:
    """The network to begin with, and its temperature."""
    if init is None:
        return fresh_network(config), 1.0
    folder = model_folder(init)
    network = load_network(folder)
    meta = load_meta(folder)
    if meta.labels != EMOTIONS:
        raise TrainingDataError(
            f"The model in {folder} has the labels {', '.join(meta.labels)}; {', '.join(EMOTIONS)} are expected."
        )
    return network, meta.temperature


def _judge(
    network: AcousticModelForAudioClassification, dev: FeatureSet, config: TrainConfig, temperature: float
) -> tuple[float, dict[str, object]]:
    logits = predict_logits(network, dev)
    by_corpus = uar_by_corpus(logits, dev)
    if len(dev) >= MIN_CALIBRATION_EXAMPLES:
        temperature = temperature_of(logits, dev)
    return temperature, {"uar": by_corpus, "score": weighted_score(by_corpus, config)}
