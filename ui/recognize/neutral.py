"""Reading a few sentences first: a visitor's neutral voice, which their next answers are adapted by.

It is forgotten with the session, or kept in the store for good under the speaker's name, if the person agrees.
"""

from dataclasses import replace

import gradio as gr

from annotations.raters.voices import find_voice, forget_voice, keep_voice, list_voices
from annotations.store.new_records import check_name
from ser.acoustic.sounds import neutral_profile
from ser.encoder.profiles import Profiles
from ser.errors import SerError
from ser.wording import counted
from ui.backend.identity import ANONYMOUS, Who, charge, person, voter
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.handlers import QUIET
from ui.parts.presentation import status_line
from ui.recognize.form import Analysed

SENTENCES = (
    "The train to the coast leaves at nine.",
    "She put the keys on the kitchen table.",
    "There are twelve chairs in the large room.",
    "We bought bread and milk on the way home.",
    "The window on the left faces a quiet street.",
)
LEAD = (
    "<p>Record these sentences in one go, calmly, as you read a timetable, or five of your own in any language. Then "
    "press the button: your next answers are adapted to your neutral voice, until you close the page.</p><ol>"
    + "".join(f"<li>{sentence}</li>" for sentence in SENTENCES)
    + "</ol>"
)
EXPECTED = (
    '<p class="quiet">It helps most with voices unlike those that the model knows: with four sentences of speakers '
    "left out, ten points of recall were gained in Polish (nEMO), one on CREMA-D, and one was lost on RAVDESS.</p>"
)


KEEP = "Keep it for good: statistics of these sentences, no sound"
KEEP_INFO = "Used again when this speaker is named. You can delete it here at any time."
UNCHANGED = (gr.skip(), gr.skip())
NOBODY = "Say who you are at the top of the page first: a voice that is kept belongs to its person."


def adapted_to(services: Services, profiles: Profiles, speaker: str, who: Who, request: gr.Request) -> Profiles:
    """The profiles with the voice that this person keeps of the speaker who is named, if there is one."""
    if not speaker.strip():
        return profiles
    voice = find_voice(services.store, speaker, person(services, request, who).name)
    return profiles if voice is None else replace(profiles, neutral=voice)


class NeutralHandlers:
    """The events; each returns what is said, and those that change what is kept the list of it."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_neutral(
        self, analysed: Analysed | None, speaker: str, keep: bool, who: Who, request: gr.Request
    ) -> tuple[str, object, object]:
        """Take the clip that is on the page for the visitor's neutral voice."""
        if analysed is None or analysed.audio is None or analysed.example:
            return status_line("Record the sentences first.", "gentle"), *UNCHANGED
        if keep and check_name("The speaker", speaker) is None:
            return status_line("Say whose voice it is; a pseudonym will do.", "gentle"), *UNCHANGED
        charge(self.services, request, "recognitions")
        try:
            profile = neutral_profile(self.services.recognizer.acoustic, analysed.audio, analysed.recognition.speech)
        except SerError as error:
            return status_line(str(error), "gentle"), *UNCHANGED
        self.services.profiles.set_neutral(str(request.session_hash), profile)
        said = f"Your next answers are adapted to {counted(profile.clips, 'neutral sentence')}."
        if not keep:
            return status_line(said), *UNCHANGED
        if person(self.services, request, who).name == ANONYMOUS:
            return status_line(NOBODY, "gentle"), *UNCHANGED
        rater = voter(self.services, request, who)
        kept = keep_voice(self.services.store, speaker, rater.name, profile, KEEP)
        return status_line(f"{said} Kept as the voice of {kept.speaker}."), *self._listed(who, request, kept.speaker)

    def on_open(self, who: Who, request: gr.Request) -> tuple[object, object]:
        """The part was opened: list the voices that this person keeps."""
        return self._listed(who, request, None)

    def on_use(self, speaker: str | None, who: Who, request: gr.Request) -> str:
        """Adapt to a voice that is kept, until the page is closed."""
        voice = find_voice(self.services.store, speaker or "", person(self.services, request, who).name)
        if voice is None:
            return status_line("Choose a voice that is kept.", "gentle")
        self.services.profiles.set_neutral(str(request.session_hash), voice)
        return status_line(f"Your next answers are adapted to {counted(voice.clips, 'neutral sentence')}.")

    def on_delete(self, speaker: str | None, who: Who, request: gr.Request) -> tuple[str, object, object]:
        """Erase a voice that is kept."""
        if not speaker:
            return status_line("Choose a voice that is kept.", "gentle"), *UNCHANGED
        try:
            forget_voice(self.services.store, speaker, person(self.services, request, who).name)
        except SerError as error:
            return status_line(str(error), "gentle"), *self._listed(who, request, None)
        self.services.profiles.set_neutral(str(request.session_hash), None)
        return status_line(f"The voice of {speaker} was deleted."), *self._listed(who, request, None)

    def _listed(self, who: Who, request: gr.Request, chosen: str | None) -> tuple[object, object]:
        voices = list_voices(self.services.store, person(self.services, request, who).name)
        choices = [
            (f"{one.speaker} · {counted(one.clips, 'sentence')} · {one.created_at[:10]}", one.speaker) for one in voices
        ]
        return gr.update(choices=choices, value=chosen), gr.update(visible=bool(voices))

    def on_forget(self, request: gr.Request) -> str:
        """Forget the neutral voice."""
        self.services.profiles.set_neutral(str(request.session_hash), None)
        return status_line("Forgotten: answers are no longer adapted to a neutral voice.", "quiet")


def build_neutral(services: Services, analysed: gr.State, who: gr.BrowserState) -> None:
    """Lay out the part and connect its events."""
    handlers = NeutralHandlers(services)
    with gr.Accordion("Adapt to a voice", open=False, elem_id="recognize-neutral") as part:
        gr.HTML(f'<div class="neutral">{LEAD}{EXPECTED}</div>', apply_default_css=False)
        keep = gr.Checkbox(False, label=KEEP, info=KEEP_INFO, elem_id="keep-neutral")
        speaker = gr.Textbox(
            label="Whose voice is it?", placeholder="a pseudonym", max_length=80, elem_id="neutral-speaker"
        )
        with gr.Row():
            use = gr.Button("Use this clip as my neutral voice", size="sm", elem_id="use-neutral")
            forget = gr.Button("Forget it", size="sm", scale=0, min_width=120, elem_id="forget-neutral")
        with gr.Column(visible=False) as shelf:
            kept = gr.Dropdown([], label="Voices that you keep", elem_id="kept-voices")
            with gr.Row():
                again = gr.Button("Use this voice", size="sm", elem_id="use-kept-voice")
                delete = gr.Button("Delete it for good", size="sm", scale=0, min_width=160, elem_id="delete-voice")
        said = gr.HTML(status_line("", "quiet"), elem_id="neutral-status", apply_default_css=False)
    taken = [analysed, speaker, keep, who]
    use.click(shows_errors(handlers.on_neutral), taken, [said, kept, shelf], trigger_mode="once", **QUIET)
    part.expand(shows_errors(handlers.on_open), who, [kept, shelf], **QUIET)
    again.click(shows_errors(handlers.on_use), [kept, who], said, **QUIET)
    delete.click(shows_errors(handlers.on_delete), [kept, who], [said, kept, shelf], trigger_mode="once", **QUIET)
    forget.click(shows_errors(handlers.on_forget), None, said, **QUIET)
