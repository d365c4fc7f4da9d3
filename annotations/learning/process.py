"""How a training process behaves on its machine: it steps back, and keeps a log. Knows no run."""

import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

NICENESS = 15
"""The page's answers come first."""


def yield_the_processor(pid: int = 0) -> None:
    """Let everything else on the machine go first.

    Niceness alone is not enough: where an answer and a training share a core and a group, as in a container, 95 % of
    the answers took up to four times as long as without it, and as long as without it once Linux was told that the
    training is but for idle times.

    Source: sched(7), "SCHED_IDLE", and "The autogroup feature": where Linux groups processes by session, niceness
    and policy count within the session alone, and a training process has one of its own.

    Args:
        pid: of a process that has just started, and whose threads will do as its first one; 0 for this one.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid or None)
        if psutil.WINDOWS:
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(process.nice(), NICENESS))
    # Absent, or not ours to set: then niceness is all there is.
    with suppress(OSError):
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    with suppress(OSError):
        Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(NICENESS), encoding="ascii")


def keep_log() -> None:
    """Write what is said, warnings included, line by line with the time."""
    logging.Formatter.converter = time.gmtime
    form = "%(asctime)sZ %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    logging.captureWarnings(True)
