"""The second tab: stored clips one after the other; listen, label by one key, next.

The session itself lives in the browser (`assets/review.js`), which asks ahead for clips and sends votes behind: here
is what it asks of the server. Each act takes what the browser says and returns plain values.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import gradio as gr

from annotations.raters.people import Person
from annotations.raters.votes import gold_labels
from annotations.review.filters import NO_FILTER, QueueFilter
from annotations.review.items import get_review_item
from annotations.review.leases import take_lease
from annotations.review.queue import QueueOrder, next_clip, order_note, queue_length, release_lease
from annotations.store import NewVote, queries
from annotations.store.records import Correction, Prediction, ReviewItem
from annotations.store.settings import AnnotationSettings, read_settings
from ser.errors import SerError
from ui.backend.identity import label_texts, person, voter
from ui.backend.services import Services
from ui.parts.calls import Act, Given, fields_of, whole_number, whole_numbers
from ui.parts.palette import UNSURE
from ui.parts.player import sound
from ui.parts.presentation import percent
from ui.recognize.votes import changed_transcript, verdict_of
from ui.review import cards as review_cards
from ui.review import options as review_options
from ui.review.form import shell

REMEMBERED = 2000
"""Votes whose answers are kept, so that one sent twice over a bad line is stored once."""

SCALES = ("intensity", "valence", "arousal")
"""Parts of a vote from 0 to 100."""


class ReviewHandlers:
    """Requests of the browser to the server, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._answered: OrderedDict[str, dict[str, object]] = OrderedDict()
        self._lock = threading.Lock()

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        return {
            "open": self.on_open,
            "next": self.on_next,
            "vote": self.on_vote,
            "undo": self.on_undo,
            "release": self.on_release,
            "renew": self.on_renew,
        }

    def on_open(self, given: Given, request: gr.Request) -> dict[str, object]:
        """The tab came to the front for the first time: what can be chosen on it."""
        reviewer = self._reviewer(given, request)
        settings = read_settings(self.services.store)
        return {
            "orders": review_options.orders(),
            "filters": review_options.fields(self.services.store, reviewer),
            "blind": settings.blind,
            "lease": 60 * settings.lease_minutes,
            "voted": queries.has_voted(self.services.store, reviewer.name),
        }

    def on_next(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Return a clip to label, none of `exclude`, reserved for this rater until they vote, release it or leave."""
        reviewer = self._reviewer(given, request)
        order, filters = self._choice(given, reviewer)
        exclude = whole_numbers(given, "exclude")
        item = next_clip(self.services.store, reviewer.name, order=order, filters=filters, exclude=exclude)
        return {
            "item": self._item(item, request) if item else None,
            "empty": review_cards.empty_queue(
                filtered=filters != NO_FILTER,
                stored=bool(self.services.store.fetch("SELECT 1 FROM clips LIMIT 1")),
            ),
            "note": (order_note(self.services.store, order) or "") if item else "",
            "left": queue_length(self.services.store, reviewer.name, filters),
            "labels": self.services.label_version,
            "voted": queries.has_voted(self.services.store, reviewer.name),
        }

    def on_vote(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Store a vote; the same one sent again is answered as before."""
        nonce = str(given.get("nonce") or "")[:64]
        with self._lock:
            if nonce and nonce in self._answered:
                return self._answered[nonce]
        self._reviewer(given, request)
        reviewer = voter(self.services, request, given.get("who"))
        vote = self._store(given, reviewer)
        _, filters = self._choice(given, reviewer)
        left = queue_length(self.services.store, reviewer.name, filters)
        answer: dict[str, object] = {"said": self._describe_saved(vote), "left": left, "clip": vote.clip_id}
        with self._lock:
            self._answered[nonce] = answer
            while len(self._answered) > REMEMBERED:
                self._answered.popitem(last=False)
        return answer

    def on_undo(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Take the last vote back; its clip comes along, unless the browser has it still."""
        reviewer = self._reviewer(given, request).require_proof("take a vote back")
        store = self.services.store
        undone = store.undo_last_correction(reviewer.name)
        kept = undone.clip_id in whole_numbers(given, "clips")
        return {
            "clip": undone.clip_id,
            "item": None if kept else self._item(get_review_item(store, undone.clip_id), request),
            "vote": {
                "vote": undone.label or (UNSURE if undone.verdict == "unsure" else None),
                "transcript": undone.transcript,
                "distribution": undone.distribution,
                **{name: getattr(undone, name) for name in SCALES},
                "comment": undone.comment,
            },
            "said": f"Taken back: {undone.label or undone.verdict} on clip {undone.clip_id}.",
            "left": queue_length(store, reviewer.name, self._choice(given, reviewer)[1]),
            "voted": queries.has_voted(store, reviewer.name),
        }

    def on_release(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Release clips that were requested and will not be labelled."""
        reviewer = self._reviewer(given, request)
        clips = whole_numbers(given, "clips")
        for clip_id in clips:
            release_lease(self.services.store, reviewer.name, clip_id)
        return {"released": len(clips)}

    def on_renew(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Keep clips for longer; returns which of them are kept."""
        reviewer, settings = self._reviewer(given, request), read_settings(self.services.store)
        kept = whole_numbers(given, "clips")
        if settings.overlap is not None:
            # A gold clip needs no lease and gets none; it is everybody's.
            gold = gold_labels(self.services.store)
            kept = [clip_id for clip_id in kept if clip_id in gold or self._renewed(clip_id, reviewer, settings)]
        return {"kept": kept}

    def _renewed(self, clip_id: int, reviewer: Person, settings: AnnotationSettings) -> bool:
        overlap, minutes = settings.overlap or 1, settings.lease_minutes
        return take_lease(self.services.store, reviewer.name, [clip_id], overlap=overlap, minutes=minutes) is not None

    def _reviewer(self, given: Given, request: gr.Request) -> Person:
        return person(self.services, request, given.get("who")).require("review stored clips")

    def _choice(self, given: Given, reviewer: Person) -> tuple[QueueOrder, QueueFilter]:
        return (
            review_options.to_order(given.get("order")),
            review_options.to_filter(fields_of(given, "filters"), reviewer),
        )

    def _store(self, given: Given, reviewer: Person) -> Correction:
        chosen = str(given.get("vote") or "")
        labels = self.services.labels
        if chosen not in (*labels.names, UNSURE, "skip"):
            raise SerError(f"The vote is '{chosen}'; expected one of {', '.join(labels.names)}, {UNSURE} or skip.")
        clip_id = whole_number(given, "clip")
        prediction = None
        if given.get("prediction") is not None:
            prediction = queries.get_prediction(self.services.store, whole_number(given, "prediction"))
        answered = labels.prediction(prediction).label if prediction else None
        verdict, label = ("skip", None) if chosen == "skip" else verdict_of(chosen, answered)
        if verdict == "skip":
            return self._add(clip_id, given, reviewer, prediction, verdict=verdict)
        recognised = (prediction.transcript or "") if prediction else ""
        return self._add(
            clip_id,
            given,
            reviewer,
            prediction,
            verdict=verdict,
            label=label,
            transcript=changed_transcript(str(given.get("transcript") or ""), recognised),
            distribution=given.get("distribution") if label else None,
            label_set=labels.names,
            **{name: given.get(name) for name in SCALES},
        )

    def _add(
        self, clip_id: int, given: Given, reviewer: Person, prediction: Prediction | None, **vote: Any
    ) -> Correction:
        shown = bool(given.get("answer_shown")) and not read_settings(self.services.store).blind
        return self.services.store.add_correction(
            clip_id,
            NewVote(
                rater=reviewer.name,
                comment=str(given.get("comment") or "").strip() or None,
                seconds=given.get("seconds"),
                answer_shown=shown if prediction else None,
                may_replace=reviewer.proved,
                **vote,
            ),
            prediction_id=prediction.id if prediction else None,
        )

    def _describe_saved(self, vote: Correction) -> str:
        """Describe a saved vote; now that it stands, the model's prediction may be shown."""
        said = f"Saved clip {vote.clip_id}: {vote.label or vote.verdict}."
        if vote.prediction_id is None or vote.label is None:
            return said
        prediction = queries.get_prediction(self.services.store, vote.prediction_id)
        prediction = prediction and self.services.labels.prediction(prediction)
        fused = prediction.scores["fused"] if prediction else None
        if prediction is None or fused is None or not prediction.label:
            return said
        return f"{said} The model: {prediction.label} {percent(fused[prediction.label])}."

    def _item(self, item: ReviewItem, request: gr.Request) -> dict[str, Any]:
        """A clip as the browser keeps it until its turn: HTML, and the sound in base64."""
        prediction = item.prediction
        # In blind mode the answer does not leave the server before the vote.
        hidden, labels = read_settings(self.services.store).blind, self.services.labels
        return {
            "clip": item.clip.id,
            "duration": item.clip.duration,
            "prediction": prediction.id if prediction else None,
            "transcript": (prediction.transcript or "") if prediction else "",
            "card": review_cards.card(item),
            "answer": "" if hidden else review_cards.answer(prediction, labels, label_texts(labels, request)),
            "hidden": review_cards.HIDDEN,
            "audio": sound(item.audio_path) if item.audio_path.is_file() else None,
        }


def build_review_tab(services: Services) -> Mapping[str, Act]:
    """Lay out the tab.

    Args:
        services: the domain.

    Returns:
        What its script asks of the server, for `ui.parts.calls.build_calls`.
    """
    gr.HTML(shell(services.labels), elem_id="review", apply_default_css=False)
    return ReviewHandlers(services).acts()
