"""Loads the recogniser with the current versions from settings and a store.

Importing it brings torch in.
"""

from collections.abc import Sequence
from pathlib import Path

from annotations.learning.versions.active import ActiveModel, LoadModel, PutModel, origins_of
from annotations.raters.votes import gold_labels, training_examples
from annotations.store import AnnotationStore
from annotations.store.queries import activity
from annotations.store.records import FeedbackExample
from annotations.store.training_records import UNKNOWN
from ser.acoustic.classifier import load_acoustic_model
from ser.checkpoints.hub import pick_device
from ser.config import Settings
from ser.fusion.rule import load_fusion_rule
from ser.labels import EMOTIONS
from ser.language_model.opinion import AnsweredText
from ser.loading import load_recognizer
from ser.protocols import AcousticModel, TextModel, Transcriber
from ser.recognizer import Recognizer
from ser.text.classifier import load_text_model
from ser.transcription.checkpoint import load_checkpoint

AGREED = 0.75
"""Least share of the votes for a label that makes a clip an example of it."""


def load_active_model(store: AnnotationStore, settings: Settings) -> ActiveModel:
    """Load the models that the settings name; they are the settings' until `ActiveModel.settle`.

    A text model or a transcriber that the settings leave out has no versions that could take its place.

    Raises:
        SerError: if a model or a setting cannot be used.
    """
    device = pick_device(settings.device)

    def load(location: str) -> AcousticModel:
        return load_acoustic_model(location, device)

    recognizer = load_recognizer(settings)
    if recognizer.opinion is not None:
        recognizer.opinion.examples = VotedTexts(store).examples
    active = ActiveModel(store, recognizer, load, base=settings.acoustic_model)
    follow_parts(active, recognizer, settings, device)
    return active


class VotedTexts:
    """Texts that people agree on, as examples for a language model: one for each emotion, where there is any.

    Only clips whose consent includes training are shown, as a language model may be elsewhere; gold clips are not.
    """

    def __init__(self, store: AnnotationStore) -> None:
        self._store = store
        self._seen: tuple[object, ...] = ()
        self._known: tuple[AnsweredText, ...] = ()

    def examples(self) -> Sequence[AnsweredText]:
        """Those with the most votes, the newest first; read anew only after something has changed."""
        now = activity(self._store)
        if now != self._seen:
            self._seen, self._known = now, self._read()
        return self._known

    def _read(self) -> tuple[AnsweredText, ...]:
        gold, best = gold_labels(self._store), dict[str, FeedbackExample]()
        for example in training_examples(self._store):
            label = max(example.soft_label, key=lambda name: example.soft_label[name])
            if label in EMOTIONS and example.soft_label[label] >= AGREED and example.clip.id not in gold:
                if (label not in best or best[label].votes <= example.votes) and self._text(example):
                    best[label] = example
        return tuple(AnsweredText(self._text(best[label]), label) for label in EMOTIONS if label in best)

    def _text(self, example: FeedbackExample) -> str:
        """The words as a person has written them, else as they were recognised."""
        query = "SELECT transcript FROM predictions WHERE clip_id = ? AND transcript <> '' ORDER BY id DESC LIMIT 1"
        rows = [] if example.transcript else self._store.fetch(query, (example.clip.id,))
        return (example.transcript or (str(rows[0][0]) if rows else "")).strip()


def follow_parts(active: ActiveModel, recognizer: Recognizer, settings: Settings, device: str) -> None:
    """Keep the text model, the transcriber and the fusion rule on their current versions as well.

    Args:
        active: begins with `recognizer`.
        recognizer: as the settings have it.
        settings: name what the program starts with.
        device: of torch.
    """
    origins = origins_of(settings)

    def load_text(location: str) -> TextModel | None:
        return recognizer.text if location == origins["text"] else load_text_model(location, device)

    def load_transcriber(location: str) -> Transcriber | None:
        # What the program started with may be the embedded recogniser, in place of a checkpoint that is out of reach.
        at_start = location == origins["transcriber"]
        return recognizer.transcriber if at_start else load_checkpoint(Path(location), device)

    parts: dict[str, tuple[LoadModel, PutModel, bool]] = {
        "text": (load_text, Recognizer.replace_text, recognizer.text is not None),
        "transcriber": (load_transcriber, Recognizer.replace_transcriber, recognizer.transcriber is not None),
        "fusion": (load_fusion_rule, Recognizer.replace_fusion, True),
    }
    # Called by what answers, which need not be what the settings hope for.
    answers = origins | ({"transcriber": recognizer.transcriber.name} if recognizer.transcriber else {})
    for target, (loader, put, wanted) in parts.items():
        if wanted:
            base = active.store.ensure_base_version(f"{target} {answers[target]}", UNKNOWN, target)
            active.follow(target, loader, put, origins[target], base)
