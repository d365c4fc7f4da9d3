"""The endpoint `/converse` for programs; its components are never drawn."""

from collections.abc import Callable

import gradio as gr

from ser.timeline.timeline import AUTO, CHANNEL_MODES
from ui.backend.turns import RECOGNITION
from ui.parts.errors import shows_errors


def build_endpoint(converse: Callable[..., dict[str, object]]) -> None:
    """Add the endpoint.

    Args:
        converse: answers a transcript, or a recording and the way with its channels.
    """
    with gr.Row(visible=False):
        trigger = gr.Button()
        written = gr.Textbox(label="a transcript; empty if audio is given", value="")
        talk = gr.Audio(label="a recording of at most 15 minutes, or null", type="filepath", value=None)
        way = gr.Textbox(label=f"one of {', '.join(CHANNEL_MODES)}; {AUTO} where empty", value=AUTO)
        answer = gr.JSON(label="the conversation, as `python -m ser converse --json` prints it")
    trigger.click(
        shows_errors(converse),
        [written, talk, way],
        [answer],
        api_name="converse",
        api_description=converse.__doc__,
        **RECOGNITION,
    )
