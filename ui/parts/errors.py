"""Errors of the project as messages on the page, turned once."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from ser.errors import SerError
from ui.operations.measures import ERRORS

log = logging.getLogger("page")

REFUSED = "That did not work"
"""Title of what the page refuses: the request has to be another."""

MISTAKEN = "Something went wrong"
"""Title of the program's own mistakes."""

P = ParamSpec("P")
R = TypeVar("R")


def shows_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap an event handler, generators included, so that a `SerError` appears on the page as its sentence.

    Other exceptions are mistakes of the program: their trace goes to the log, and the page says so without details.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generate(*args: P.args, **kwargs: P.kwargs) -> Iterator[object]:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                raise shown(error) from error

        return generate  # type: ignore[return-value]

    @functools.wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            raise shown(error) from error

    return call


def shown(error: Exception) -> gr.Error:
    """The error as Gradio shows it, its sentence as in `sentence`."""
    title = REFUSED if isinstance(error, SerError | gr.Error) else MISTAKEN
    return gr.Error(sentence(error), title=title, print_exception=False)


def _checked(block: Any, value: object) -> object:
    """A component's value as a browser would send it: components themselves let null and lists through.

    Raises:
        TypeError: if it is of another type.
    """
    if isinstance(block, gr.Textbox):
        return "" if value is None else value
    if isinstance(block, gr.CheckboxGroup):
        return [] if value is None else value
    if isinstance(block, gr.Checkbox) and not isinstance(value, bool | None):
        raise TypeError
    one = isinstance(block, gr.Radio) or (isinstance(block, gr.Dropdown) and not block.multiselect)
    if one and isinstance(value, list | dict):
        raise TypeError
    # A choice that there was from the beginning cannot be taken back on the page.
    return block.value if one and value is None else value


class Page(gr.Blocks):
    """Blocks whose components refuse values of other types with a sentence, whichever way they come."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **named: Any) -> Any:
        """Turn values of a request into those of a handler.

        Raises:
            gr.Error: if a component cannot read its value.
        """
        try:
            values = await super().preprocess_data(block_fn, inputs, *rest, **named)
            return [_checked(block, value) for block, value in zip(block_fn.inputs, values, strict=True)]
        except gr.Error as error:
            raise gr.Error(error.message, title=REFUSED, print_exception=False) from error
        except Exception as error:
            log.info("A value of %s was refused: %s", block_fn.api_name, type(error).__name__)
            labels = [str(getattr(block, "label", None) or type(block).__name__.lower()) for block in block_fn.inputs]
            raise gr.Error(
                f"A value of the request has a type that '{block_fn.api_name}' does not take. Its values are, in this "
                f"order: {'; '.join(labels)}. /gradio_api/info describes each.",
                title=REFUSED,
                print_exception=False,
            ) from error


def sentence(error: Exception) -> str:
    """Return the message of an error for people; an unexpected one goes to the log with its trace."""
    ERRORS.add(error)
    if isinstance(error, SerError):
        return str(error)
    if isinstance(error, gr.Error):
        return str(error.message)
    log.error("An event of the page failed.", exc_info=error)
    return (
        f"The program made a mistake ({type(error).__name__}). Load the page again and try once more; "
        "if it happens again, tell the operator of this page: the log says more."
    )
