"""The one endpoint that the page's own scripts call: a named act with its values, one JSON object back.

It carries what must come at once, next clips and votes, past Gradio's components. Not part of the public API.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from ser.errors import SerError

Given = Mapping[str, Any]
Act = Callable[[Given, gr.Request], dict[str, object]]
"""Takes what the browser sent, `who` (name and key) among it."""


def build_calls(acts: Mapping[str, Act]) -> None:
    """Add the endpoint.

    Args:
        acts: {name: function}.
    """

    def page(act: str, given: dict, request: gr.Request) -> dict:
        """Do one act for the page's own scripts."""
        return run_act(acts, act, given, request)

    # Not queued: one request and its answer, which is what makes a vote quick.
    gr.api(page, api_name="page", queue=False, api_visibility="private")


def run_act(acts: Mapping[str, Act], name: str, given: Given, request: gr.Request) -> dict[str, object]:
    """Do an act; an error is returned as `{"error": sentence}`."""
    act = acts.get(name)
    if act is None:
        return {"error": f"The page asked for '{name}', which is not known here. Load the page again."}
    try:
        return act(given, request)
    except SerError as error:
        return {"error": str(error)}
