"""Loads an acoustic model by name: the embedded one, one trained here, or any finished checkpoint of transformers.

Imports no torch: a checkpoint's own module is imported when one is named.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from ser.acoustic.folders import is_head, is_pipeline, is_retired, model_folder
from ser.acoustic.model import HeadModel, load_head_model
from ser.checkpoints.folder import MODEL_FILE, verify
from ser.checkpoints.hub import pick_device
from ser.checkpoints.onnx import OnnxNetwork
from ser.encoder.embedded import log_mel
from ser.encoder.windows import cut_windows
from ser.errors import RetiredModelError
from ser.types import Audio, EmotionScores

if TYPE_CHECKING:
    from ser.acoustic.checkpoint import CheckpointModel


class ExportedPipeline:
    """The embedded encoder and a head in one graph, an `AcousticModel`; safe to call from several threads.

    Args:
        folder: that `ser.export.models` wrote.

    Raises:
        ModelUnavailableError: if a file is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        meta = verify(folder, MODEL_FILE)
        self.meta, self.name, self.labels, self.sha256 = meta, meta.name, meta.labels, meta.sha256
        self._network = OnnxNetwork(folder / MODEL_FILE)

    def classify(self, audio: Audio) -> EmotionScores:
        """Return calibrated scores for a recording that has been cut to its speech."""
        # The graph takes the windows of one recording as a batch, and embeds the recording as their mean.
        answer = self._network.run({"mels": np.stack([log_mel(window) for window in cut_windows(audio.signal)])})
        strong = answer.get("intensity")
        return EmotionScores(
            tuple(answer["scores"][0].tolist()), intensity=None if strong is None else float(strong[0])
        )

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Return the same for many."""
        return [self.classify(audio) for audio in audios]


LoadedAcousticModel = Union[HeadModel, ExportedPipeline, "CheckpointModel"]


def load_acoustic_model(name_or_dir: str | Path, device: str = "cpu") -> LoadedAcousticModel:
    """Load an acoustic model.

    Args:
        name_or_dir: `embedded`, a folder (also one that `python -m ser export` wrote), or a Hub id of an audio
            classification checkpoint.
        device: `cpu`, `cuda` or `auto`; the embedded encoder and models in ONNX form run on the CPU.

    Returns:
        An `AcousticModel` that also knows the `sha256` of its weights.

    Raises:
        RetiredModelError: if it is a network of an earlier version of the program.
        ModelUnavailableError: if it is absent, damaged, of another kind, or has fewer than two of the seven labels.
    """
    folder = model_folder(name_or_dir)
    device = pick_device(device)
    if is_head(folder):
        return load_head_model(folder, device)
    if is_pipeline(folder):
        return ExportedPipeline(folder)
    if is_retired(folder):
        raise RetiredModelError(
            f"{folder} holds a network of an earlier version of this program, which no longer runs. Train a new model "
            "from the same feedback, or choose 'embedded'."
        )
    # Only here are torch and transformers brought in.
    checkpoints = importlib.import_module("ser.acoustic.checkpoint")
    model: CheckpointModel = checkpoints.CheckpointModel(folder, str(name_or_dir), device)
    return model
