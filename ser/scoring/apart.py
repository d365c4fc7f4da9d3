"""The hearing of parts in one process beside this one, begun again where a recording has killed it.

Knows parts and processes. A decoder that crashes takes its process with it; here that is not the one that counts.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from ser.config import Settings
from ser.errors import ScoringError, SerError
from ser.loading import load_recognizer
from ser.scoring.journal import DEATHS_ALLOWED, hear_part
from ser.scoring.parts import Part
from ser.types import Recognition

DEATHS_BY_CHANCE = 3
"""Of processes, beyond those that the recordings of a part can cause: then it is the machine, or the models."""


def score_apart(parts: Sequence[Part], folder: Path, settings: Settings) -> Iterator[tuple[int, int]]:
    """Hear parts one after the other in a process that may die.

    Args:
        parts: to hear.
        folder: where they go.
        settings: which models.

    Yields:
        Of each part how many recordings it has, and how many of them have no answer.

    Raises:
        SerError: what the process says where it cannot go on, such as that a model is missing.
        ScoringError: where it dies over and over, with no recording to blame.
    """
    waiting, worker, deaths = deque(parts), None, 0
    try:
        while waiting:
            worker = worker or Worker(folder, settings)
            failed = worker.hear(waiting[0])
            if failed is None:
                worker, deaths = None, deaths + 1
                if deaths > DEATHS_BY_CHANCE + DEATHS_ALLOWED * len(waiting[0].items):
                    raise ScoringError(
                        f"The process that hears died {deaths} times; {len(waiting)} parts are left. The command given "
                        "again goes on with them. Look at the machine's memory."
                    )
                continue
            deaths = 0
            yield len(waiting.popleft().items), failed
    finally:
        if worker is not None:
            worker.end()


class Worker:
    """A process with models of its own, and the way to talk to it; it ends when this one does."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        # Forked from a process that has the libraries, and computes nothing: threads of torch do not survive a fork.
        quick = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if quick else "spawn")
        multiprocessing.set_forkserver_preload([__name__])
        self._pipe, other = context.Pipe()
        self._process = context.Process(  # type: ignore[attr-defined]
            target=hear_parts, args=(other, folder, settings), daemon=True
        )
        self._process.start()
        # Held by the process alone: its death is then the end of the talk.
        other.close()

    def hear(self, part: Part) -> int | None:
        """How many recordings of a part have no answer; None where the process died of it.

        Raises:
            SerError: what it says where it cannot go on.
            OSError: likewise.
        """
        try:
            self._pipe.send(part)
            said = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            return None
        if isinstance(said, Exception):
            raise said
        return int(said)

    def end(self) -> None:
        """Let it go at once."""
        self._pipe.close()
        self._process.kill()
        self._process.join()


def hear_parts(pipe: Connection, folder: Path, settings: Settings) -> None:
    """What the process does: parts in, counts out, until nobody listens any more."""
    # Ctrl+C is for the one who gave the command.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def hear(files: Sequence[str]) -> list[Recognition | Exception]:
        answers: list[Recognition | Exception] = list(recognizer.recognize_many(files))
        if parent is not None and not parent.is_alive():
            # Whoever gives the command again hears these recordings again: they must not be there twice.
            os._exit(1)
        return answers

    try:
        recognizer = load_recognizer(settings)
        while True:
            pipe.send(hear_part(hear, folder, pipe.recv()))
    except (EOFError, ConnectionError):
        return
    except (SerError, OSError) as error:
        pipe.send(error)
