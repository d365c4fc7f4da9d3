"""The first tab: record or choose a clip, see the answer grow, confirm or correct it, store it with consent."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import gradio as gr

from ser.acoustic.measures import measure
from ser.audio import decode_file
from ser.errors import SerError
from ser.serialization import recognition_to_dict
from ser.types import SAMPLING_RATE, Audio, Recognition
from ser.vad import trim_to_speech
from ui import presentation
from ui.errors import shows_errors
from ui.history import withdraw_own
from ui.identity import Who, person, voter
from ui.palette import label_choices
from ui.services import Services
from ui.votes import build_vote_fields, changed_transcript, intensity_of, verdict_of

CONSENT_CHOICES = [
    ("research", "research"),
    ("training the model", "training"),
    ("publication in a data set", "publication"),
]

CONSENT_QUESTION = "Store this clip for (without a tick nothing of it stays)"

ASK = "Erase the clip that you have just saved, with everything made of it? This cannot be undone."
NOT_STORED = "not stored"
EMPTY_LINE = '<p class="clip-line">Nothing is stored unless you say so below.</p>'
UNCHANGED = gr.skip()


@dataclass(frozen=True)
class Heard:
    """A clip with its answer, kept in the server's memory until it is saved, replaced or cleared."""

    audio: Audio
    recognition: Recognition
    model_version_id: int
    file: str


class Form(NamedTuple):
    """What an event changes on this tab; what is left out stays as it is.

    The same tuple, filled with components, is the list of outputs of every event.
    """

    audio: object = UNCHANGED
    heard: object = UNCHANGED
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


def blank(card: str, *, live: str = "", status: str = "") -> Form:
    """Everything but the clip itself as it is before there is an answer."""
    return Form(
        heard=None,
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
    )


