"""Endpoints that recognise a recording, follow it over time or explain its answer; nothing is stored."""

import dataclasses
import time

import gradio as gr

from ser.audio import denoising
from ser.audio.decoding import decode_file
from ser.audio.long_recordings import read_long
from ser.errors import SerError
from ser.recognizer import Recognizer
from ser.serialization import recognition_to_dict
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO, CHANNEL_MODES
from ser.types import Audio, Recognition
from ui.backend.identity import charge
from ui.backend.limits import EXPLANATION_COST, MAX_TIMELINE_DURATION, TIMELINE_BUDGET
from ui.backend.services import Services
from ui.backend.turns import last_step
from ui.parts.handlers import add_endpoint


class AnswerHandlers:
    """The endpoints; the names of the arguments are the names of their parameters."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def recognize(
        self, audio: str | None = None, denoise: bool = False, request: gr.Request | None = None
    ) -> dict[str, object]:
        """Recognise one recording; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            serving = self.services.active_model.serving()
            start = time.perf_counter()
            with self.services.measures.timed("decode"):
                recording = decode_file(path, max_duration=serving.recognizer.max_duration)
                recording = denoising.denoise(recording) if denoise else recording
            decoding = time.perf_counter() - start
            answer = answer_in_turn(self.services, serving.recognizer, recording, request)
            timings = dataclasses.replace(answer.timings, decode=decoding, total=answer.timings.total + decoding)
            answer = dataclasses.replace(answer, timings=timings)
            return self.services.labels.answer(recognition_to_dict(answer, file=path.name))

    def timeline(
        self, audio: str | None = None, channels: str = AUTO, speakers: str = OFF, request: gr.Request | None = None
    ) -> dict[str, object]:
        """Find which feeling is when in a long recording; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            recognizer = self.services.active_model.serving().recognizer
            recording = read_long(path, MAX_TIMELINE_DURATION)
            charge(self.services, request, "recognitions", amount=max(1.0, recording.duration / 60.0))
            turns = self.services.answers(
                str(request.session_hash) if request else "",
                recording.duration,
                lambda: iter([recognizer.timeline(recording, channels or AUTO, speakers=speakers or OFF)]),
                budget=TIMELINE_BUDGET,
            )
            return last_step(turns).as_dict(file=path.name)

    def explain(
        self, audio: str | None = None, label: str = "", request: gr.Request | None = None
    ) -> dict[str, object]:
        """Explain the answer to a recording: which moments, bands and words moved it; nothing of it is stored."""
        if audio is None:
            raise SerError("No audio was given. Send a file under `audio`.")
        with self.services.uploads.borrow(audio) as path:
            recognizer = self.services.active_model.serving().recognizer
            recording = decode_file(path, max_duration=recognizer.max_duration)
            charge(self.services, request, "recognitions", amount=EXPLANATION_COST)
            connection = str(request.session_hash) if request else ""
            steps = self.services.answers(
                connection, recording.duration, lambda: iter([recognizer.explain(recording, label=label or None)])
            )
            return last_step(steps).as_dict(file=path.name)


def answer_in_turn(
    services: Services, recognizer: Recognizer, recording: Audio, request: gr.Request | None
) -> Recognition:
    """Recognise a recording when its turn comes."""
    charge(services, request, "recognitions")
    connection = str(request.session_hash) if request else ""
    return last_step(services.answers(connection, recording.duration, lambda: recognizer.recognize_steps(recording)))


def build_answer_endpoints(services: Services) -> None:
    """Add the endpoints; their components are never drawn."""
    handlers = AnswerHandlers(services)
    with gr.Row(visible=False):
        trigger = gr.Button()
        recording = gr.Audio(label="a recording of speech, at most a minute", type="filepath")
        clean = gr.Checkbox(False, label=f"reduce noise first; the server needs {denoising.PACKAGE}")
        answer = gr.JSON(label="the answer, as `python -m ser recognize --json` prints it")
        talk = gr.Audio(label="a recording of at most 15 minutes", type="filepath")
        channels = gr.Textbox(label=f"one of {', '.join(CHANNEL_MODES)}; {AUTO} where empty", value=AUTO)
        voices = gr.Textbox(label="speakers of one channel: off, auto, or how many are told apart", value=OFF)
        regions = gr.JSON(label="the timeline, as `python -m ser timeline --json` prints it")
        puzzling = gr.Audio(label="a recording of speech, at most a minute, to explain", type="filepath")
        label = gr.Textbox(label="the label to explain; the most probable one where empty", value="")
        reasons = gr.JSON(label="the explanation, as `python -m ser explain --json` prints it")
    add_endpoint(trigger, handlers.recognize, [recording, clean], [answer], heavy=True)
    add_endpoint(trigger, handlers.timeline, [talk, channels, voices], [regions], heavy=True)
    add_endpoint(trigger, handlers.explain, [puzzling, label], [reasons], heavy=True)
