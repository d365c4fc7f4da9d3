"""Protocols of the models behind recognition; what implements them is chosen in `ser.loading`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from ser.types import Audio, EmotionScores, SpeechRegion, Transcript

if TYPE_CHECKING:
    from ser.encoder.profiles import Profiles


class SpeechDetector(Protocol):
    """Finds where speech is."""

    name: str

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        """Regions of speech in order; empty if there is none."""
        ...


class Transcriber(Protocol):
    """Turns speech into words. Must be safe to call from several threads."""

    name: str

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """The words within the given regions; times count from the start of `audio`."""
        ...


class AcousticModel(Protocol):
    """Predicts emotion from the voice. Must be safe to call from several threads.

    `labels` are those of `EMOTIONS` that the model knows; `sha256` is the hash of its weights.
    """

    name: str
    labels: tuple[str, ...]
    sha256: str

    def classify(self, audio: Audio) -> EmotionScores:
        """Calibrated scores for a recording that has been cut to its speech."""
        ...

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Calibrated scores for many recordings; equal to one-by-one within float tolerance."""
        ...


@runtime_checkable
class EmbeddingModel(AcousticModel, Protocol):
    """An acoustic model that embeds first and classifies the embedding, so that it can be kept and used again.

    `encoder_sha256` names the encoder.
    """

    encoder_sha256: str

    @property
    def adapts_to_any_mix(self) -> bool:
        """True if it can also be adapted to clips of an unknown label mix."""
        ...

    def embed_batch(self, audios: Sequence[Audio]) -> npt.NDArray[np.float32]:
        """Embed recordings that have been cut to their speech, shape (recordings, size)."""
        ...

    def classify_embeddings(
        self, embeddings: npt.NDArray[np.float32], center: npt.NDArray[np.float32] | None = None
    ) -> list[EmotionScores]:
        """Calibrated scores of embeddings; `center` is a profile's, shape (size,)."""
        ...

    def center_for(self, profiles: "Profiles") -> npt.NDArray[np.float32] | None:
        """The `center` that adapts to a source and a speaker; None if there are too few clips of either."""
        ...

    def novelty(
        self, embeddings: npt.NDArray[np.float32], center: npt.NDArray[np.float32] | None = None
    ) -> Sequence[float | None]:
        """The novelty of each embedding, 1 at the limit of what is known; None if the model has none."""
        ...

    def speech(self, embeddings: npt.NDArray[np.float32]) -> Sequence[bool]:
        """Tell speech from barks and sneezes that a speech detector lets pass."""
        ...


class TextModel(Protocol):
    """Predicts emotion from the words. Must be safe to call from several threads."""

    name: str
    labels: tuple[str, ...]
    languages: tuple[str, ...] | None

    def classify(self, text: str) -> EmotionScores:
        """Calibrated scores for a sentence in one of `languages` (None: any)."""
        ...

    def classify_batch(self, texts: Sequence[str]) -> list[EmotionScores]:
        """Calibrated scores for many sentences."""
        ...
