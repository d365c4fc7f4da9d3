"""The main of every benchmark: options, one JSON object on stdout, and the machine it ran on."""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ser.checkpoints.folder import current_commit
from ser.errors import SerError

Measure = Callable[[argparse.Namespace], Mapping[str, object]]


def run_benchmark(
    parser: argparse.ArgumentParser,
    measure: Measure,
    packages: Sequence[str],
    *,
    argv: Sequence[str] | None = None,
    quick: str = "a smaller benchmark",
    passed: Callable[[Mapping[str, object]], bool] = lambda result: True,
) -> int:
    """Parse options, measure, and print one JSON object with seed, versions and machine.

    Args:
        parser: with the options of the benchmark; `--quick`, `--seed` and `--json` are added.
        measure: from options to the result.
        packages: whose versions matter for the result.
        argv: arguments; by default those of the process.
        quick: help text of `--quick`.
        passed: returns from the result if the benchmark's goal is met.

    Returns:
        The exit code: 0 for a met goal, 1 for a missed one, 2 if something needed is missing.
    """
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    try:
        result = measure(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    load = {"load": round(os.getloadavg()[0], 1)}
    printed = {**result, **load, **describe_run(options.seed, packages)}
    print(json.dumps(printed, indent=None if options.json else 2, ensure_ascii=False))
    return 0 if passed(result) else 1


def describe_run(seed: int, packages: Sequence[str]) -> dict[str, object]:
    """Return `seed, git_commit, versions, machine` for the JSON object of a benchmark.

    Args:
        seed: of everything that was drawn.
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
    """Read the processor's name from Linux; elsewhere from Python."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
