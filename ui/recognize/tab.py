"""The first tab: record or choose a clip, see the answer grow, confirm or correct it, store it with consent."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from annotations.store import NewClip, NewVote, grant
from ser.audio.decoding import decode_file
from ser.audio.denoising import denoise
from ser.audio.long_recordings import decode_beginning
from ser.encoder.profiles import PLAIN, Profiles
from ser.errors import RecordingTooLongError, SerError
from ser.serialization import recognition_to_dict
from ser.types import Recognition
from ui.backend.identity import Who, charge, label_texts, person, voter
from ui.backend.services import Services
from ui.backend.turns import RECOGNITION, Waiting
from ui.clips.acts import withdraw_own
from ui.live.panel import build_live
from ui.parts import presentation
from ui.parts.calls import Act
from ui.parts.errors import shows_errors
from ui.parts.handlers import QUIET, from_fields
from ui.parts.palette import Texts, label_choices
from ui.parts.presentation import status_line
from ui.recognize import cards
from ui.recognize.capture import Capture, build_capture, trained_line
from ui.recognize.examples import ExampleAnswers, find_example
from ui.recognize.face import build_face, connect_face, to_store
from ui.recognize.form import (
    EMPTY_LINE,
    EXAMPLE_NOT_SAVED,
    Analysed,
    Form,
    KeptClips,
    SentForm,
    blank,
    build_consent,
    build_details,
    consent_words,
    what_is_missing,
)
from ui.recognize.neutral import adapted_to, build_neutral
from ui.recognize.votes import build_vote_fields, changed_transcript, intensity_of, verdict_of
from ui.recognize.why import build_why
from ui.timeline.panel import TimelineHandlers, build_timeline

ASK = "Erase the clip that you have just saved, with everything made of it? This cannot be undone."
LEAD = (
    '<p class="lead">Record or upload speech: see which emotion it sounds like, how sure that is, and what was said. '
    "Then correct it.</p>"
)


class RecognizeHandlers:
    """Events of this tab, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._examples = ExampleAnswers()
        self._kept = KeptClips()

    def on_audio(
        self,
        path: str | None,
        adapt: bool,
        request: gr.Request,
        clean: bool = False,
        speaker: str = "",
        who: Who = None,
        *,
        cut: bool = False,
    ) -> Iterator[Form]:
        """A clip was recorded or chosen: yield the answer as it grows, or why there is none.

        Args:
            path: of the clip.
            adapt: whether to adapt to what the session's earlier clips have in common.
            request: says whose session it is.
            clean: whether to reduce the noise first; what is saved is the clip as it came.
            speaker: who is named as speaking; their voice counts if `who` keeps one.
            who: says what the browser says of itself.
            cut: whether only the beginning counts, as much as is accepted.
        """
        if path is None:
            yield Form()  # Without a yield every output would be emptied, down to the words on the buttons.
            return
        session = str(request.session_hash)
        self.services.uploads.hold(session, path)
        yield blank(cards.listening_card(self._texts(request)))
        try:
            charge(self.services, request, "recognitions")
            profiles = self.services.profiles.of(session) if adapt else PLAIN
            profiles = adapted_to(self.services, profiles, speaker, who, request)
            yield from self._answers(path, request, profiles, clean, cut)
        except RecordingTooLongError as error:
            yield blank(cards.refusal_card(str(error), self._texts(request)), live=str(error))._replace(
                beginning=gr.update(visible=True), whole=gr.update(visible=True)
            )
        except SerError as error:
            self.services.uploads.release(session)
            # The player goes as well: it could only show a recording that no browser can play, or that holds nothing.
            yield blank(cards.refusal_card(str(error), self._texts(request)), live=str(error))._replace(audio=None)

    def on_beginning(
        self, path: str | None, adapt: bool, request: gr.Request, clean: bool, speaker: str, who: Who
    ) -> Iterator[Form]:
        """The beginning of a recording that is too long is to be analysed."""
        yield from self.on_audio(path, adapt, request, clean, speaker, who, cut=True)

    def on_example(self, label: str | None, request: gr.Request) -> Iterator[Form]:
        """An example was chosen: its sound, and its answer, which is computed once for all visitors."""
        example = find_example(label)
        self.services.uploads.release(str(request.session_hash))
        yield blank(
            cards.listening_card(self._texts(request)), status=status_line(EXAMPLE_NOT_SAVED, "quiet")
        )._replace(audio=str(example.path))
        serving = self.services.active_model.serving()
        recognizer = serving.recognizer
        audio = decode_file(example.path, max_duration=recognizer.max_duration)
        models = (serving.version.id, *recognizer.models.values(), recognizer.fusion)
        shown: Recognition | None = None

        def answer() -> Iterator[Recognition | Waiting]:
            charge(self.services, request, "recognitions")
            session = str(request.session_hash)
            yield from self.services.answers(session, audio.duration, lambda: recognizer.recognize_steps(audio))

        for step in self._examples.steps(example, models, answer):
            if isinstance(step, Waiting):
                yield Form(card=cards.listening_card(self._texts(request), step.place))
                continue
            yield self._answer(Analysed(audio, step, serving.version.id, example.file, example.caption), shown, request)
            shown = step

    def on_change(self, path: str | None, analysed: Analysed | None, request: gr.Request) -> Form:
        """The clip was taken away by a person: forget it, on the disk and in memory."""
        if path is not None:
            return Form()
        self.services.uploads.release(str(request.session_hash))
        return Form() if analysed is None else blank(cards.empty_card(self._texts(request)))

    def on_clear(self, request: gr.Request) -> Form:
        """The clear button: the clip goes, and the answer with it."""
        self.services.uploads.release(str(request.session_hash))
        return blank(cards.empty_card(self._texts(request)))._replace(audio=None)

    def on_save(self, sent: SentForm, who: Who, request: gr.Request) -> Form:
        """Store clip, answer and vote, given consent; without consent say so and store nothing."""
        analysed, labels = sent.analysed, self.services.labels
        refusal = what_is_missing(analysed, sent.vote, sent.consent, labels)
        if analysed is None or analysed.audio is None or sent.vote is None or refusal:
            return Form(status=status_line(refusal, "gentle"))
        rater = voter(self.services, request, who)
        recognition, face = to_store(analysed, sent.keep_face, rater.name)
        recognised = recognition.transcript.text if recognition.transcript else ""
        verdict, label = verdict_of(sent.vote, labels.most_probable(recognition.fused.as_dict()))
        clip, _ = self.services.store.save_feedback(
            analysed.audio,
            recognition,
            NewVote(
                rater.name,
                verdict,
                label=label,
                intensity=intensity_of(sent.intensity, sent.rated),
                transcript=changed_transcript(sent.transcript, recognised),
                may_replace=rater.proved,
                label_set=labels.names,
            ),
            NewClip(
                "page",
                speaker=sent.speaker.strip() or None,
                session=str(request.session_hash),
                grants=grant(sent.consent, rater.name, consent_words(sent.consent)),
                face=face,
            ),
            model_version_id=analysed.model_version_id,
        )
        analysed.audio = None
        self.services.uploads.release(str(request.session_hash))
        said = f"Saved as clip {clip.id}: {label or 'unsure'}. You can take it back under Clips."
        form = blank(cards.empty_card(self._texts(request)), live=said, status=status_line(said, "good"))
        return form._replace(audio=None, saved=clip.id, withdraw=gr.update(visible=True, value=f"Erase clip {clip.id}"))

    def on_withdraw(self, saved: int | None, who: Who, sure: bool, request: gr.Request) -> Form:
        """Erase the clip that was just saved, at once and wholly."""
        if saved is None or not sure:
            return Form()
        report = withdraw_own(self.services.store, person(self.services, request, who), saved)
        said = report.lines()[0]
        return Form(live=said, status=status_line(said, "good"), saved=None, withdraw=gr.update(visible=False))

    def on_labels(self, analysed: Analysed | None, request: gr.Request) -> Form:
        """The page opens, or the labels have changed: the buttons, and the answer if there is one, in these labels."""
        labels, texts = self.services.labels, self._texts(request)
        card = presentation.answer_card(analysed.recognition, labels, texts) if analysed else cards.empty_card(texts)
        return Form(card=card, vote=gr.update(choices=label_choices(labels, texts)))

    def _texts(self, request: gr.Request) -> Texts:
        return label_texts(self.services.labels, request)

    def _answers(self, path: str, request: gr.Request, profiles: Profiles, clean: bool, cut: bool) -> Iterator[Form]:
        session, serving = str(request.session_hash), self.services.active_model.serving()
        recognizer, version = serving.recognizer, serving.version
        start = time.perf_counter()
        limit = recognizer.max_duration
        with self.services.measures.timed("decode"):
            audio = decode_beginning(path, limit) if cut and limit else decode_file(path, max_duration=limit)
            sound = denoise(audio) if clean else audio
        decoding = time.perf_counter() - start
        shown: Recognition | None = None
        for step in self.services.answers(session, audio.duration, lambda: recognizer.recognize_steps(sound, profiles)):
            if isinstance(step, Waiting):
                yield Form(card=cards.listening_card(self._texts(request), step.place))
                continue
            timings = replace(step.timings, decode=decoding, total=step.timings.total + decoding)
            recognition = replace(step, timings=timings)
            found = Analysed(audio, recognition, version.id, Path(path).name, profiles=profiles)
            yield self._answer(found, shown, request)
            shown = recognition
        if shown is not None:
            self.services.profiles.add(session, shown, audio)

    def _answer(self, analysed: Analysed, shown: Recognition | None, request: gr.Request) -> Form:
        answer, labels, texts = analysed.recognition, self.services.labels, self._texts(request)
        form = Form(
            card=presentation.answer_card(answer, labels, texts),
            clip_line=cards.clip_line(
                answer.duration, analysed.audio.notes if analysed.audio else (), analysed.example or "not stored"
            ),
        )
        # Filled when its value first comes, so that nothing a person has typed meanwhile is overwritten.
        if shown is None or shown.fused.label != answer.fused.label:
            # The value alone: where choices come with it and the next step follows at once, the browser drops it.
            best = labels.most_probable(answer.fused.as_dict())
            form = form._replace(vote=best, live=presentation.announcement(answer, labels, texts))
        if answer.transcript and not (shown and shown.transcript):
            form = form._replace(transcript=answer.transcript.text)
        if not answer.complete:
            return form
        if not analysed.example:
            self._kept.keep(analysed)
        return form._replace(
            analysed=analysed,
            live=presentation.announcement(answer, labels, texts),
            details=cards.details_table(answer),
            answer_json=labels.answer(recognition_to_dict(answer, analysed.file)),
            save=gr.update(interactive=not analysed.example),
        )


