"""The first tab: record or choose a clip, see the answer grow, confirm or correct it, store it with consent."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import gradio as gr

from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.store import NewClip, NewVote, grant
from ser.audio.decoding import decode_file
from ser.encoder.profiles import MIN_CLIPS, PLAIN
from ser.errors import SerError
from ser.serialization import recognition_to_dict
from ser.types import SAMPLING_RATE, Audio, Recognition
from ui.backend.identity import Who, charge, person, voter
from ui.backend.services import Services
from ui.backend.turns import MOST_WAITING, Waiting
from ui.history import withdraw_own
from ui.parts import presentation
from ui.parts.errors import shows_errors
from ui.parts.palette import key_range, label_choices
from ui.parts.presentation import status_line
from ui.recognize import cards
from ui.recognize.consent import build_consent, consent_words
from ui.recognize.votes import build_vote_fields, changed_transcript, intensity_of, verdict_of

ASK = "Erase the clip that you have just saved, with everything made of it? This cannot be undone."
NOT_STORED = "not stored"

MOST_KEPT = 64_000_000
"""Bytes of sound that wait in memory to be saved; a minute takes 4 MB."""
EMPTY_LINE = '<p class="clip-line">Nothing is stored unless you say so below.</p>'
UNCHANGED = gr.skip()


@dataclass
class Analysed:
    """A clip with its answer, kept in the server's memory until it is saved, replaced or cleared.

    Attributes:
        audio: None once newer clips have taken its place in memory.
        recognition: the answer.
        model_version_id: of who gave it.
        file: name of the upload.
    """

    audio: Audio | None
    recognition: Recognition
    model_version_id: int
    file: str


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


def blank(card: str, *, live: str = "", status: str = "") -> Form:
    """Everything but the clip itself as it is before there is an answer."""
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
    )


class RecognizeHandlers:
    """Events of this tab, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._kept: deque[Analysed] = deque()
        self._lock = threading.Lock()

    def on_audio(self, path: str | None, adapt: bool, request: gr.Request) -> Iterator[Form]:
        """A clip was recorded or chosen: yield the answer as it grows, or why there is none.

        Args:
            path: of the clip.
            adapt: whether to adapt to what the session's earlier clips have in common.
            request: says whose session it is.
        """
        if path is None:
            # A generator that yields nothing would empty every output, down to the words on the buttons.
            yield Form()
            return
        session = str(request.session_hash)
        self.services.uploads.hold(session, path)
        yield blank(cards.listening_card(self.services.labels.names))
        try:
            charge(self.services, request, "recognitions")
            yield from self._answers(path, session, adapt)
        except SerError as error:
            self.services.uploads.release(session)
            yield blank(cards.refusal_card(str(error), self.services.labels.names), live=str(error))

    def on_change(self, path: str | None, analysed: Analysed | None, request: gr.Request) -> Form:
        """The clip was taken away by a person: forget it, on the disk and in memory."""
        if path is not None:
            return Form()
        self.services.uploads.release(str(request.session_hash))
        return Form() if analysed is None else blank(cards.empty_card(self.services.labels.names))

    def on_clear(self, request: gr.Request) -> Form:
        """The clear button: the clip goes, and the answer with it."""
        self.services.uploads.release(str(request.session_hash))
        return blank(cards.empty_card(self.services.labels.names))._replace(audio=None)

    def on_save(
        self,
        analysed: Analysed | None,
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
        refusal = what_is_missing(analysed, vote, consent, self.services.labels)
        if analysed is None or analysed.audio is None or vote is None or refusal:
            return Form(status=status_line(refusal, "gentle"))
        recognised = analysed.recognition.transcript.text if analysed.recognition.transcript else ""
        labels = self.services.labels
        verdict, label = verdict_of(vote, labels.most_probable(analysed.recognition.fused.as_dict()))
        rater = voter(self.services, request, who)
        clip, _ = self.services.store.save_feedback(
            analysed.audio,
            analysed.recognition,
            NewVote(
                rater.name,
                verdict,
                label=label,
                intensity=intensity_of(intensity, rated),
                transcript=changed_transcript(transcript, recognised),
                may_replace=rater.proved,
                label_set=labels.names,
            ),
            NewClip(
                "page",
                speaker=speaker.strip() or None,
                session=str(request.session_hash),
                grants=grant(consent, rater.name, consent_words(consent)),
            ),
            model_version_id=analysed.model_version_id,
        )
        analysed.audio = None
        self.services.uploads.release(str(request.session_hash))
        said = f"Saved as clip {clip.id}: {label or 'unsure'}. You can undo it under History."
        form = blank(cards.empty_card(labels.names), live=said, status=status_line(said, "good"))
        return form._replace(audio=None, saved=clip.id, withdraw=gr.update(visible=True, value=f"Erase clip {clip.id}"))

    def on_withdraw(self, saved: int | None, who: Who, sure: bool, request: gr.Request) -> Form:
        """Erase the clip that was just saved, at once and wholly."""
        if saved is None or not sure:
            return Form()
        report = withdraw_own(self.services, person(self.services, request, who), saved)
        said = report.lines()[0]
        return Form(live=said, status=status_line(said, "good"), saved=None, withdraw=gr.update(visible=False))

    def _answers(self, path: str, session: str, adapt: bool) -> Iterator[Form]:
        serving = self.services.active_model.serving()
        recognizer, version = serving.recognizer, serving.version
        start = time.perf_counter()
        audio = decode_file(path, max_duration=recognizer.max_duration)
        decoding = time.perf_counter() - start
        shown: Recognition | None = None
        profiles = self.services.profiles.of(session) if adapt else PLAIN
        for step in self.services.turns.run(
            session, audio.duration, lambda: recognizer.recognize_steps(audio, profiles)
        ):
            if isinstance(step, Waiting):
                yield Form(card=cards.listening_card(self.services.labels.names, step.place))
                continue
            timings = replace(step.timings, decode=decoding, total=step.timings.total + decoding)
            recognition = replace(step, timings=timings)
            yield self._answer(Analysed(audio, recognition, version.id, Path(path).name), shown)
            shown = recognition
        if shown is not None:
            self.services.profiles.add(session, shown)

    def _keep(self, analysed: Analysed) -> None:
        """Hold a clip for its session; pages that are never seen again must not fill the memory with theirs."""
        with self._lock:
            self._kept.append(analysed)
            while sum(one.audio.signal.nbytes for one in self._kept if one.audio) > MOST_KEPT and len(self._kept) > 1:
                self._kept.popleft().audio = None

    def _answer(self, analysed: Analysed, shown: Recognition | None) -> Form:
        answer, labels = analysed.recognition, self.services.labels
        form = Form(
            card=presentation.answer_card(answer, labels),
            clip_line=cards.clip_line(answer.duration, analysed.audio.notes if analysed.audio else (), NOT_STORED),
        )
        # A field is filled when its value first comes, so that nothing a person has typed meanwhile is overwritten.
        if shown is None or shown.fused.label != answer.fused.label:
            best = labels.most_probable(answer.fused.as_dict())
            form = form._replace(vote=best, live=presentation.announcement(answer, labels))
        if answer.transcript and not (shown and shown.transcript):
            form = form._replace(transcript=answer.transcript.text)
        if not answer.complete:
            return form
        self._keep(analysed)
        return form._replace(
            analysed=analysed,
            live=presentation.announcement(answer, labels),
            details=cards.details_table(answer),
            answer_json=labels.answer(recognition_to_dict(answer, analysed.file)),
            save=gr.update(interactive=True),
        )


def what_is_missing(analysed: Analysed | None, vote: str | None, consent: list[str], labels: LabelSet = DEFAULT) -> str:
    """Explain why a vote cannot be saved yet; empty if it can."""
    if analysed is None:
        return "Record or choose a clip first."
    if analysed.audio is None:
        return "This clip was let go to make room for others. Record or choose it again."
    if vote is None:
        noun = "an emotion" if labels.is_default else "a label"
        return f"Choose {noun} first: keys {key_range(labels)}, or U if you are unsure."
    if not consent:
        return "Nothing was stored: without consent your clip stays yours. Tick what it may be used for, then save."
    return ""


def build_recognize_tab(services: Services, who: gr.BrowserState) -> None:
    """Lay out the tab and connect its events; `who` is what the browser says of itself."""
    analysed, labels = gr.State(None), services.labels
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=5, min_width=320):
            audio = _build_audio()
            with gr.Row(elem_classes="under-audio"):
                clip_line = gr.HTML(EMPTY_LINE, elem_id="clip-line", apply_default_css=False)
                clear = gr.Button("Clear", size="sm", scale=0, min_width=88, elem_id="recognize-clear")
            with gr.Accordion("Details: times, models, JSON", open=False):
                adapt = gr.Checkbox(
                    True,
                    label="Adapt to this microphone and room",
                    info=f"From {MIN_CLIPS} recordings on; forgotten when you close the page.",
                    elem_id="adapt",
                )
                details = gr.HTML("", apply_default_css=False)
                answer_json = gr.JSON(label="Answer as JSON", show_label=False, elem_id="answer-json")
        with gr.Column(scale=7, min_width=320):
            card = gr.HTML(cards.empty_card(labels.names), elem_id="answer-card", apply_default_css=False)
            live = gr.HTML("", elem_id="recognize-live", elem_classes="announcer", apply_default_css=False)
    with gr.Group(elem_id="recognize-form", elem_classes="panel"):
        fields = build_vote_fields("recognize", "Is that right?", label_choices(labels))
        with gr.Row(elem_classes="consent-row"):
            consent, speaker = build_consent()
            save = gr.Button("Save  ⏎", variant="primary", interactive=False, scale=0, min_width=150, elem_id="save")
        with gr.Row(elem_classes="save-row"):
            status = gr.HTML(status_line("", "good"), elem_id="save-status", apply_default_css=False)
            withdraw = gr.Button("", size="sm", visible=False, scale=0, min_width=150, elem_id="withdraw-saved")
    saved = gr.State(None)
    sure = gr.Checkbox(False, visible=False)

    voting = (fields.vote, fields.transcript, fields.intensity, fields.rated)
    form = Form(audio, analysed, card, live, clip_line, *voting, details, answer_json, save, status, saved, withdraw)
    handlers = RecognizeHandlers(services)
    _connect_clip(handlers, form, adapt, clear)
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
        [analysed, *voting, speaker, consent, who],
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


def _connect_clip(handlers: RecognizeHandlers, form: Form, adapt: gr.Checkbox, clear: gr.Button) -> None:
    """A clip comes, is taken away by the player's own cross, or is cleared."""
    outputs, audio = list(form), cast(gr.Audio, form.audio)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    answering = audio.input(
        shows_errors(handlers.on_audio),
        [audio, adapt],
        outputs,
        trigger_mode="always_last",
        concurrency_limit=MOST_WAITING,
        concurrency_id="recognition",
        **quiet,
    )
    audio.change(handlers.on_change, [audio, form.analysed], outputs, queue=False, **quiet)
    clear.click(handlers.on_clear, None, outputs, cancels=answering, **quiet)
