"""The second tab: stored clips one after the other, least certain first; hear, judge by one key, next."""

import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import gradio as gr

from annotations import queries
from annotations.errors import NothingToUndoError
from annotations.records import ReviewItem
from ui import review_cards
from ui.errors import shows_errors
from ui.identity import rater_name
from ui.palette import UNSURE, label_choices
from ui.services import Services
from ui.votes import build_vote_fields, changed_transcript, intensity_of, verdict_of

UNCHANGED = gr.skip()


@dataclass(frozen=True)
class Sitting:
    """One rater's time on this tab.

    Attributes:
        item: the clip on the page; None where the queue is empty.
        stamps: when the last votes were saved, seconds of a monotonic clock.
        done: votes saved in this sitting.
    """

    item: ReviewItem | None = None
    stamps: tuple[float, ...] = ()
    done: int = 0


class Form(NamedTuple):
    """What an event changes on this tab; filled with components it is the list of outputs."""

    sitting: object = UNCHANGED
    card: object = UNCHANGED
    progress: object = UNCHANGED
    live: object = UNCHANGED
    vote: object = UNCHANGED
    transcript: object = UNCHANGED
    intensity: object = UNCHANGED
    rated: object = UNCHANGED
    status: object = UNCHANGED


class ReviewHandlers:
    """What happens on this tab; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_open(self, sitting: Sitting, blind: bool, rater: str, request: gr.Request) -> Form:
        """The tab came to the front: put a clip on the page, the same one where it still waits."""
        name = rater_name(request, rater)
        if sitting.item is not None:
            return Form(progress=self._progress(sitting, name))
        return self._show(sitting, queries.next_clip(self.services.store, name), blind, name)

    def on_save(
        self,
        sitting: Sitting,
        vote: str | None,
        transcript: str,
        intensity: float,
        rated: bool,
        blind: bool,
        rater: str,
        request: gr.Request,
    ) -> Form:
        """Store the vote and bring the next clip."""
        if sitting.item is None:
            return Form(status=review_cards.status("The queue is empty.", "gentle"))
        if vote is None:
            return Form(status=review_cards.status("Choose first: 1 to 7, U unsure, or S to skip.", "gentle"))
        prediction = sitting.item.prediction
        verdict, label = verdict_of(vote, prediction.label if prediction else None)
        edited = changed_transcript(transcript, prediction.transcript or "" if prediction else "")
        return self._vote(
            sitting, verdict, label, intensity_of(intensity, rated), edited, blind, rater_name(request, rater)
        )

    def on_skip(self, sitting: Sitting, blind: bool, rater: str, request: gr.Request) -> Form:
        """Leave the clip to others and bring the next one."""
        if sitting.item is None:
            return Form(status=review_cards.status("The queue is empty.", "gentle"))
        return self._vote(sitting, "skip", None, None, None, blind, rater_name(request, rater))

    def on_undo(self, sitting: Sitting, blind: bool, rater: str, request: gr.Request) -> Form:
        """Take the last vote back and put its clip on the page again."""
        name = rater_name(request, rater)
        try:
            undone = self.services.store.undo_last_correction(name)
        except NothingToUndoError as error:
            return Form(status=review_cards.status(str(error), "gentle"))
        item = queries.get_review_item(self.services.store, undone.clip_id)
        earlier = replace(sitting, stamps=sitting.stamps[:-1], done=max(0, sitting.done - 1))
        said = f"Taken back: {undone.label or undone.verdict} on clip {undone.clip_id}."
        form = self._show(earlier, item, blind, name, status=review_cards.status(said, "good"))
        vote = undone.label or (UNSURE if undone.verdict == "unsure" else None)
        return form._replace(vote=vote, live=said)

    def on_blind(self, sitting: Sitting, blind: bool) -> Form:
        """Hide or show the model's answer of the clip on the page."""
        return Form(card=review_cards.card(sitting.item, blind)) if sitting.item else Form()

    def on_vote(
        self,
        quick: bool,
        sitting: Sitting,
        vote: str | None,
        transcript: str,
        intensity: float,
        rated: bool,
        blind: bool,
        rater: str,
        request: gr.Request,
    ) -> Form:
        """A vote was chosen: where one key saves, save it."""
        if not quick:
            return Form()
        return self.on_save(sitting, vote, transcript, intensity, rated, blind, rater, request)

    def _vote(
        self,
        sitting: Sitting,
        verdict: str,
        label: str | None,
        intensity: int | None,
        transcript: str | None,
        blind: bool,
        name: str,
    ) -> Form:
        assert sitting.item is not None
        item = sitting.item
        self.services.store.add_correction(
            item.clip.id,
            rater=name,
            verdict=verdict,
            label=label,
            intensity=intensity,
            transcript=transcript,
            prediction_id=item.prediction.id if item.prediction else None,
        )
        stamps = (*sitting.stamps, time.monotonic())[-review_cards.PACE_VOTES :]
        after = replace(sitting, stamps=stamps, done=sitting.done + 1)
        said = review_cards.status(f"Saved clip {item.clip.id}: {label or verdict}.", "good")
        return self._show(after, queries.next_clip(self.services.store, name), blind, name, status=said)

    def _show(self, sitting: Sitting, item: ReviewItem | None, blind: bool, name: str, *, status: str = "") -> Form:
        after = replace(sitting, item=item)
        prediction = item.prediction if item else None
        return Form(
            sitting=after,
            card=review_cards.card(item, blind),
            progress=self._progress(after, name),
            live=f"Clip {item.clip.id}, {item.clip.duration:.1f} seconds." if item else "The queue is empty.",
            vote=None,
            transcript=(prediction.transcript or "") if prediction else "",
            intensity=50,
            rated=False,
            status=status or review_cards.status("", "good"),
        )

    def _progress(self, sitting: Sitting, name: str) -> str:
        waiting = queries.queue_length(self.services.store, name)
        return review_cards.progress(sitting.done, waiting, sitting.stamps)


