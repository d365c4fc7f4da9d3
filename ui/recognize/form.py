"""Values of all components of the recognise tab at once, the result of each event; an analysed clip; consent."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import gradio as gr

from annotations.labels.label_set import DEFAULT, LabelSet
from ser.audio.denoising import is_available
from ser.encoder.profiles import MIN_CLIPS, PLAIN, Profiles
from ser.types import Audio, Recognition
from ui.parts.palette import key_range
from ui.parts.presentation import status_line

EMPTY_LINE = '<p class="clip-line">Nothing is stored unless you say so below.</p>'
ASK_WHY = '<p class="quiet">Record or choose a clip: then press the button to see what its answer hangs on.</p>'
ASK_TIMELINE = '<p class="quiet">Choose a recording of up to 15 minutes: see what is felt when, region by region.</p>'
ASK_FACE = '<p class="quiet">Take or choose a picture of who speaks, from the front, near, in even light.</p>'
KEEP_FACE = "Keep this picture of the face with the recording"
PASS_FACE_ON = "Let exports of the recording have the picture, too"
FACE_CONSENTS = {"keep": KEEP_FACE, "export": PASS_FACE_ON}
"""What a person may agree to for a picture, in words; each has its own tick."""
EXAMPLE_NOT_SAVED = (
    "An example is to listen to: nothing of it is saved. Record or upload a clip of your own to save it."
)
UNCHANGED = gr.skip()
MOST_KEPT = 64_000_000
"""Bytes of sound that wait in memory to be saved; a minute takes 4 MB."""

CONSENT_CHOICES = [
    ("research", "research"),
    ("training the model", "training"),
    ("publication in a data set", "publication"),
]


CLEAN_INFO = "For the next recording. What you save stays as it was recorded."
CLEAN_MISSING = "The server lacks the package for it (webrtc-noise-gain)."
CONSENT_QUESTION = "May we keep this recording? Nothing is kept unless you tick."


@dataclass(frozen=True)
class AddedFace:
    """A face that was added to a clip.

    Attributes:
        recognition: the answer with it.
        jpeg: its picture.
    """

    recognition: Recognition
    jpeg: bytes


@dataclass
class Analysed:
    """A clip with its answer, kept in the server's memory until it is saved, replaced or cleared.

    Attributes:
        audio: None once newer clips have taken its place in memory.
        recognition: the answer.
        model_version_id: of who gave it.
        file: name of the upload.
        example: sentence on a clip that came with the page; empty for a person's own.
        profiles: that the answer is adapted by.
        face: that was added on request; None without.
    """

    audio: Audio | None
    recognition: Recognition
    model_version_id: int
    file: str
    example: str = ""
    profiles: Profiles = PLAIN
    face: AddedFace | None = None


class Form(NamedTuple):
    """Changes of an event on this tab; what is left out stays as it is.

    The same tuple, filled with components, is the list of outputs of every event.
    """

    audio: object = UNCHANGED
    analysed: object = UNCHANGED
    card: object = UNCHANGED
    live: object = UNCHANGED
    clip_line: object = UNCHANGED
    vote: object = UNCHANGED
    transcript: object = UNCHANGED
    intensity: object = UNCHANGED
    rated: object = UNCHANGED
    details: object = UNCHANGED
    answer_json: object = UNCHANGED
    save: object = UNCHANGED
    status: object = UNCHANGED
    saved: object = UNCHANGED
    withdraw: object = UNCHANGED
    consent: object = UNCHANGED
    beginning: object = UNCHANGED
    whole: object = UNCHANGED
    why: object = UNCHANGED
    timeline: object = UNCHANGED
    picture: object = UNCHANGED
    face: object = UNCHANGED
    keep_face: object = UNCHANGED


@dataclass(frozen=True)
class SentForm:
    """Values of the form as a person saves it.

    Attributes:
        analysed: the clip with its answer; None before there is one.
        vote: a label, unsure, or None.
        transcript: as edited.
        intensity: 0 to 100; counts only if `rated`.
        rated: whether the slider was moved.
        speaker: a pseudonym; may be empty.
        consent: what the clip may be stored for.
        keep_face: what the picture may be stored for.
    """

    analysed: Analysed | None
    vote: str | None
    transcript: str
    intensity: float
    rated: bool
    speaker: str
    consent: list[str]
    keep_face: list[str]


def blank(card: str, *, live: str = "", status: str = "") -> Form:
    """Reset everything but the clip itself to its state before an answer."""
    return Form(
        analysed=None,
        card=card,
        live=live,
        clip_line=EMPTY_LINE,
        vote=None,
        transcript="",
        intensity=50,
        rated=False,
        details="",
        answer_json=None,
        save=gr.update(interactive=False),
        status=status or status_line("", "good"),
        # What one recording may be kept for says nothing of the next one.
        consent=[],
        beginning=gr.update(visible=False),
        whole=gr.update(visible=False),
        why=ASK_WHY,
        timeline=ASK_TIMELINE,
        picture=None,
        face=ASK_FACE,
        keep_face=gr.update(value=[], visible=False),
    )


class KeptClips:
    """Sound of analysed clips: pages that are never seen again must not fill the memory with theirs."""

    def __init__(self) -> None:
        self._kept: deque[Analysed] = deque()
        self._lock = threading.Lock()

    def keep(self, analysed: Analysed) -> None:
        """Hold a clip, and release the oldest ones above `MOST_KEPT`."""
        with self._lock:
            self._kept.append(analysed)
            while sum(one.audio.signal.nbytes for one in self._kept if one.audio) > MOST_KEPT and len(self._kept) > 1:
                self._kept.popleft().audio = None


def what_is_missing(analysed: Analysed | None, vote: str | None, consent: list[str], labels: LabelSet = DEFAULT) -> str:
    """Explain why a vote cannot be saved yet; empty if it can."""
    if analysed is None:
        return "Record or choose a clip first."
    if analysed.example:
        return EXAMPLE_NOT_SAVED
    if analysed.audio is None:
        return "This clip was removed from memory to make room for others. Record or choose it again."
    if vote is None:
        noun = "an emotion" if labels.is_default else "a label"
        return f"Choose {noun} first: keys {key_range(labels)}, or U if you are unsure."
    if not consent:
        return "Nothing was stored: without consent your clip stays yours. Tick what it may be used for, then save."
    return ""


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


def build_details() -> tuple[gr.Checkbox, gr.Checkbox, gr.HTML, gr.JSON]:
    """Lay out the switches of adaptation and of noise reduction, the times and models, and the answer as JSON."""
    with gr.Accordion("Details: times, models, JSON", open=False, elem_id="recognize-details"):
        adapt = gr.Checkbox(
            True,
            label="Adapt to this microphone and room",
            info=f"From {MIN_CLIPS} recordings on; forgotten when you close the page.",
            elem_id="adapt",
        )
        clean = gr.Checkbox(
            False,
            label="Reduce noise first",
            info=CLEAN_INFO if is_available() else CLEAN_MISSING,
            interactive=is_available(),
            elem_id="denoise",
        )
        details = gr.HTML("", apply_default_css=False)
        answer_json = gr.JSON(label="Answer as JSON", show_label=False, elem_id="answer-json")
    return adapt, clean, details, answer_json
