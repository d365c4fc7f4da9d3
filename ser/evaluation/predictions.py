"""A model's answers to labelled recordings, decoded and cut to their speech as recognition does it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ser.audio.decoding import decode_file
from ser.audio.vad import trim_to_speech
from ser.encoder.profiles import draw_profiles
from ser.errors import AudioError, SettingsError
from ser.types import AcousticModel, Audio, EmbeddingModel, EmotionScores, Example, SpeechDetector


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one recording.

    Attributes:
        scores: of the model.
        spoke: whether speech was found.
        embedding: of the recording, where it was asked for.
    """

    scores: EmotionScores
    spoke: bool
    embedding: npt.NDArray[np.float32] | None = None


@dataclass
class Predictions:
    """Collects answers, and the recordings that could not be read.

    Attributes:
        model: that answers.
        detector: finds the speech that recordings are cut to.
        keep_embeddings: for `adapt`.
        answered: examples, in order.
        scores: of them.
        embeddings: of them, where they are kept.
        unreadable: {file: reason}.
        no_speech: answered recordings without speech; they were classified whole.
    """

    model: AcousticModel
    detector: SpeechDetector
    keep_embeddings: bool = False
    answered: list[Example] = field(default_factory=list)
    scores: list[EmotionScores] = field(default_factory=list)
    embeddings: list[npt.NDArray[np.float32]] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    no_speech: int = 0

    def predict(self, examples: Sequence[Example]) -> list[Prediction | AudioError]:
        """Decode, cut and classify one batch; changes nothing, so that several threads may call it."""
        answers = dict[int, Prediction | AudioError]()
        audios: dict[int, Audio] = {}
        for which, example in enumerate(examples):
            try:
                audios[which] = decode_file(example.path)
            except AudioError as error:
                answers[which] = error
        regions = [self.detector.detect(audio) for audio in audios.values()]
        cut = [trim_to_speech(audio, found) for audio, found in zip(audios.values(), regions, strict=True)]
        rows: Sequence[npt.NDArray[np.float32] | None] = [None] * len(cut)
        if self.keep_embeddings:
            model = embedding_model(self.model)
            embedded = model.embed_batch(cut)
            rows, scores = list(embedded), model.classify_embeddings(embedded)
        else:
            scores = self.model.classify_batch(cut)
        for which, answer, found, row in zip(audios, scores, regions, rows, strict=True):
            answers[which] = Prediction(answer, bool(found), row)
        return [answers[which] for which in range(len(examples))]

    def add(self, example: Example, answer: Prediction | AudioError) -> None:
        """Keep the answer to an example."""
        if isinstance(answer, AudioError):
            self.unreadable[str(example.path)] = str(answer)
            return
        self.answered.append(example)
        self.scores.append(answer.scores)
        self.no_speech += not answer.spoke
        if answer.embedding is not None:
            self.embeddings.append(answer.embedding)

    def adapt(
        self, clips: int, to_corpus: bool, seed: int, even_labels: tuple[str, ...] | None = None
    ) -> list[EmotionScores]:
        """The scores, adapted by unlabelled clips.

        Args:
            clips: drawn others of the speaker; 0 for none.
            to_corpus: by all clips of the corpus, too.
            seed: of the draws.
            even_labels: see `Profiles`.
        """
        model, rows = embedding_model(self.model), np.stack(self.embeddings)
        profiles = draw_profiles(
            rows,
            model.encoder_sha256,
            sources=[example.corpus for example in self.answered] if to_corpus else None,
            speakers=[example.speaker for example in self.answered] if clips else None,
            clips=clips,
            even_labels=even_labels,
            seed=seed,
        )
        centers = map(model.center_for, profiles)
        return [model.classify_embeddings(row[None], center)[0] for row, center in zip(rows, centers, strict=True)]


def embedding_model(model: AcousticModel) -> EmbeddingModel:
    """The model as one that adapts to a source or a speaker.

    Raises:
        SettingsError: where it has no embeddings.
    """
    if not isinstance(model, EmbeddingModel):
        raise SettingsError(
            f"The model {model.name} cannot be adapted to a place or a speaker: it has no embeddings. "
            "Leave the adaptation out, or choose the embedded model or one that was trained on a frozen encoder."
        )
    return model