def build_review_tab(services: Services, tab: gr.Tab, rater: gr.Textbox) -> tuple[gr.Checkbox, gr.Checkbox]:
    """Lay out the tab and connect its events.

    Args:
        services: the domain.
        tab: the tab around it; it loads its first clip when it is opened.
        rater: the page's name field.

    Returns:
        The two choices that the browser remembers: blind, one key saves.
    """
    sitting = gr.State(Sitting())
    with gr.Row(elem_classes="review-bar"):
        progress = gr.HTML(review_cards.progress(0, 0, []), elem_id="review-progress", apply_default_css=False)
        blind = gr.Checkbox(label="blind: hide the model’s answer", elem_id="review-blind", container=False)
        quick = gr.Checkbox(label="one key saves", elem_id="review-quick", container=False)
        gr.Button("? keys", size="sm", scale=0, min_width=88, elem_id="keys-button")
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=7, min_width=320):
            card = gr.HTML("", elem_id="review-card", elem_classes="panel", apply_default_css=False)
            live = gr.HTML("", elem_id="review-live", elem_classes="announcer", apply_default_css=False)
        with gr.Column(scale=5, min_width=320, elem_id="review-form", elem_classes="panel"):
            fields = build_vote_fields("review", "What do you hear?", label_choices())
            with gr.Row(elem_classes="save-row"):
                save = gr.Button("Save, next  ⏎", variant="primary", elem_id="review-save", min_width=150, scale=2)
                skip = gr.Button("Skip  S", elem_id="review-skip", min_width=90)
                undo = gr.Button("Undo  Z", elem_id="review-undo", min_width=90)
            status = gr.HTML(review_cards.status("", "good"), elem_id="review-status", apply_default_css=False)

    handlers = ReviewHandlers(services)
    voting = (fields.vote, fields.transcript, fields.intensity, fields.rated)
    outputs = list(Form(sitting, card, progress, live, *voting, status))
    place, vote = [sitting, blind, rater], [sitting, *voting, blind, rater]
    # Not queued: one request and its answer, which is what makes the next clip come at once.
    direct = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    once = {"trigger_mode": "once", **direct}
    tab.select(shows_errors(handlers.on_open), place, outputs, **direct)
    blind.input(shows_errors(handlers.on_blind), [sitting, blind], outputs, **direct)
    gr.on([save.click, fields.transcript.submit], shows_errors(handlers.on_save), vote, outputs, **once)
    fields.vote.input(shows_errors(handlers.on_vote), [quick, *vote], outputs, **once)
    skip.click(shows_errors(handlers.on_skip), place, outputs, **once)
    undo.click(shows_errors(handlers.on_undo), place, outputs, **once)
    return blind, quick
