"""Errors of the project as messages on the page, turned once."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import gradio as gr

from ser.errors import SerError

P = ParamSpec("P")
R = TypeVar("R")


def shows_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Wrap an event handler, generators included, so that a `SerError` appears on the page as its sentence.

    Other exceptions pass: they are mistakes of the program, and the page says so without details.
    """
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generate(*args: P.args, **kwargs: P.kwargs) -> Iterator[object]:
            try:
                yield from handler(*args, **kwargs)
            except SerError as error:
                raise shown(error) from error

        return generate  # type: ignore[return-value]

    @functools.wraps(handler)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return handler(*args, **kwargs)
        except SerError as error:
            raise shown(error) from error

    return call


def shown(error: SerError) -> gr.Error:
    """The error as Gradio shows it, without a stack trace in the log: it was expected."""
    return gr.Error(str(error), title="That did not work", print_exception=False)
