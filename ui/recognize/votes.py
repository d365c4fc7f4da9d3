"""The fields of a vote, the same on two tabs, and what they mean to the store."""

from dataclasses import dataclass

import gradio as gr

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
