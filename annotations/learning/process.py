"""How a training process behaves on its machine: it steps back, and keeps a log. Knows no run."""

import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

NICENESS = 15
"""The page's answers come first: at 15 the middle one of them takes as long as without any training."""


def yield_the_processor() -> None:
    """Let everything else on the machine go first.

    Source of the second step: sched(7), "The autogroup feature": where Linux groups processes by session, niceness
    counts within the session alone, and this process has one of its own.
    """
    os.nice(NICENESS)
    with suppress(OSError):  # Absent, or not ours to write: then niceness is all there is.
        Path("/proc/self/autogroup").write_text(str(NICENESS), encoding="ascii")


def keep_log() -> None:
    """Write what is said, warnings included, line by line with the time."""
    logging.Formatter.converter = time.gmtime
    form = "%(asctime)sZ %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    logging.captureWarnings(True)
