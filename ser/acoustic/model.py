"""The acoustic model that ships, and every model trained on its kind: a frozen encoder under a classifier head.

Turns speech into `EmotionScores`; knows nothing of transcripts, pages or storage. Imports no torch.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ser.acoustic.head import ClassifierHead, load_head
from ser.checkpoints.folder import Meta
from ser.encoder.loading import load_encoder
from ser.encoder.profiles import Profiles, combine
from ser.encoder.windows import Array, Encoder, embed_clips
from ser.errors import ModelUnavailableError
from ser.types import Audio, EmotionScores

HERE = "."
"""Names the encoder of a head that lies in the head's own folder: it was fine-tuned together with it."""


class HeadModel:
    """An encoder and a head, as an `AcousticModel`; safe to call from several threads.

    Attributes:
        name: for people.
        labels: those of `EMOTIONS`, or of the head's own, that it knows.
        sha256: of the head's weights.
        meta: of the head.
        head: the head itself.
        encoder: under it.
        encoder_sha256: names the embeddings.

    Raises:
        ModelUnavailableError: if the encoder is another one than the head was trained on.
    """

    def __init__(self, head: ClassifierHead, encoder: Encoder, meta: Meta) -> None:
        if encoder.sha256 != head.encoder_sha256:
            raise ModelUnavailableError(
                f"The head {meta.name} was trained on embeddings of {head.encoder} "
                f"({head.encoder_sha256[:12]}...), and the encoder at hand is {encoder.sha256[:12]}.... "
                "Train it again on this encoder."
            )
        self.head, self.encoder, self.meta = head, encoder, meta
        self.name, self.labels, self.sha256 = meta.name, head.emotions, meta.sha256
        self.encoder_sha256 = encoder.sha256

    def embed_batch(self, audios: Sequence[Audio]) -> Array:
        """Embed recordings that have been cut to their speech, shape (recordings, size)."""
        return embed_clips(self.encoder, [audio.signal for audio in audios])

    def classify_embeddings(self, embeddings: Array, center: Array | None = None) -> list[EmotionScores]:
        """Calibrated scores of embeddings; `center` is a profile's, see `ClassifierHead.standardise`."""
        rows = self.head.probabilities(embeddings, center).tolist()
        strong = self.head.intensities(embeddings)
        levels = [None] * len(rows) if strong is None else strong.tolist()
        own, rated = self.head.means or {}, self.head.rate(embeddings)
        return [
            EmotionScores(tuple(row), intensity=level, labels=self.head.classes, means=own, ratings=ratings)
            for row, level, ratings in zip(rows, levels, rated, strict=True)
        ]

    def center_for(self, profiles: Profiles) -> Array | None:
        """The `center` that adapts to a source and a speaker; None if there are too few clips of either."""
        neutral = profiles.neutral
        if neutral is not None and neutral.encoder != self.encoder_sha256:
            profiles = replace(profiles, neutral=None)
        return combine(self.head, profiles)

    @property
    def adapts_to_any_mix(self) -> bool:
        """True if the head has the prior that adaptation to an unknown label mix starts from."""
        return self.head.prior is not None

    def novelty(self, embeddings: Array, center: Array | None = None) -> Sequence[float | None]:
        """The novelty of each embedding against the training clips, 1 at the limit; None if the head has none."""
        values = self.head.novelties(embeddings, center)
        return [None] * len(embeddings) if values is None else values.tolist()

    def speech(self, embeddings: Array) -> Sequence[bool]:
        """Tell of each embedding if it is of speech; if it is not, its scores mean nothing."""
        return self.head.speech(embeddings).tolist()

    def classify(self, audio: Audio) -> EmotionScores:
        """Calibrated scores for a recording that has been cut to its speech."""
        return self.classify_batch([audio])[0]

    def classify_batch(self, audios: Sequence[Audio]) -> list[EmotionScores]:
        """Calibrated scores for many recordings; equal to one-by-one within float tolerance."""
        return self.classify_embeddings(self.embed_batch(audios))


def require_seven(model: object) -> None:
    """Refuse a model with labels of its own where the seven emotions are counted.

    Raises:
        ModelUnavailableError: if the model has such labels.
    """
    if isinstance(model, HeadModel) and model.head.means is not None:
        raise ModelUnavailableError(
            f"{model.name} answers with labels of its own ({', '.join(model.labels)}), and here the seven emotions are "
            "counted. Name a model of these."
        )


def load_head_model(folder: Path, device: str = "cpu") -> HeadModel:
    """Load a head and the encoder it was trained on.

    Args:
        folder: of the head.
        device: of an encoder that runs on torch.

    Raises:
        ModelUnavailableError: if either is absent or damaged, or they do not fit.
    """
    head, meta = load_head(folder)
    if head.encoder == HERE:
        # What is fitted on this encoder later lies elsewhere, and has to find it.
        head = replace(head, encoder=str(folder.absolute()))
    return HeadModel(head, load_encoder(head.encoder, device), meta)
