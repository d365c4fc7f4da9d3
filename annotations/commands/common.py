"""Helpers of all commands: opening an existing store, printing for people or programs, progress bars."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from annotations.errors import StoreError
from annotations.store import DATABASE, AnnotationStore

OPERATOR = "operator"
"""Name of the actor on the command line if no name can be found."""


def open_existing(data_dir: Path) -> AnnotationStore:
    """Open a store that is there.

    Raises:
        StoreError: if there is none; none is made.
    """
    if not (data_dir / DATABASE).is_file():
        raise StoreError(
            f"There is no store in {data_dir}. Name its folder with --data-dir, or import something first."
        )
    return AnnotationStore(data_dir)


def print_result(result: Mapping[str, object], lines: Sequence[str], as_json: bool) -> None:
    """Print one JSON object, or lines for people."""
    print(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(lines))


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`, which all commands have."""
    parser.add_argument("--json", action="store_true", help="one JSON object in place of prose")


def add_by(parser: argparse.ArgumentParser) -> None:
    """The option `--by`: who acts."""
    parser.add_argument(
        "--by",
        default=os.environ.get("USER") or os.environ.get("USERNAME") or OPERATOR,
        metavar="NAME",
        help="who does it, for the log (default: %(default)s)",
    )


def names(text: str) -> tuple[str, ...]:
    """Split a text at its commas.

    >>> names("research, training,")
    ('research', 'training')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
