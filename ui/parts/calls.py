"""The one endpoint that the page's own scripts call: a named act with its values, one JSON object back.

It carries what must come at once, next clips and votes, past Gradio's components. Not part of the public API.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from ser.errors import SerError
from ui.parts.errors import sentence

Given = Mapping[str, Any]
Act = Callable[[Given, gr.Request], dict[str, object]]
"""Takes what the browser sent, `who` (name and key) among it."""


def build_calls(acts: Mapping[str, Act]) -> None:
    """Add the endpoint.

    Args:
        acts: {name: function}.
    """

    def page(act: Any, given: Any, request: gr.Request) -> dict:
        """Do one act for the page's own scripts."""
        return run_act(acts, act, given, request)

    # Not queued: one request and its answer, which is what makes a vote quick.
    gr.api(page, api_name="page", queue=False, api_visibility="private")


def run_act(acts: Mapping[str, Act], name: object, given: object, request: gr.Request) -> dict[str, object]:
    """Do an act; an error is returned as `{"error": sentence}`."""
    act = acts.get(name) if isinstance(name, str) else None
    if act is None:
        return {"error": f"The page asked for '{name}', which is not known here. Load the page again."}
    if not isinstance(given, Mapping):
        return {"error": f"The values of '{name}' are of type {type(given).__name__}; expected {{name: value}}."}
    try:
        return act(given, request)
    except Exception as error:
        return {"error": sentence(error)}


def whole_number(given: Given, name: str, default: int | None = None) -> int:
    """A whole number, such as an id, of what the browser sent.

    Raises:
        SerError: if it is none.

    >>> whole_number({"clip": 7.0}, "clip"), whole_number({}, "version", 2)
    (7, 2)
    """
    value = given.get(name)
    return as_whole(default if value is None else value, name)


def as_whole(value: object, name: str) -> int:
    """A value as a whole number that a database can hold.

    Raises:
        SerError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1 or abs(value) >= 2**53:
        raise SerError(f"{name} is {_shown(value)}; expected a whole number.")
    return int(value)


def whole_numbers(given: Given, name: str) -> list[int]:
    """Whole numbers, none if nothing was sent, as `whole_number`."""
    values = given.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise SerError(f"{name} is {_shown(values)}; expected a list of whole numbers.")
    return [whole_number({name: value if value is not None else ""}, name) for value in values]


def fields_of(given: Given, name: str) -> Mapping[str, Any]:
    """A group of values, empty if nothing was sent.

    Raises:
        SerError: if it is something else.
    """
    values = given.get(name) or {}
    if not isinstance(values, Mapping):
        raise SerError(f"{name} is {_shown(values)}; expected {{name: value}}.")
    return values


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