def build_recognize_tab(services: Services, demo: gr.Blocks, who: gr.BrowserState) -> dict[str, Act]:
    """Lay out the tab and connect its events; `who` is what the browser says of itself.

    Returns:
        {name: function} of what the tab's script asks for.
    """
    analysed, labels = gr.State(None), services.labels
    gr.HTML(LEAD, elem_id="lead", apply_default_css=False)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=5, min_width=320):
            capture = build_capture(services.recognizer.max_duration, EMPTY_LINE)
        with gr.Column(scale=7, min_width=320):
            card = gr.HTML(cards.empty_card(labels.texts("")), elem_id="answer-card", apply_default_css=False)
            gr.HTML(
                trained_line(services.active_model.base_version.name), elem_id="trained-on", apply_default_css=False
            )
            live = gr.HTML("", elem_id="recognize-live", elem_classes="announcer", apply_default_css=False)
    with gr.Group(elem_id="recognize-form", elem_classes="panel"):
        fields = build_vote_fields("recognize", "Is that right?", label_choices(labels))
        with gr.Row(elem_classes="consent-row"):
            consent, speaker = build_consent()
            save = gr.Button("Save  ⏎", variant="primary", interactive=False, scale=0, min_width=150, elem_id="save")
        with gr.Row(elem_classes="save-row"):
            status = gr.HTML(status_line("", "good"), elem_id="save-status", apply_default_css=False)
            withdraw = gr.Button("", size="sm", visible=False, scale=0, min_width=150, elem_id="withdraw-saved")
    why = build_why(services, analysed)
    build_neutral(services, analysed, who)
    face = build_face(services)
    recorded = build_live(services, capture)
    timelines = TimelineHandlers(services)
    over_time = build_timeline(timelines, capture)
    adapt, clean, details, answer_json = build_details()
    saved = gr.State(None)

    voting = (fields.vote, fields.transcript, fields.intensity, fields.rated)
    form = Form(
        capture.audio, analysed, card, live, capture.clip_line, *voting, details, answer_json, save, status, saved,
        withdraw, consent, capture.beginning, capture.whole, why, over_time,
        face.picture, face.said, face.keep,
    )  # fmt: skip
    handlers = RecognizeHandlers(services)
    _connect_clip(handlers, form, [capture.audio, adapt, clean, speaker, who], capture, recorded)
    connect_face(services, face, form)
    # Pressed by the page's script as well, when the labels have changed.
    relabelled = gr.Button("", elem_id="labels-changed", elem_classes="pressed-by-script")
    # Not queued: answers of the queue come uncompressed, and this one comes with every first load.
    gr.on([demo.load, relabelled.click], shows_errors(handlers.on_labels), analysed, list(form), queue=False, **QUIET)
    sent = [analysed, *voting, speaker, consent, face.keep, who]
    _connect_saving(handlers, form, sent, [save.click, fields.transcript.submit, speaker.submit], withdraw)
    return timelines.acts()


