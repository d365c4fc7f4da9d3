"""Consent and completeness of a vote on the recognise tab."""

from collections.abc import Sequence

import gradio as gr

CONSENT_CHOICES = [
    ("research", "research"),
    ("training the model", "training"),
    ("publication in a data set", "publication"),
]


CONSENT_QUESTION = "May we keep this recording? Nothing is kept unless you tick."


def consent_words(consent: Sequence[str]) -> str:
    """The question and the answers that a person has ticked, as the store keeps them.

    >>> consent_words(["research"])
    'May we keep this recording? Nothing is kept unless you tick.: research'
    """
    return f"{CONSENT_QUESTION}: {', '.join(words for words, purpose in CONSENT_CHOICES if purpose in consent)}"


def build_consent() -> tuple[gr.CheckboxGroup, gr.Textbox]:
    """Lay out the consent and the speaker of a clip."""
    consent = gr.CheckboxGroup(
        CONSENT_CHOICES,
        label=CONSENT_QUESTION,
        elem_id="consent",
        scale=5,
        min_width=280,
    )
    speaker = gr.Textbox(
        label="Who is speaking? (optional; groups clips of one voice)",
        placeholder="a pseudonym",
        max_length=80,
        elem_id="speaker",
        scale=2,
        min_width=150,
    )
    return consent, speaker
