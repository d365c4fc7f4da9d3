"""Reading a few sentences first: a visitor's neutral voice, which their next answers are adapted by."""

import gradio as gr

from ser.acoustic.sounds import neutral_profile
from ser.errors import SerError
from ui.backend.identity import charge
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.presentation import counted, status_line
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


class NeutralHandlers:
    """The two events."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_neutral(self, analysed: Analysed | None, request: gr.Request) -> str:
        """Take the clip that is on the page for the visitor's neutral voice."""
        if analysed is None or analysed.audio is None or analysed.example:
            return status_line("Record the sentences first.", "gentle")
        charge(self.services, request, "recognitions")
        try:
            profile = neutral_profile(self.services.recognizer.acoustic, analysed.audio, analysed.recognition.speech)
        except SerError as error:
            return status_line(str(error), "gentle")
        self.services.profiles.set_neutral(str(request.session_hash), profile)
        return status_line(f"Your next answers are adapted to {counted(profile.clips, 'neutral sentence')}.")

    def on_forget(self, request: gr.Request) -> str:
        """Forget the neutral voice."""
        self.services.profiles.set_neutral(str(request.session_hash), None)
        return status_line("Forgotten: answers are no longer adapted to a neutral voice.", "quiet")


def build_neutral(services: Services, analysed: gr.State) -> None:
    """Lay out the part and connect its events."""
    handlers = NeutralHandlers(services)
    with gr.Accordion("Adapt to a voice", open=False, elem_id="recognize-neutral"):
        gr.HTML(f'<div class="neutral">{LEAD}{EXPECTED}</div>', apply_default_css=False)
        with gr.Row():
            use = gr.Button("Use this clip as my neutral voice", size="sm", elem_id="use-neutral")
            forget = gr.Button("Forget it", size="sm", scale=0, min_width=120, elem_id="forget-neutral")
        said = gr.HTML(status_line("", "quiet"), elem_id="neutral-status", apply_default_css=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    use.click(shows_errors(handlers.on_neutral), analysed, said, trigger_mode="once", **quiet)
    forget.click(shows_errors(handlers.on_forget), None, said, **quiet)
