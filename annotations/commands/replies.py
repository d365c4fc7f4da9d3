"""`replies`: rated and edited replies added, listed, taken back, and written as pairs of a better and a worse one."""

import argparse
import json
import sys
from pathlib import Path

from annotations.commands.common import open_existing
from annotations.errors import ExchangeError
from annotations.raters.replies import forget_reply, list_replies, preference_pairs, read_reply, save_reply
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError


def add_replies(parser: argparse.ArgumentParser) -> None:
    """The options of `replies`."""
    act = parser.add_mutually_exclusive_group(required=True)
    act.add_argument("--out", type=Path, metavar="FILE.jsonl", help="write pairs, one a line; must not exist")
    act.add_argument(
        "--add",
        type=Path,
        metavar="FILE.jsonl",
        help="keep rated replies: rating, turns, reply, edited, consent a line",
    )
    act.add_argument("--list", action="store_true", help="print all rated replies, one JSON object a line")
    act.add_argument("--forget", type=int, metavar="ID", help="erase a rated reply of --rater")
    parser.add_argument(
        "--purpose", choices=CONSENT_PURPOSES, default="training", help="of --out; default: %(default)s"
    )
    parser.add_argument("--rater", metavar="NAME", help="of --add and --forget")


def run_replies(options: argparse.Namespace) -> int:
    """Do one of them; 1 if something was left out: a rated reply that makes no pair, a line that is not usable."""
    store = open_existing(options.data_dir)
    if (options.add or options.forget is not None) and not options.rater:
        raise ExchangeError("Whose reply is it? Name the rater with --rater.")
    if options.add:
        return _add(store, options.add, options.rater)
    if options.forget is not None:
        forget_reply(store, options.forget, options.rater)
        print(f"Reply {options.forget} is erased.")
        return 0
    if options.list:
        for reply in list_replies(store):
            print(json.dumps(reply, ensure_ascii=False))
        return 0
    return _write(store, options.out, options.purpose)


def _add(store: AnnotationStore, path: Path, rater: str) -> int:
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path} cannot be read ({error}). A file of JSON lines is expected.") from error
    failed = 0
    for place, line in enumerate(lines, start=1):
        try:
            rated, consent = read_reply(json.loads(line))
            save_reply(store, rated, rater, consent)
        except (json.JSONDecodeError, SerError) as error:
            failed += 1
            print(f"{path}, line {place} is left out: {error}", file=sys.stderr)
    print(f"Rated replies kept: {len(lines) - failed}; left out: {failed}.")
    return 1 if failed else 0


def _write(store: AnnotationStore, out: Path, purpose: str) -> int:
    pairs, alone = preference_pairs(store, purpose)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs)
    except OSError as error:
        raise ExchangeError(f"{out} cannot be written ({error.strerror}). Name another file.") from error
    print(f"{len(pairs)} pair{'' if len(pairs) == 1 else 's'} -> {out}")
    if alone:
        print(f"Rated replies without a pair: {alone}; none to the same turns is better or worse.", file=sys.stderr)
    return 1 if alone else 0
