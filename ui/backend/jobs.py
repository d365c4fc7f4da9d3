"""Acts that take longer than a request: asked for once, done in a thread, looked at until they are over.

Also the files that come of them, each given out for a while under an address that nobody can guess.
"""

import secrets
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from ser.errors import SerError
from ui.parts.errors import sentence

KEPT = 900.0
"""Seconds that the outcome of an act, and its file, are kept."""

MOST = 50
"""Acts whose outcome is kept; the oldest that is over goes first."""

DOWNLOAD = "/studio/download/{number}"


@dataclass
class Job:
    """An act under way.

    Attributes:
        owner: name of who asked; nobody else is told of it.
        done: parts that are done.
        total: of how many; 0 if that is not known.
        message: what it is at, or what it has come to.
        lines: further sentences once it is over.
        state: `running`, `done` or `failed`.
        file: what came of it, to be downloaded.
        html: what came of it, to be shown in place of the message.
        stop: set once it is to end.
    """

    owner: str
    done: int = 0
    total: int = 0
    message: str = ""
    lines: list[str] = field(default_factory=list)
    state: str = "running"
    file: Path | None = None
    html: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.time)

    def step(self, done: int, total: int) -> None:
        """Note how far it is.

        Raises:
            SerError: if it was asked to end.
        """
        self.done, self.total = done, total
        if self.stop.is_set():
            raise SerError(f"Stopped after {done} of {total}.")


class Jobs:
    """The acts of one page; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def start(self, owner: str, work: Callable[[Job], None]) -> str:
        """Begin an act; returns the number that it is looked at by.

        Args:
            owner: who asks.
            work: does it, and notes its progress and outcome in the job.
        """
        self.sweep()
        number, job = secrets.token_hex(16), Job(owner)
        with self._lock:
            self._jobs[number] = job

        def run() -> None:
            try:
                work(job)
                job.state = "done"
            except Exception as error:
                job.message, job.state = sentence(error), "failed"
            job.since = time.time()

        threading.Thread(target=run, name="page-act", daemon=True).start()
        return number

    def get(self, number: str, owner: str) -> Job:
        """An act of somebody's.

        Raises:
            SerError: if there is none, or it is another's.
        """
        with self._lock:
            job = self._jobs.get(number)
        if job is None or job.owner != owner:
            raise SerError("This act is not known here any more. Look at the clips again before you repeat it.")
        return job

    def sweep(self, age: float = KEPT) -> None:
        """Forget acts that were over for longer than `age` seconds, and those above `MOST`, with their files."""
        with self._lock:
            over = [number for number, job in self._jobs.items() if job.state != "running"]
            old = [number for number in over if self._jobs[number].since < time.time() - age]
            surplus = over[: max(0, len(self._jobs) - MOST)]
            gone = [self._jobs.pop(number) for number in dict.fromkeys([*old, *surplus])]
        folders = [job.file.parent for job in gone if job.file is not None]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def discard_files(self) -> None:
        """Delete the files that wait for their download: something was erased that may be in them."""
        with self._lock:
            over = [job for job in self._jobs.values() if job.state != "running" and job.file is not None]
        for job in over:
            if job.file is not None:
                shutil.rmtree(job.file.parent, ignore_errors=True)

    async def download(self, request: Request) -> Response:
        """Give out the file of an act to those who know its number."""
        with self._lock:
            job = self._jobs.get(request.path_params["number"])
        if job is None or job.file is None or not job.file.is_file():
            return PlainTextResponse("This file is not kept any more. Export again.", 404)
        return FileResponse(job.file, filename=job.file.name, headers={"Cache-Control": "no-store"})
