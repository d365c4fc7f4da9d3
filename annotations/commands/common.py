"""Helpers of all commands: opening an existing store, printing for people or programs, progress bars."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from annotations.errors import StoreError
from annotations.learning.versions.active import ActiveModel
from annotations.store import DATABASE, AnnotationStore
from ser.config import Settings

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


def load_active(store: AnnotationStore) -> ActiveModel:
    """Load the current models, going back to the program's own where one cannot be loaded, which is said on stderr."""
    # By name, because it brings torch in.
    loading = importlib.import_module("annotations.learning.versions.loading")
    active: ActiveModel = loading.load_active_model(store, Settings.from_env())
    remark = active.settle()
    if remark:
        print(remark, file=sys.stderr)
    return active


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