def _connect_saving(
    handlers: RecognizeHandlers, form: Form, sent: list[Component], saves: list[Any], withdraw: gr.Button
) -> None:
    """The form is saved, or the clip that was just saved is taken back."""
    who, sure = sent[-1], gr.Checkbox(False, visible=False)
    gr.on(saves, shows_errors(from_fields(handlers.on_save)), sent, list(form), trigger_mode="once", **QUIET)
    withdraw.click(
        shows_errors(handlers.on_withdraw),
        # What the server keeps is out of a script's reach: whether they are sure travels on its own.
        [form.saved, who, sure],
        list(form),
        js=f"(saved, who) => [saved, who, confirm({ASK!r})]",
        trigger_mode="once",
        **QUIET,
    )


def _connect_clip(
    handlers: RecognizeHandlers, form: Form, given: list[Component], capture: Capture, recorded: gr.events.Dependency
) -> None:
    """A clip comes, is taken away by the player's own cross, or is cleared."""
    outputs, audio = list(form), capture.audio
    heavy = {**RECOGNITION, **QUIET}
    answering = [
        audio.input(shows_errors(handlers.on_audio), given, outputs, trigger_mode="always_last", **heavy),
        recorded.then(shows_errors(handlers.on_audio), given, outputs, **heavy),
        capture.beginning.click(shows_errors(handlers.on_beginning), given, outputs, trigger_mode="once", **heavy),
        capture.examples.submit(
            shows_errors(handlers.on_example), capture.examples, outputs, trigger_mode="always_last", **heavy
        ),
    ]
    audio.change(shows_errors(handlers.on_change), [audio, form.analysed], outputs, queue=False, **QUIET)
    capture.clear.click(shows_errors(handlers.on_clear), None, outputs, cancels=answering, **QUIET)
