"""The endpoint `/converse` for programs; its components are never drawn."""

from collections.abc import Callable

import gradio as gr

from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO, CHANNEL_MODES
from ui.backend.turns import MOST_WAITING
from ui.parts.errors import shows_errors


def build_endpoint(converse: Callable[..., dict[str, object]]) -> None:
    """Add the endpoint.

    Args:
        converse: answers a transcript, or a recording and the way with its channels and speakers.
    """
    with gr.Row(visible=False):
        trigger = gr.Button()
        written = gr.Textbox(label="a transcript; empty if audio is given", value="")
        talk = gr.Audio(label="a recording of at most 15 minutes, or null", type="filepath", value=None)
        way = gr.Textbox(label=f"one of {', '.join(CHANNEL_MODES)}; {AUTO} where empty", value=AUTO)
        voices = gr.Textbox(label="speakers of one channel: off, auto, or how many are told apart", value=OFF)
        answer = gr.JSON(label="the conversation, as `python -m ser converse --json` prints it")
    trigger.click(
        shows_errors(converse),
        [written, talk, way, voices],
        [answer],
        api_name="converse",
        api_description=converse.__doc__,
        concurrency_limit=MOST_WAITING,
        concurrency_id="recognition",
    )
