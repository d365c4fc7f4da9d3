"""A model's answers to labelled recordings, decoded and cut to their speech as recognition does it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ser.audio.decoding import decode_file
from ser.audio.vad import trim_to_speech
from ser.encoder.profiles import draw_profiles
from ser.errors import AudioError, SettingsError
from ser.protocols import AcousticModel, EmbeddingModel, SpeechDetector
from ser.types import Audio, EmotionScores, Example


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one recording.

    Attributes:
        scores: of the model.
        spoke: whether speech was found.
        embedding: of the recording, if it was asked for.
    """

    scores: EmotionScores
    spoke: bool
    embedding: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Adaptation:
    """Unlabelled clips that answers are adapted by.

    Attributes:
        clips: drawn others of the speaker; 0 for none.
        to_corpus: by all clips of the corpus, too.
        seed: of the draws.
    """

    clips: int = 0
    to_corpus: bool = False
    seed: int = 0

    def __bool__(self) -> bool:
        return self.clips > 0 or self.to_corpus


def predict_batch(
    examples: Sequence[Example], model: AcousticModel, detector: SpeechDetector, embed: bool
) -> list[Prediction | AudioError]:
    """Decode recordings, cut them to their speech and classify them together; without speech, as they are.

    Args:
        examples: of the recordings.
        model: with embeddings if `embed` is set.
        detector: finds the speech.
        embed: keep the embeddings, for `adapt_predictions`.

    Returns:
        For each example its answer, or the error that says why there is none.
    """
    answers = dict[int, Prediction | AudioError]()
    audios: dict[int, Audio] = {}
    for which, example in enumerate(examples):
        try:
            audios[which] = decode_file(example.path)
        except AudioError as error:
            answers[which] = error
    regions = [detector.detect(audio) for audio in audios.values()]
    cut = [trim_to_speech(audio, found) for audio, found in zip(audios.values(), regions, strict=True)]
    rows: Sequence[npt.NDArray[np.float32] | None] = [None] * len(cut)
    if embed:
        embedding = embedding_model(model)
        embedded = embedding.embed_batch(cut)
        rows, scores = list(embedded), embedding.classify_embeddings(embedded)
    else:
        scores = model.classify_batch(cut)
    for which, answer, found, row in zip(audios, scores, regions, rows, strict=True):
        answers[which] = Prediction(answer, bool(found), row)
    return [answers[which] for which in range(len(examples))]


def adapt_predictions(
    model: EmbeddingModel,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    adaptation: Adaptation,
    even_labels: tuple[str, ...] | None = None,
) -> list[EmotionScores]:
    """Scores of embedded recordings, adapted by unlabelled clips among them.

    Args:
        model: that made the predictions.
        examples: of the recordings.
        predictions: with embeddings.
        adaptation: by which clips.
        even_labels: see `Profiles`.
    """
    rows = np.stack([prediction.embedding for prediction in predictions if prediction.embedding is not None])
    profiles = draw_profiles(
        rows,
        model.encoder_sha256,
        sources=[example.corpus for example in examples] if adaptation.to_corpus else None,
        speakers=[example.speaker for example in examples] if adaptation.clips else None,
        clips=adaptation.clips,
        even_labels=even_labels,
        seed=adaptation.seed,
    )
    centers = map(model.center_for, profiles)
    return [model.classify_embeddings(row[None], center)[0] for row, center in zip(rows, centers, strict=True)]


def adaptable_model(model: AcousticModel, even_labels: tuple[str, ...] | None) -> EmbeddingModel:
    """The model as one that adapts to clips of this mix of labels, see `Profiles.even_labels`.

    Raises:
        SettingsError: where it cannot be adapted so.
    """
    found = embedding_model(model)
    if even_labels is None and not found.adapts_to_any_mix:
        raise SettingsError(
            f"The model {model.name} cannot be adapted to clips of an unknown mix of labels: it was trained on one "
            "corpus and knows nothing of how places and speakers differ. Name the labels with --labels if the clips "
            "are an even mix of them, leave the adaptation out, or train on two corpora or more."
        )
    return found


def embedding_model(model: AcousticModel) -> EmbeddingModel:
    """The model as one that adapts to a source or a speaker.

    Raises:
        SettingsError: if it has no embeddings.
    """
    if not isinstance(model, EmbeddingModel):
        raise SettingsError(
            f"The model {model.name} cannot be adapted to a place or a speaker: it has no embeddings. "
            "Leave the adaptation out, or choose the embedded model or one that was trained on a frozen encoder."
        )
    return model