class RecognizeHandlers:
    """What happens on this tab; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_audio(self, path: str | None, request: gr.Request) -> Iterator[Form]:
        """A clip was recorded or chosen: yield the answer as it grows, or why there is none."""
        if path is None:
            # A generator that yields nothing would empty every output, down to the words on the buttons.
            yield Form()
            return
        session = str(request.session_hash)
        self.services.uploads.hold(session, path)
        yield blank(presentation.listening_card())
        try:
            yield from self._answers(path)
        except SerError as error:
            self.services.uploads.release(session)
            yield blank(presentation.refusal_card(str(error)), live=str(error))

    def on_change(self, path: str | None, heard: Heard | None, request: gr.Request) -> Form:
        """The clip was taken away by a person: forget it, on the disk and in memory."""
        if path is not None:
            return Form()
        self.services.uploads.release(str(request.session_hash))
        return Form() if heard is None else blank(presentation.empty_card())

    def on_clear(self, request: gr.Request) -> Form:
        """The clear button: the clip goes, and the answer with it."""
        self.services.uploads.release(str(request.session_hash))
        return blank(presentation.empty_card())._replace(audio=None)

    def on_save(
        self,
        heard: Heard | None,
        vote: str | None,
        transcript: str,
        intensity: float,
        rated: bool,
        speaker: str,
        consent: list[str],
        who: Who,
        request: gr.Request,
    ) -> Form:
        """Store clip, answer and vote, given consent; without consent say so and store nothing."""
        refusal = what_is_missing(heard, vote, consent)
        if heard is None or vote is None or refusal:
            return Form(status=status_line(refusal, "gentle"))
        recognised = heard.recognition.transcript.text if heard.recognition.transcript else ""
        verdict, label = verdict_of(vote, heard.recognition.fused.label)
        clip, _ = self.services.store.save_feedback(
            heard.audio,
            heard.recognition,
            rater=voter(self.services, request, who).name,
            verdict=verdict,
            label=label,
            intensity=intensity_of(intensity, rated),
            transcript=changed_transcript(transcript, recognised),
            consent=consent,
            consent_wording=consent_words(consent),
            source="page",
            speaker=speaker.strip() or None,
            session=str(request.session_hash),
            model_version_id=heard.model_version_id,
            sound=measure(trim_to_speech(heard.audio, heard.recognition.speech)),
        )
        self.services.uploads.release(str(request.session_hash))
        said = f"Saved as clip {clip.id}: {label or 'unsure'}. You can undo it under History."
        form = blank(presentation.empty_card(), live=said, status=status_line(said, "good"))
        return form._replace(audio=None, saved=clip.id, withdraw=gr.update(visible=True, value=f"Erase clip {clip.id}"))

    def on_withdraw(self, saved: int | None, who: Who, sure: bool, request: gr.Request) -> Form:
        """Who has just saved a clip thinks better of it: it goes, at once and wholly."""
        if saved is None or not sure:
            return Form()
        report = withdraw_own(self.services, person(self.services, request, who).name, saved)
        said = report.lines()[0]
        return Form(live=said, status=status_line(said, "good"), saved=None, withdraw=gr.update(visible=False))

    def _answers(self, path: str) -> Iterator[Form]:
        serving = self.services.active_model.serving()
        recognizer, version = serving.recognizer, serving.version
        start = time.perf_counter()
        audio = decode_file(path, max_duration=recognizer.max_duration)
        decoding = time.perf_counter() - start
        shown: Recognition | None = None
        for step in recognizer.recognize_steps(audio):
            timings = replace(step.timings, decode=decoding, total=step.timings.total + decoding)
            recognition = replace(step, timings=timings)
            yield self._answer(Heard(audio, recognition, version.id, Path(path).name), shown)
            shown = recognition
        if shown is not None:
            self.services.active_model.answered(audio, shown, version)

    def _answer(self, heard: Heard, shown: Recognition | None) -> Form:
        answer = heard.recognition
        form = Form(
            card=presentation.answer_card(answer),
            clip_line=presentation.clip_line(answer.duration, heard.audio.notes, NOT_STORED),
        )
        # A field is filled when its value first comes, so that nothing a person has typed meanwhile is overwritten.
        if shown is None or shown.fused.label != answer.fused.label:
            form = form._replace(vote=answer.fused.label, live=presentation.announcement(answer))
        if answer.transcript and not (shown and shown.transcript):
            form = form._replace(transcript=answer.transcript.text)
        if not answer.complete:
            return form
        return form._replace(
            heard=heard,
            live=presentation.announcement(answer),
            details=presentation.details_table(answer),
            answer_json=recognition_to_dict(answer, heard.file),
            save=gr.update(interactive=True),
        )


def consent_words(consent: Sequence[str]) -> str:
    """The question and the answers that a person has ticked, as the store keeps them.

    >>> consent_words(["research"])
    'Store this clip for (without a tick nothing of it stays): research'
    """
    return f"{CONSENT_QUESTION}: {', '.join(words for words, purpose in CONSENT_CHOICES if purpose in consent)}"


def what_is_missing(heard: Heard | None, vote: str | None, consent: list[str]) -> str:
    """Why a vote cannot be saved yet, as a sentence; empty where it can."""
    if heard is None:
        return "Record or choose a clip first."
    if vote is None:
        return "Choose an emotion first: keys 1 to 7, or U if you are unsure."
    if not consent:
        return "Nothing was stored: without consent your clip stays yours. Tick what it may be used for, then save."
    return ""


def status_line(message: str, kind: str) -> str:
    """A sentence beside the save button; `kind` is good or gentle."""
    return f'<p class="status {kind}" role="status">{presentation.escape(message)}</p>'


def build_recognize_tab(services: Services, who: gr.BrowserState) -> None:
    """Lay out the tab and connect its events; `who` is what the browser says of itself."""
    heard = gr.State(None)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=5, min_width=320):
            audio = _build_audio()
            with gr.Row(elem_classes="under-audio"):
                clip_line = gr.HTML(EMPTY_LINE, elem_id="clip-line", apply_default_css=False)
                clear = gr.Button("Clear", size="sm", scale=0, min_width=88, elem_id="recognize-clear")
            with gr.Accordion("Details: times, models, JSON", open=False):
                details = gr.HTML("", apply_default_css=False)
                answer_json = gr.JSON(label="Answer as JSON", show_label=False, elem_id="answer-json")
        with gr.Column(scale=7, min_width=320):
            card = gr.HTML(presentation.empty_card(), elem_id="answer-card", apply_default_css=False)
            live = gr.HTML("", elem_id="recognize-live", elem_classes="announcer", apply_default_css=False)
    with gr.Group(elem_id="recognize-form", elem_classes="panel"):
        fields = build_vote_fields("recognize", "Is that right?", label_choices())
        with gr.Row(elem_classes="consent-row"):
            consent, speaker = _build_consent()
            save = gr.Button("Save  ⏎", variant="primary", interactive=False, scale=0, min_width=150, elem_id="save")
        with gr.Row(elem_classes="save-row"):
            status = gr.HTML(status_line("", "good"), elem_id="save-status", apply_default_css=False)
            withdraw = gr.Button("", size="sm", visible=False, scale=0, min_width=150, elem_id="withdraw-saved")
    saved = gr.State(None)
    sure = gr.Checkbox(False, visible=False)

    voting = (fields.vote, fields.transcript, fields.intensity, fields.rated)
    form = Form(audio, heard, card, live, clip_line, *voting, details, answer_json, save, status, saved, withdraw)
    handlers = RecognizeHandlers(services)
    _connect_clip(handlers, form, audio, clear)
    withdraw.click(
        shows_errors(handlers.on_withdraw),
        # What the server keeps is out of a script's reach: whether they are sure travels on its own.
        [saved, who, sure],
        list(form),
        js=f"(saved, who) => [saved, who, confirm({ASK!r})]",
        show_progress="hidden",
        trigger_mode="once",
        api_visibility="private",
    )
    gr.on(
        [save.click, fields.transcript.submit, speaker.submit],
        shows_errors(handlers.on_save),
        [heard, *voting, speaker, consent, who],
        list(form),
        show_progress="hidden",
        trigger_mode="once",
        api_visibility="private",
    )


def _build_audio() -> gr.Audio:
    return gr.Audio(
        label="Speech",
        sources=["microphone", "upload"],
        type="filepath",
        elem_id="recognize-audio",
        editable=False,
        buttons=[],
        waveform_options=gr.WaveformOptions(sample_rate=SAMPLING_RATE),
    )


def _build_consent() -> tuple[gr.CheckboxGroup, gr.Textbox]:
    consent = gr.CheckboxGroup(
        CONSENT_CHOICES,
        label=CONSENT_QUESTION,
        elem_id="consent",
        scale=5,
        min_width=280,
    )
    speaker = gr.Textbox(
        label="Speaker, optional", placeholder="a pseudonym", max_length=80, elem_id="speaker", scale=2, min_width=150
    )
    return consent, speaker


def _connect_clip(handlers: RecognizeHandlers, form: Form, audio: gr.Audio, clear: gr.Button) -> None:
    """A clip comes, is taken away by the player's own cross, or is cleared."""
    outputs = list(form)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    answering = audio.input(
        shows_errors(handlers.on_audio),
        audio,
        outputs,
        trigger_mode="always_last",
        concurrency_limit=2,
        concurrency_id="recognition",
        **quiet,
    )
    audio.change(handlers.on_change, [audio, form.heard], outputs, queue=False, **quiet)
    clear.click(handlers.on_clear, None, outputs, cancels=answering, **quiet)
