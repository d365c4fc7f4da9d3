"""The fields of a vote, the same on two tabs, and what they mean to the store."""

from dataclasses import dataclass

import gradio as gr

from annotations.raters.people import Person
from annotations.review.items import get_review_item
from annotations.store import NewVote
from ser.errors import SerError
from ui.backend.services import Services
from ui.parts.calls import as_whole
from ui.parts.palette import UNSURE


@dataclass(frozen=True)
class VoteFields:
    """The components of a vote.

    Attributes:
        vote: one of the emotions, `unsure`, or None.
        transcript: what was said, to be edited.
        intensity: 0..100; counts only where `rated` is ticked.
        rated: ticks itself when the slider is moved.
    """

    vote: gr.Radio
    transcript: gr.Textbox
    intensity: gr.Slider
    rated: gr.Checkbox


def build_vote_fields(name: str, question: str, choices: list[tuple[str, str]]) -> VoteFields:
    """Lay out the fields; their element ids start with `name`."""
    vote = gr.Radio(choices, label=question, elem_id=f"{name}-vote", elem_classes="votes")
    with gr.Row(elem_classes="vote-row"):
        transcript = gr.Textbox(
            label="Transcript (edit if wrong)",
            placeholder="what was said",
            lines=1,
            max_lines=3,
            elem_id=f"{name}-transcript",
            scale=4,
            min_width=280,
        )
        with gr.Column(scale=2, min_width=220, elem_classes="intensity"):
            intensity = gr.Slider(0, 100, 50, step=1, label="Intensity", elem_id=f"{name}-intensity")
            rated = gr.Checkbox(False, label="rate intensity", elem_id=f"{name}-rated")
    # In the browser alone: a slider always has a value, and one that nobody touched must not count as a rating.
    intensity.input(fn=None, js="() => true", outputs=rated, api_visibility="private")
    return VoteFields(vote, transcript, intensity, rated)


def verdict_of(vote: str, answer: str | None) -> tuple[str, str | None]:
    """Verdict and label of a vote, given the model's answer.

    >>> verdict_of("fear", "fear"), verdict_of("fear", None), verdict_of("unsure", "fear")
    (('accept', 'fear'), ('correct', 'fear'), ('unsure', None))
    """
    if vote == UNSURE:
        return "unsure", None
    return ("accept" if vote == answer else "correct"), vote


def intensity_of(value: float, rated: bool) -> int | None:
    """The intensity if a person has rated it."""
    return round(value) if rated else None


def changed_transcript(edited: str, recognised: str) -> str | None:
    """The transcript if a person has changed it.

    >>> changed_transcript("it is fine ", "it is fine"), changed_transcript("it was fine", "it is fine")
    (None, 'it was fine')
    """
    edited = " ".join(edited.split())
    return edited if edited != " ".join(recognised.split()) else None


def vote_on_stored(
    services: Services,
    clip_id: float | None,
    label: str,
    rater: Person,
    transcript: str | None,
    intensity: float | None,
) -> dict[str, object]:
    """Store a vote on a stored clip; returns the numbers of both.

    Raises:
        SerError: if no clip is named.
        ClipNotFoundError: if there is none of that number.
    """
    if clip_id is None:
        raise SerError("Neither audio nor clip_id was given. Send a recording, or the id of a stored clip.")
    item = get_review_item(services.store, as_whole(clip_id, "clip_id"))
    labels = services.labels
    prediction = item.prediction and labels.prediction(item.prediction)
    verdict, vote = verdict_of(label, prediction.label if prediction else None)
    correction = services.store.add_correction(
        item.clip.id,
        NewVote(
            rater.name,
            verdict,
            label=vote,
            intensity=intensity,
            transcript=transcript,
            may_replace=rater.proved,
            label_set=labels.names,
        ),
        prediction_id=prediction.id if prediction else None,
    )
    return {"clip_id": item.clip.id, "correction_id": correction.id}
