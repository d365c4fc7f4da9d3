"""Where and with what a benchmark ran: the part of every result that lets another person judge it."""

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from ser.checkpoints import current_commit


def describe_run(seed: int, packages: Sequence[str]) -> dict[str, object]:
    """`seed, git_commit, versions, machine` for the JSON object of a benchmark.

    Args:
        seed: of everything the benchmark drew.
        packages: whose versions matter for the result.
    """
    return {
        "seed": seed,
        "git_commit": current_commit(),
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform(terse=True)},
    }


def _processor() -> str:
    """The processor's name as Linux tells it; elsewhere as Python knows it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
