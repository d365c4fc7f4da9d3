"""`labels`: the label set of a store, shown or changed."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from annotations.commands.common import add_by, add_json, open_existing, print_result
from annotations.errors import InvalidSettingError
from annotations.labels.files import read_label_file, to_plain, to_toml
from annotations.labels.label_set import DEFAULT, LabelSet, check_name
from annotations.labels.stored import Move, change_label_set, label_set, preview_label_set, votes_outside
from annotations.store import AnnotationStore


def add_labels(parser: argparse.ArgumentParser) -> None:
    """The options of `labels`."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument("file", nargs="?", type=Path, metavar="FILE.toml", help="label set to take; see docs/labels.md")
    source.add_argument("--default", action="store_true", help="take the seven emotions again")
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        type=mapped,
        metavar="OLD=NEW",
        help="count votes for an earlier label as one of the set; may be given several times",
    )
    parser.add_argument("--dry-run", action="store_true", help="say how votes would count, and change nothing")
    add_by(parser)
    add_json(parser)


def mapped(text: str) -> tuple[str, str]:
    """Split OLD=NEW.

    >>> mapped("annoyed=Anger")
    ('annoyed', 'anger')
    """
    old, sign, new = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"'{text}': expected OLD=NEW")
    try:
        return check_name(old), check_name(new)
    except InvalidSettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run_labels(options: argparse.Namespace) -> int:
    """Show or change the set; 1 if votes have no place in it."""
    changing = bool(options.file or options.default or options.map)
    writing = changing and not options.dry_run
    with AnnotationStore(options.data_dir) if writing else open_existing(options.data_dir) as store:
        wanted = _wanted(options, store)
        joined, moves = preview_label_set(store, label_set(store) if wanted is None else wanted)
        if options.dry_run:
            return _print_moves(joined, moves, options)
        labels = joined if wanted is None else change_label_set(store, wanted, by=options.by)
        outside = votes_outside(store)
    lines = [to_toml(labels).rstrip()]
    if changing:
        lines = [f"{len(labels)} labels: {', '.join(labels.names)}."]
        lines += [f"Votes for '{old}' count as '{new}'." for old, new in labels.mapping.items()]
        lines += [
            f"The current model knows nothing of '{own.name}' until votes for it were trained on."
            for own in labels
            if not own.means
        ]
    # In a file that can be read back, what is no part of the set is a comment.
    mark = "" if changing else "# "
    lines += [
        f"{mark}{count} vote{' for' if count == 1 else 's for'} '{name}' without a place in the set: kept, not "
        "counted. "
        f"Map them with --map '{name}=...'."
        for name, count in outside.items()
    ]
    print_result({**to_plain(labels), "votes_outside": dict(outside)}, lines, options.json)
    return 1 if outside else 0


def _print_moves(labels: LabelSet, moves: Sequence[Move], options: argparse.Namespace) -> int:
    """Print how the votes of each label would count; 1 if some would have no place."""
    lines = [f"{len(labels)} labels: {', '.join(labels.names)}. Nothing was changed."]
    lines += [move.words() for move in moves]
    print_result({**to_plain(labels), "moves": [asdict(move) for move in moves]}, lines, options.json)
    return 1 if any(move.after is None for move in moves) else 0


def _wanted(options: argparse.Namespace, store: AnnotationStore) -> LabelSet | None:
    """The set that the options name; None to leave it as it is."""
    if not options.file and not options.default and not options.map:
        return None
    base = read_label_file(options.file) if options.file else DEFAULT if options.default else label_set(store)
    return replace(base, mapping={**base.mapping, **dict(options.map)})
