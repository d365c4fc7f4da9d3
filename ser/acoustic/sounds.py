"""The voice's answer with what belongs to it: embedding, novelty, the profile that it was adapted by."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.encoder.profiles import NEUTRAL, PLAIN, Profile, Profiles
from ser.errors import AudioError, SettingsError
from ser.protocols import AcousticModel, EmbeddingModel
from ser.types import AppliedProfile, Audio, Embedding, EmotionScores, SpeechRegion

SENTENCE_PAUSE, SHORTEST_SENTENCE = 0.3, 0.8
"""Seconds of a pause between two sentences, and of a sentence that counts."""


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


def find_center(model: AcousticModel, profiles: Profiles) -> npt.NDArray[np.float32] | None:
    """The mean that adapts a model to profiles; None if there is nothing to adapt by, or it has no embeddings."""
    return model.center_for(profiles) if isinstance(model, EmbeddingModel) else None


def neutral_profile(model: AcousticModel, audio: Audio, speech: Sequence[SpeechRegion]) -> Profile:
    """The profile of a neutral voice, of a recording of it that is cut into its sentences.

    Args:
        model: whose answers are to be adapted.
        audio: in which somebody reads without a feeling.
        speech: regions in it.

    Raises:
        SettingsError: if the model cannot be adapted.
        AudioError: if no sentence is long enough.
    """
    if not isinstance(model, EmbeddingModel) or not model.adapts_to_any_mix:
        raise SettingsError(f"The model {model.name} cannot be adapted to a voice. Choose the embedded one.")
    sentences = list[SpeechRegion]()
    for region in speech:
        if sentences and region.start - sentences[-1].end < SENTENCE_PAUSE:
            sentences[-1] = SpeechRegion(sentences[-1].start, region.end)
        else:
            sentences.append(region)
    long = [one for one in sentences if one.end - one.start >= SHORTEST_SENTENCE]
    if not long:
        raise AudioError(f"No sentence of {SHORTEST_SENTENCE:g} s or more was found. Read whole sentences.")
    rows = model.embed_batch([audio.crop(one.start - 0.1, one.end + 0.1) for one in long])
    return Profile.of(NEUTRAL, model.encoder_sha256, rows)
