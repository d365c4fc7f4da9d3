"""The embedded pipeline as one ONNX file, log-mel in and scores out, as an acoustic model. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ser.checkpoints.folder import MODEL_FILE, verify
from ser.checkpoints.onnx import OnnxNetwork
from ser.encoder.embedded import log_mel
from ser.encoder.windows import cut_windows
from ser.types import Audio, EmotionScores


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
