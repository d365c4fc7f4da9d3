"""One interface to causal language models: checkpoints of transformers, and endpoints that speak chat completions.

Knows no emotion and no prompt. Imports torch only if a checkpoint is named.
"""

import functools
import importlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from ser.config import NO_MODEL
from ser.errors import LanguageModelError

Piece = TypeVar("Piece")

TOKEN_VARIABLE = "SER_LANGUAGE_MODEL_TOKEN"
"""Environment variable with the token of an endpoint."""


@dataclass(frozen=True)
class Message:
    """A turn of the conversation with a model; `role` is `system`, `user` or `assistant`."""

    role: str
    text: str


@dataclass(frozen=True)
class Usage:
    """Cost of an answer.

    Attributes:
        prompt_tokens: read; 0 if an endpoint does not say.
        answer_tokens: written; 0 if an endpoint does not say.
        seconds: from the question to the end of the answer.
    """

    prompt_tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.answer_tokens + other.answer_tokens,
            self.seconds + other.seconds,
        )


class Reply:
    """Free text as it is written: iterate over its pieces; `text` and `usage` are whole after the last one.

    Args:
        pieces: texts, and at the end possibly the `Usage` of them all.
    """

    def __init__(self, pieces: Iterator[str | Usage]) -> None:
        self.text, self.usage = "", Usage()
        self._pieces, self._started = pieces, time.perf_counter()

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, Usage):
                self.usage = piece
            elif piece:
                self.text += piece
                yield piece
        tokens = self.usage
        self.usage = Usage(tokens.prompt_tokens, tokens.answer_tokens, time.perf_counter() - self._started)


class LanguageModel(Protocol):
    """A causal language model. Must be safe to call from several threads."""

    name: str

    def choose(
        self, messages: Sequence[Message], choices: Sequence[str], *, seconds: float, percentages: str = ""
    ) -> tuple[Mapping[str, float], Usage]:
        """Predict the next word among some.

        Args:
            messages: the last one asks for one of the choices.
            choices: words, none of which begins with another.
            seconds: time limit.
            percentages: asks for a JSON object of percentages, where an endpoint tells no probabilities of tokens.

        Returns:
            The probability of each choice, sum 1, and the cost.

        Raises:
            LanguageModelError: if it is late, out of reach, or answers something else.
        """
        ...

    def stream(self, messages: Sequence[Message], *, max_tokens: int = 200, seconds: float = 30.0) -> Reply:
        """Write free text.

        Args:
            messages: of the conversation so far.
            max_tokens: longest text.
            seconds: time limit of the whole text; what was written before stays in `Reply.text`.

        Raises:
            LanguageModelError: while iterating, if the model is late or out of reach.
        """
        ...


def load_language_model(name: str, device: str = "cpu") -> LanguageModel | None:
    """Load a language model, or connect to one.

    Args:
        name: `none`; the folder or Hub id of a causal language model with weights in safetensors; `http://...` or
            `https://...`, an endpoint that speaks chat completions, with `#MODEL` at its end if it serves several;
            `inference:MODEL`, a model of the Hub's inference providers.
        device: `cpu` or `cuda`, for checkpoints.

    Returns:
        The model, or None for `none`. An endpoint is first asked when it is used.

    Raises:
        ModelUnavailableError: if a checkpoint is absent, damaged, or not a causal language model.
    """
    if name in ("", NO_MODEL):
        return None
    if name.startswith(("http://", "https://", "inference:")):
        endpoint: Any = importlib.import_module("ser.language_model.endpoint")
        model: LanguageModel = endpoint.EndpointLanguageModel(name, os.environ.get(TOKEN_VARIABLE))
        return model
    # Serving without a checkpoint must not pay for torch and transformers: some 5 s and 400 MB.
    checkpoint: Any = importlib.import_module("ser.language_model.checkpoint")
    model = checkpoint.CheckpointLanguageModel(name, device)
    return model


def within(seconds: float, name: str, produce: Callable[[threading.Event], Iterator[Piece]]) -> Iterator[Piece]:
    """Pass on what a producer yields in a thread of its own, as long as it keeps to a time limit.

    Args:
        seconds: of the limit, for all pieces together.
        name: of the model, for the message.
        produce: yields pieces; is told by the event that nobody waits any more.

    Raises:
        LanguageModelError: if it is late; what `produce` raises is raised here.
    """
    pieces: queue.Queue[tuple[str, Any]] = queue.Queue()
    abandoned = threading.Event()

    def run() -> None:
        try:
            for piece in produce(abandoned):
                if abandoned.is_set():
                    return
                pieces.put(("piece", piece))
            pieces.put(("end", None))
        except BaseException as error:  # raised again by the caller
            pieces.put(("error", error))

    deadline = time.monotonic() + seconds
    threading.Thread(target=run, name="language model", daemon=True).start()
    try:
        while True:
            try:
                kind, value = pieces.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise LanguageModelError(
                    f"The language model '{name}' was not done after {seconds:g} s. Allow it more time, or take a "
                    "smaller one."
                ) from None
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        abandoned.set()


@functools.cache
def read_prompt(path: Path) -> Mapping[str, str]:
    """Read a prompt: sections of text under names in square brackets; lines that begin with # are left out.

    Returns:
        {name of a section: its text}, with `str.format`'s fields still to be filled in.
    """
    sections: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            sections[line[1:-1]] = []
        elif sections and not line.startswith("#"):
            sections[list(sections)[-1]].append(line)
    return {name: "\n".join(lines).strip() for name, lines in sections.items()}


def normalize(logs: Mapping[str, float]) -> dict[str, float]:
    """Turn logarithms of relative probabilities into probabilities.

    >>> normalize({"yes": 0.0, "no": float("-inf")})
    {'yes': 1.0, 'no': 0.0}
    """
    values = np.array(list(logs.values()))
    shares = np.exp(values - values.max())
    return dict(zip(logs, (shares / shares.sum()).tolist(), strict=True))
