"""Regular upkeep of a served page: leftover uploads and streams, clips past their time, waiting runs.

A thread of its own; knows when, and leaves how to the modules it calls.
"""

import sys
import threading

from annotations.learning.runs.queue import forget_erased
from annotations.learning.runs.triggers import Triggers
from annotations.learning.versions.retention import look_after_versions
from annotations.maintenance.retention import sweep
from ser.errors import SerError
from ui.backend.services import Services

UPLOADS_EVERY = 30.0
"""Seconds between looks at uploads that nobody came for."""

RETENTION_EVERY = 3600.0
"""Seconds between looks for clips past the retention period."""


class Upkeep:
    """Runs from `start` to `stop`.

    Args:
        services: whose uploads and store are looked after.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._triggers = Triggers(services.retrainer)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> "Upkeep":
        """Begin; the first look is at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, and wait for a look in progress."""
        self._stopped.set()
        self._thread.join(timeout=10)

    def wait(self, seconds: float) -> bool:
        """Sleep unless it is stopped; returns whether it was."""
        return self._stopped.wait(seconds)

    def _run(self) -> None:
        waited = RETENTION_EVERY
        self._tend_runs(at_start=True)
        while not self._stopped.is_set():
            self._services.uploads.sweep()
            self._services.jobs.sweep()
            self._services.live.sweep()
            if waited >= RETENTION_EVERY:
                waited = 0.0
                self._sweep_clips()
            self._tend_runs()
            self._stopped.wait(UPLOADS_EVERY)
            waited += UPLOADS_EVERY

    def _tend_runs(self, at_start: bool = False) -> None:
        try:
            self._services.retrainer.tend(at_start=at_start)
            self._triggers.check()
            forget_erased(self._services.store)
            for said in look_after_versions(self._services.store):
                print(said, flush=True)
        except SerError as error:
            print(f"The training runs could not be looked after: {error}", file=sys.stderr)

    def _sweep_clips(self) -> None:
        try:
            report = sweep(self._services.store)
        except SerError as error:
            print(f"Clips past their time could not be erased: {error}", file=sys.stderr)
            return
        if report is not None:
            print("\n".join(report.lines()), flush=True)
