"""The voice's answer with what belongs to it: embedding, novelty, the profile that it was adapted by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.encoder.profiles import PLAIN, Profiles
from ser.protocols import AcousticModel, EmbeddingModel
from ser.types import AppliedProfile, Audio, Embedding, EmotionScores


@dataclass(frozen=True, eq=False)
class Sound:
    """The prediction of the acoustic model."""

    scores: EmotionScores
    embedding: Embedding | None = None
    novelty: float | None = None
    profile: AppliedProfile | None = None
    is_speech: bool = True

    @property
    def notes(self) -> tuple[str, ...]:
        """The adaptation, as a sentence, if there was one."""
        return () if self.profile is None else (self.profile.note,)


def classify_sounds(model: AcousticModel, audios: Sequence[Audio], profiles: Profiles = PLAIN) -> list[Sound]:
    """Scores of recordings cut to their speech, with their embeddings if the model has some."""
    if not isinstance(model, EmbeddingModel):
        return [Sound(scores) for scores in model.classify_batch(audios)]
    return classify_sound_embeddings(model, model.embed_batch(audios), profiles)


def classify_sound_embeddings(model: EmbeddingModel, rows: npt.NDArray[np.float32], profiles: Profiles) -> list[Sound]:
    """Scores of embeddings, adapted by profiles."""
    center = model.center_for(profiles)
    applied = None if center is None else AppliedProfile(*profiles.applied)
    novelties = model.novelty(rows, center)
    scores = model.classify_embeddings(rows, center)
    return [
        Sound(answer, Embedding(row, model.encoder_sha256), novelty, applied, is_speech)
        for answer, row, novelty, is_speech in zip(scores, rows, novelties, model.speech(rows), strict=True)
    ]
