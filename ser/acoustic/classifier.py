"""Loads an acoustic model, ours or anyone's, and hears emotion with it.

Knows transformers' audio classification checkpoints; knows nothing of transcripts, pages or storage.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from transformers import AutoConfig, AutoFeatureExtractor, AutoModelForAudioClassification
from transformers.utils import logging as transformers_logging

from ser.acoustic.features import extract_features
from ser.acoustic.network import MODEL_TYPE, AcousticModelForAudioClassification, pad_features
from ser.acoustic.onnx import (
    EMBEDDED_BACKEND,
    MODEL_FILE,
    Array,
    OnnxNetwork,
    is_exported,
    open_beside,
    sigmoid,
    softmax,
)
from ser.acoustic.torch_network import TorchNetwork
from ser.checkpoints import Meta, verify, weights_sha256
from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError
from ser.hub import pick_device, resolve_checkpoint
from ser.labels import EMOTIONS, map_labels
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal

EMBEDDED_FOLDER = Path(__file__).parent.parent / "weights" / "acoustic"

WINDOW_DURATION = 6.0
"""Seconds that the embedded network hears at once; longer recordings are heard in overlapping windows."""

FOREIGN_WINDOW_DURATION = 10.0
"""Seconds that a checkpoint of others hears at once. Source: AST's input is 1,024 frames of 10 ms
(https://arxiv.org/abs/2104.01778); the others take more, but their memory grows with it."""

MIN_DURATION = 0.1
"""Seconds under which convolutional encoders have no frame left; shorter recordings are filled up with zeros."""

BATCH_SIZE = 32
SMALL_BATCH = 4
"""Windows that a network of ours hears together on a processor: what is computed then stays in the core's own memory.
Of 2.2 s of speech onnxruntime took 1.49 ms of processor time alone, 1.36 among 4 and 2.05 among 32; four networks
together 7.2, 5.1 and 6.9."""

FIXED_INPUT_TYPES = ("whisper", "audio-spectrogram-transformer")
"""Their extractors bring every recording to one length, so that any recordings can share a batch."""


def load_acoustic_model(
    name_or_dir: str | Path, device: str = "cpu", *, backend: str = EMBEDDED_BACKEND
) -> "LoadedAcousticModel":
    """Load an acoustic model.

    Args:
        name_or_dir: `embedded`, a folder (also one that `python -m ser export` wrote), or a Hub id of an audio
            classification checkpoint.
        device: `cpu`, `cuda` or `auto`; a model in ONNX form runs on the CPU.
        backend: what answers where a network of ours has both forms: `onnx` or `torch`.

    Returns:
        An `AcousticModel` that also knows the `sha256` of its weights.

    Raises:
        ModelUnavailableError: where it is absent, damaged, of another kind, or has none of our labels.
    """
    folder = model_folder(name_or_dir)
    if is_exported(folder):
        meta = verify(folder, MODEL_FILE)
        if is_own_model(folder):
            return NetworkModel(OnnxNetwork(folder / MODEL_FILE), meta)
        return CheckpointModel(folder, str(name_or_dir))
    device = pick_device(device)
    if is_own_model(folder):
        meta = verify(folder)
        beside = open_beside(folder, meta.sha256) if (device, backend) == ("cpu", "onnx") else None
        return NetworkModel(beside or load_network(folder), meta, device)
    return CheckpointModel(folder, str(name_or_dir), device)


def model_folder(name_or_dir: str | Path) -> Path:
    """Where a model lies on this machine.

    Raises:
        ModelUnavailableError: where it cannot be had.
    """
    return EMBEDDED_FOLDER if str(name_or_dir) == EMBEDDED else resolve_checkpoint(name_or_dir)


def is_own_model(folder: Path) -> bool:
    """Whether a folder holds a network of this project, rather than a checkpoint of others.

    Raises:
        ModelUnavailableError: where transformers knows no model of that kind.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelUnavailableError(f"{folder} holds no model that transformers knows: {_first_line(error)}") from error
    return bool(config.model_type == MODEL_TYPE)


def load_network(folder: Path) -> AcousticModelForAudioClassification:
    """The bare network of a folder of ours, in evaluation mode on the CPU.

    Raises:
        ModelUnavailableError: where the folder holds none, or its weights do not fit.
    """
    model = _from_pretrained(folder)
    if not isinstance(model, AcousticModelForAudioClassification):
        raise ModelUnavailableError(
            f"{folder} holds a {model.config.model_type} network; one of type {MODEL_TYPE} is expected here. "
            "Take a folder that 'python -m ser train' made, or 'embedded'."
        )
    return model


class NetworkModel:
    """A network of our own kind: the embedded one, or one trained by this project."""

    def __init__(
        self, network: AcousticModelForAudioClassification | OnnxNetwork, meta: Meta, device: str = "cpu"
    ) -> None:
        unknown = [label for label in meta.labels if label not in EMOTIONS]
        outputs = network.output_size if isinstance(network, OnnxNetwork) else network.config.num_labels
        if unknown or len(meta.labels) != outputs:
            raise ModelUnavailableError(
                f"The model {meta.name} has {outputs} outputs and the labels "
                f"{', '.join(meta.labels)}; one of {', '.join(EMOTIONS)} is expected for each output."
            )
        self.name = meta.name
        self.labels = meta.labels
        self.sha256 = meta.sha256
        self.meta = meta
        self.device = device
        self.backend = "onnx" if isinstance(network, OnnxNetwork) else "torch"
        self.network = network if isinstance(network, OnnxNetwork) else TorchNetwork(network, device, small=True)
        self._places = [EMOTIONS.index(label) for label in meta.labels]

    def classify(self, audio: Audio) -> EmotionScores:
        """Calibrated scores for a recording that has been cut to its speech."""
        return self.classify_batch([audio])[0]

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """The same for many; equal to one-by-one within float tolerance."""
        windows = [(i, w) for i, audio in enumerate(audios) for w in cut_windows(audio.signal, WINDOW_DURATION)]
        probabilities, strong = np.zeros((len(audios), len(EMOTIONS))), np.zeros(len(audios))
        counts = np.bincount([i for i, _ in windows], minlength=len(audios))
        # Recordings of like length share a batch, so that little of it is padding.
        windows.sort(key=lambda window: len(window[1]))
        size = SMALL_BATCH if self.device == "cpu" else BATCH_SIZE
        for first in range(0, len(windows), size):
            batch = windows[first : first + size]
            answers = self.network.run(self.network_inputs([window for _, window in batch]))
            shares = softmax(answers["logits"], self.meta.temperature)
            intensities = sigmoid(answers["intensity_logits"])
            for (i, _), share, intensity in zip(batch, shares, intensities, strict=True):
                probabilities[i, self._places] += share / counts[i]
                strong[i] += intensity / counts[i]
        rows = (probabilities / probabilities.sum(1, keepdims=True)).tolist()
        return [EmotionScores(tuple(row), intensity=level) for row, level in zip(rows, strong.tolist(), strict=True)]

    def network_inputs(self, signals: Sequence[Signal]) -> dict[str, Array]:
        """What the network is given for some windows: an array for each of its arguments."""
        features, mask = pad_features([extract_features(signal) for signal in signals])
        return {"input_features": features, "attention_mask": mask}


class CheckpointModel:
    """Any audio classification checkpoint of transformers, its labels mapped to ours by name."""

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        self._extractor = _load_extractor(folder)
        self.network: OnnxNetwork | TorchNetwork
        if is_exported(folder):
            self.network = OnnxNetwork(folder / MODEL_FILE, threads=0)
            config, self._input = AutoConfig.from_pretrained(folder), self.network.inputs[0]
        else:
            network = _from_pretrained(folder)
            self.network = TorchNetwork(network, device)
            config, self._input = network.config, network.main_input_name
        self.backend = "onnx" if isinstance(self.network, OnnxNetwork) else "torch"
        self._fixed = config.model_type in FIXED_INPUT_TYPES
        names = [config.id2label[i] for i in range(config.num_labels)]
        self._mapped, self.unmapped_labels = map_labels(names)
        self.output_names = tuple(names)
        if not self._mapped:
            raise ModelUnavailableError(
                f"None of the labels of {name} is an emotion we know: {', '.join(names[:10])}. "
                f"Expected names such as {', '.join(EMOTIONS)}."
            )
        self.name = name
        self.labels = tuple(emotion for emotion in EMOTIONS if emotion in self._mapped.values())
        self.sha256 = weights_sha256(folder)
        self.device = device

    def classify(self, audio: Audio) -> EmotionScores:
        """Scores for a recording that has been cut to its speech; `unmapped` holds what is none of ours."""
        return self.classify_batch([audio])[0]

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """The same for many; equal to one-by-one within float tolerance."""
        windows = [(i, w) for i, audio in enumerate(audios) for w in cut_windows(audio.signal, FOREIGN_WINDOW_DURATION)]
        totals = np.zeros((len(audios), len(self.output_names)))
        counts = np.bincount([i for i, _ in windows], minlength=len(audios))
        # Some encoders (wav2vec2-base among them) take no mask: padding would change their answer, so that only
        # recordings of one length share a batch.
        groups: dict[int, list[tuple[int, Signal]]] = defaultdict(list)
        for i, window in windows:
            groups[0 if self._fixed else len(window)].append((i, window))
        for group in groups.values():
            for first in range(0, len(group), BATCH_SIZE):
                batch = group[first : first + BATCH_SIZE]
                answers = self._probabilities([window for _, window in batch])
                for (i, _), answer in zip(batch, answers, strict=True):
                    totals[i] += answer / counts[i]
        return [self._scores(row) for row in totals]

    def network_inputs(self, signals: Sequence[Signal]) -> dict[str, Array]:
        """What the network is given for some windows: an array for its one argument."""
        inputs = self._extractor(list(signals), sampling_rate=SAMPLING_RATE, return_tensors="np")
        return {self._input: inputs[self._input].astype(np.float32, copy=False)}

    def _probabilities(self, signals: Sequence[Signal]) -> npt.NDArray[np.float64]:
        return softmax(self.network.run(self.network_inputs(signals))["logits"])

    def _scores(self, row: npt.NDArray[np.float64]) -> EmotionScores:
        probabilities = np.zeros(len(EMOTIONS))
        for output, emotion in self._mapped.items():
            probabilities[EMOTIONS.index(emotion)] += row[output]
        known = probabilities.sum()
        if known <= 0.0:
            probabilities[[EMOTIONS.index(label) for label in self.labels]] = 1.0
            known = probabilities.sum()
        unmapped: Mapping[str, float] = {
            name: float(row[output]) for output, name in enumerate(self.output_names) if output not in self._mapped
        }
        return EmotionScores(tuple((probabilities / known).tolist()), unmapped)


LoadedAcousticModel = NetworkModel | CheckpointModel


def cut_windows(signal: Signal, duration: float) -> list[Signal]:
    """Cut a long recording into equal, half overlapping windows of at most `duration` seconds.

    A recording shorter than `MIN_DURATION` is filled up with zeros.

    >>> [len(w) for w in cut_windows(np.zeros(20 * 16_000, dtype=np.float32), 10.0)]
    [160000, 160000, 160000]
    """
    shortest, size = round(MIN_DURATION * SAMPLING_RATE), round(duration * SAMPLING_RATE)
    if len(signal) < shortest:
        return [np.pad(signal, (0, shortest - len(signal)))]
    if len(signal) <= size:
        return [signal]
    count = math.ceil((len(signal) - size) / (size / 2)) + 1
    starts = np.linspace(0, len(signal) - size, count).round().astype(int)
    return [signal[start : start + size] for start in starts]


def _load_extractor(folder: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelUnavailableError(
            f"The feature extractor of {folder} cannot be loaded: {_first_line(error)}"
        ) from error
    rate = getattr(extractor, "sampling_rate", None)
    if rate != SAMPLING_RATE:
        raise ModelUnavailableError(
            f"The model in {folder} hears speech at {rate} Hz; {SAMPLING_RATE} Hz is expected. Take another checkpoint."
        )
    return extractor


def _from_pretrained(folder: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202
    if not (folder / "config.json").is_file():
        # transformers would take the name for a Hub id, and spend a minute asking for it where there is no network.
        raise ModelUnavailableError(f"There is no config.json in {folder}; the folder of a model is expected.")
    # Progress bars and the report of missing weights are for notebooks; what is missing is told below.
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, report = AutoModelForAudioClassification.from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, dtype="float32"
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelUnavailableError(
            f"{folder} cannot be loaded as an audio classification model: {_first_line(error)}"
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelUnavailableError(
            f"The checkpoint in {folder} lacks trained weights for {', '.join(missing[:3])}, so its answers would be "
            "random. Take one that was fine-tuned for emotion recognition."
        )
    return model.eval()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
