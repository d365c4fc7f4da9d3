"""Adapters between handlers and Gradio: records for handlers of many components, endpoints for programs."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_type_hints

import gradio as gr
from gradio.components import Component

from ui.backend.turns import RECOGNITION
from ui.parts.errors import shows_errors

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of an event of the page: no endpoint for programs, and no progress bar of Gradio's."""


def from_fields(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Adapt a handler whose first argument is a record to Gradio, which passes one value for each component.

    The result takes the record's fields in their order, then the handler's other arguments; an endpoint's parameters
    bear the names of the fields.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Named:
    ...     first: str
    ...     last: str = "?"
    >>> def greet(named: Named, mark: str = "!") -> str:
    ...     return f"{named.first} {named.last}{mark}"
    >>> from_fields(greet)("Ann", "Lee", "."), from_fields(greet)("Ann")
    ('Ann Lee.', 'Ann ?!')
    """
    hints, signature = get_type_hints(handler), inspect.signature(handler)
    first, *rest = signature.parameters.values()
    record = hints[first.name]
    fields = [*inspect.signature(record).parameters.values()]
    if any(one.default is one.empty for one in rest):  # Nothing that may be left out comes before what may not.
        fields = [field.replace(default=field.empty) for field in fields]
    signature = signature.replace(parameters=[*fields, *rest])

    def called(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        values = {field.name: given.pop(field.name) for field in fields if field.name in given}
        return handler(record(**values), **given)

    @functools.wraps(handler)
    def call(*args: Any, **kwargs: Any) -> Any:
        return called(args, kwargs)

    @functools.wraps(handler)
    def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from called(args, kwargs)

    adapted: Any = generate if inspect.isgeneratorfunction(handler) else call
    # What Gradio reads the parameters and the place of the request from.
    adapted.__signature__ = signature
    adapted.__annotations__ = {**{field.name: field.annotation for field in fields}, **hints}
    return adapted


def add_endpoint(
    trigger: gr.Button,
    handler: Callable[..., Any],
    inputs: Sequence[Component],
    outputs: Sequence[Component],
    *,
    heavy: bool = False,
) -> None:
    """Serve a handler to programs under its own name, described by its docstring.

    Args:
        trigger: never drawn; an endpoint has to belong to an event.
        handler: names of its parameters are those of the endpoint.
        inputs: the endpoint's own: a shared component would give a parameter the wrong words in the docs.
        outputs: likewise.
        heavy: whether its answer waits for a turn.
    """
    trigger.click(
        shows_errors(handler),
        inputs,
        outputs,
        api_name=handler.__name__,
        api_description=handler.__doc__,
        **(RECOGNITION if heavy else {}),
    )
