"""Errors of the project as messages on the page, turned once."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import gradio as gr

from ser.errors import SerError

log = logging.getLogger("page")

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
    return gr.Error(sentence(error), title="That did not work", print_exception=False)


def sentence(error: Exception) -> str:
    """Return the message of an error for people; an unexpected one goes to the log with its trace."""
    if isinstance(error, SerError):
        return str(error)
    if isinstance(error, gr.Error):
        return str(error.message)
    log.error("An event of the page failed.", exc_info=error)
    return (
        f"The program made a mistake ({type(error).__name__}). Load the page again and try once more; "
        "where it happens again, whoever runs this page finds more in its log."
    )
