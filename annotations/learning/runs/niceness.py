"""Behaviour of a training process on its machine: low priority, a log, and an end with its app."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

NICENESS = 10
"""Niceness of training: the page goes first, and training still gets a tenth of a busy core.
SCHED_IDLE was tried: on a machine with other work a run got 5 s of CPU in 14 minutes."""

WATCH_INTERVAL = 1.0


def yield_the_processor(pid: int = 0, niceness: int = NICENESS) -> None:
    """Give a process a low priority, within its session and among sessions.

    Source: sched(7), "The autogroup feature": where Linux groups processes by session, niceness counts within the
    session alone, and a training process has one of its own.

    Args:
        pid: of a process that has just started, and whose threads will do as its first one; 0 for this one.
        niceness: 0 leaves a new process as it is.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid or None)
        if psutil.WINDOWS:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if niceness else psutil.NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(process.nice(), niceness))
    # Absent, or not allowed: then niceness is all there is.
    with suppress(OSError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(niceness), encoding="ascii")


def end_with(pid: int, stop: Callable[[], None], patience: float) -> None:
    """Stop this process once another has ended: first by request, then by force.

    Args:
        pid: of the app.
        stop: requests the stop; called from a thread.
        patience: seconds from the request to the force.
    """
    try:
        app = psutil.Process(pid)
        app.create_time()
    except psutil.NoSuchProcess:
        stop()
        return

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while app.is_running() and app.status() != psutil.STATUS_ZOMBIE:
                time.sleep(WATCH_INTERVAL)
        stop()
        time.sleep(patience)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def keep_log() -> None:
    """Write log records, warnings included, line by line with the time."""
    logging.Formatter.converter = time.gmtime
    form = "%(asctime)sZ %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    logging.captureWarnings(True)
