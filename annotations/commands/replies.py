"""`replies`: rated and edited replies as pairs of a better and a worse one."""

import argparse
import json
import sys
from pathlib import Path

from annotations.commands.common import open_existing
from annotations.errors import ExchangeError
from annotations.raters.replies import preference_pairs
from annotations.store.records import CONSENT_PURPOSES


def add_replies(parser: argparse.ArgumentParser) -> None:
    """The options of `replies`."""
    parser.add_argument("--purpose", choices=CONSENT_PURPOSES, default="training", help="default: %(default)s")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.jsonl", help="a pair a line; must not exist")


def run_replies(options: argparse.Namespace) -> int:
    """Write the pairs; 0 if every rated reply is in one, 1 if some make none."""
    pairs, alone = preference_pairs(open_existing(options.data_dir), options.purpose)
    try:
        with options.out.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    except OSError as error:
        raise ExchangeError(f"{options.out} cannot be written ({error.strerror}). Name another file.") from error
    print(f"{len(pairs)} pairs -> {options.out}")
    if alone:
        print(f"{alone} rated replies make no pair: none to the same turns is better or worse.", file=sys.stderr)
    return 1 if alone else 0
