"""The embedded pipeline as one ONNX file, log-mel in and scores out, as an acoustic model. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser.checkpoints.folder import META_FILE, load_meta, verify
from ser.checkpoints.onnx import MODEL_FILE, OnnxNetwork
from ser.encoder.embedded import log_mel
from ser.encoder.windows import cut_windows
from ser.errors import ModelUnavailableError
from ser.types import Audio, EmotionScores

PIPELINE = "log-mel to scores"
"""`meta.config["exported"]` of such a folder."""


class ExportedPipeline:
    """Encoder and head in one graph; safe to call from several threads.

    Args:
        folder: that `ser.export.pipeline` wrote.

    Raises:
        ModelUnavailableError: where a file is absent or damaged.
    """

    def __init__(self, folder: Path) -> None:
        meta = verify(folder, MODEL_FILE)
        self.meta, self.name, self.labels, self.sha256 = meta, meta.name, meta.labels, meta.sha256
        self._network = OnnxNetwork(folder / MODEL_FILE)

    def classify(self, audio: Audio) -> EmotionScores:
        """Calibrated scores for a recording that has been cut to its speech."""
        # The graph takes the windows of one recording as a batch, and embeds the recording as their mean.
        answer = self._network.run({"mels": np.stack([log_mel(window) for window in cut_windows(audio.signal)])})
        strong = answer.get("intensity")
        return EmotionScores(
            tuple(answer["scores"][0].tolist()), intensity=None if strong is None else float(strong[0])
        )

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """The same for many."""
        return [self.classify(audio) for audio in audios]


def is_pipeline(folder: Path) -> bool:
    """Whether a folder holds the embedded pipeline as one ONNX file."""
    if not (folder / MODEL_FILE).is_file() or not (folder / META_FILE).is_file():
        return False
    try:
        return load_meta(folder).config.get("exported") == PIPELINE
    except ModelUnavailableError:
        return False
