"""A process that recognises recordings for this one, started again where a recording has killed it.

A decoder that crashes takes its process with it; here that is a worker, not the process of the run.
"""

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType

from ser.config import Settings
from ser.errors import AudioError, ScoringError, SerError
from ser.loading import load_recognizer
from ser.types import Recognition

DEATHS_ALLOWED = 2
"""Processes that may die on one recording alone. One death can be chance: somebody ended the process, or the machine
had no memory left. A second one at the same recording hardly is."""

FAILED_STARTS_ALLOWED = 3
"""Processes that may die while they load the models: then it is the machine, or the models."""

Answers = list[Recognition | AudioError]


class Worker:
    """A process with models of its own, started when it is needed; it ends when this one does.

    Args:
        settings: which models.
        threads: as `Recognizer.recognize_many`'s `workers`.
    """

    def __init__(self, settings: Settings, threads: int | None = None) -> None:
        self._settings, self._threads = settings, threads
        self._pipe: Connection | None = None
        self._process: BaseProcess | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def recognize(self, files: Sequence[str]) -> Answers:
        """Recognise files together, or one after the other where the process dies of them.

        Returns:
            For each file its answer, or the error that says why there is none.

        Raises:
            SerError: if the process cannot go on, such as for a missing model.
            OSError: likewise.
            ScoringError: if it dies over and over before any recording is read.
        """
        answers = self._ask(files) if len(files) > 1 else None
        return answers if answers is not None else [self._recognize_alone(file) for file in files]

    def _recognize_alone(self, file: str) -> Recognition | AudioError:
        for _ in range(DEATHS_ALLOWED):
            answers = self._ask([file])
            if answers is not None:
                return answers[0]
        return AudioError(f"{DEATHS_ALLOWED} processes died of this recording. Convert it to WAV and try again.")

    def _ask(self, files: Sequence[str]) -> Answers | None:
        """The answers of the process; None if it died."""
        pipe = self._started()
        try:
            pipe.send(list(files))
            answers: Answers = _received(pipe)
        except (EOFError, ConnectionError):
            self._stop()
            return None
        return answers

    def _started(self) -> Connection:
        if self._pipe is not None:
            return self._pipe
        # Forked from a process that has the libraries and computes nothing: threads of torch do not survive a fork.
        quick = "forkserver" in multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if quick else "spawn")
        multiprocessing.set_forkserver_preload([__name__])
        for _ in range(FAILED_STARTS_ALLOWED):
            self._pipe, other = context.Pipe()
            arguments = (other, self._settings, self._threads)
            self._process = context.Process(target=_serve, args=arguments, daemon=True)  # type: ignore[attr-defined]
            self._process.start()
            # Held by the process alone: its death is then the end of the connection.
            other.close()
            try:
                _received(self._pipe)
            except (EOFError, ConnectionError):
                self._stop()
                continue
            return self._pipe
        raise ScoringError(
            f"{FAILED_STARTS_ALLOWED} processes died while they loaded the models. Look at the machine's memory; the "
            "command given again goes on with what is left."
        )

    def _stop(self) -> None:
        if self._pipe is not None and self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None


def _received(pipe: Connection) -> Answers:
    said = pipe.recv()
    if isinstance(said, Exception):
        raise said
    return list(said)


def _serve(pipe: Connection, settings: Settings, threads: int | None) -> None:
    """Answer lists of files until nobody listens any more; an empty list says that the models are loaded."""
    # Ctrl+C is for the process that was given the command.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        recognizer = load_recognizer(settings)
        pipe.send([])
        while True:
            pipe.send(list(recognizer.recognize_many(pipe.recv(), workers=threads)))
    except (EOFError, ConnectionError):
        return
    except (SerError, OSError) as error:
        pipe.send(error)
