"""Any finished audio classification checkpoint of transformers as an acoustic model, its labels mapped by name.

Imports torch and transformers: imported only if such a checkpoint is named. Runs no code of a checkpoint.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from transformers import AutoModelForAudioClassification

from ser.checkpoints.folder import check_weights, verify, weights_sha256
from ser.checkpoints.onnx import Array, OnnxNetwork
from ser.checkpoints.pretrained import (
    LOADING_ERRORS,
    LOCAL,
    describe_failure,
    load_config,
    load_extractor,
    quiet_loading,
)
from ser.checkpoints.torch_network import ScriptNetwork, TorchNetwork, exported_file, is_exported, open_exported
from ser.encoder.windows import cut_windows
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS, map_labels, require_two_labels
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal

WINDOW_DURATION = 10.0
"""Seconds that a checkpoint is given at once. Source: AST's input is 1,024 frames of 10 ms
(https://arxiv.org/abs/2104.01778); others take more, but their memory grows with it."""

WHISPER_WINDOW_DURATION = 30.0
"""Seconds that every input of Whisper stands for: a finished head was trained on clips padded to them, and is given
them so. Source: https://arxiv.org/abs/2212.04356, 2.2."""

BATCH_SIZE = 32

FIXED_INPUT_TYPES = ("whisper", "audio-spectrogram-transformer")
"""Their extractors bring every recording to one length, so that any recordings can share a batch."""


class CheckpointModel:
    """An `AcousticModel` of a finished checkpoint.

    Args:
        folder: with config.json, preprocessor_config.json and *.safetensors; or written by `python -m ser export`.
        name: for people.
        device: `cpu` or `cuda`; an exported model runs on the CPU.

    Attributes:
        labels: the emotions that it can answer.
        output_names: its own labels, in the order of its outputs.
        unmapped_labels: those of them that mean none of the seven.
        sha256: of the weights.

    Raises:
        ModelUnavailableError: if it is damaged, needs code of its own, expects another sampling rate, has no trained
            head, or has fewer than two of the seven labels.
    """

    def __init__(self, folder: Path, name: str, device: str = "cpu") -> None:
        check_weights(folder)
        config = load_config(folder)
        self._extractor = load_extractor(folder)
        names = [str(config.id2label[i]) for i in range(config.num_labels)]
        self._mapped, self.unmapped_labels = map_labels(names)
        require_two_labels(name, names, self._mapped.values())
        self.network: OnnxNetwork | ScriptNetwork | TorchNetwork
        if is_exported(folder):
            verify(folder, exported_file(folder).name)
            self.network = open_exported(folder)
            self._input, device = self.network.inputs[0], "cpu"
        else:
            network = load_finished(folder)
            self.network, self._input = TorchNetwork(network, device), network.main_input_name
        self.backend = "onnx" if isinstance(self.network, OnnxNetwork) else "torch"
        self._fixed = config.model_type in FIXED_INPUT_TYPES
        self._window = WHISPER_WINDOW_DURATION if config.model_type == "whisper" else WINDOW_DURATION
        self._several = config.problem_type == "multi_label_classification"
        self.output_names = tuple(names)
        self.name, self.device, self.sha256 = name, device, weights_sha256(folder)
        self.labels = tuple(emotion for emotion in EMOTIONS if emotion in self._mapped.values())

    def classify(self, audio: Audio) -> EmotionScores:
        """Return scores for a recording cut to its speech; `unmapped` holds the shares of its other labels."""
        return self.classify_batch([audio])[0]

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Return the same for many recordings; equal to one-by-one within float tolerance."""
        windows = [(i, w) for i, audio in enumerate(audios) for w in cut_windows(audio.signal, self._window)]
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
        """Return what the network takes for some windows: an array for its one argument."""
        inputs = self._extractor(list(signals), sampling_rate=SAMPLING_RATE, return_tensors="np")
        return {self._input: inputs[self._input].astype(np.float32, copy=False)}

    def _probabilities(self, signals: Sequence[Signal]) -> npt.NDArray[np.float64]:
        logits = self.network.run(self.network_inputs(signals))["logits"].astype(np.float64)
        if not np.isfinite(logits).all():
            raise ModelUnavailableError(
                f"The model {self.name} answers with NaN or infinite numbers. Take it from its source "
                "again, or choose another model."
            )
        if not self._several:
            return np.asarray(softmax(logits, axis=1))
        # A head with several labels at once scores each on its own; shares of their sum make them comparable.
        scores = expit(logits)
        shares: npt.NDArray[np.float64] = scores / np.maximum(scores.sum(1, keepdims=True), 1e-12)
        return shares

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


def load_finished(folder: Path) -> Any:
    """Load a checkpoint with its trained classification head, in evaluation mode on the CPU.

    Raises:
        ModelUnavailableError: if it cannot be loaded, or its head was never trained.
    """
    try:
        with quiet_loading():
            model, report = AutoModelForAudioClassification.from_pretrained(
                folder,
                use_safetensors=True,
                output_loading_info=True,
                dtype="float32",
                **LOCAL,
            )
    except LOADING_ERRORS as error:
        raise ModelUnavailableError(
            f"{folder} cannot be loaded as an audio classification model: {describe_failure(error)}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelUnavailableError(
            f"The checkpoint in {folder} lacks trained weights for {', '.join(missing[:3])}, so its answers would be "
            "random. Take one that was fine-tuned for emotion recognition."
        )
    return model.eval()
