"""`labels`: the label set of a store, shown or changed."""

import argparse
from dataclasses import replace
from pathlib import Path

from annotations.commands.common import add_by, add_json, open_existing, print_result
from annotations.errors import InvalidSettingError
from annotations.labels.files import read_label_file, to_plain, to_toml
from annotations.labels.label_set import DEFAULT, LabelSet, check_name
from annotations.labels.stored import change_label_set, label_set, votes_outside
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
    with AnnotationStore(options.data_dir) if changing else open_existing(options.data_dir) as store:
        labels = _wanted(options, store)
        if labels is not None:
            labels = change_label_set(store, labels, by=options.by)
        else:
            labels = label_set(store)
        outside = votes_outside(store)
    lines = [to_toml(labels).rstrip()]
    if changing:
        lines = [f"{len(labels)} labels: {', '.join(labels.names)}.", "Start the page again, so that it shows them."]
        lines += [f"Votes for '{old}' count as '{new}'." for old, new in labels.mapping.items()]
        lines += [
            f"The current model knows nothing of '{own.name}' until votes for it were trained on."
            for own in labels
            if not own.means
        ]
    # In a file that can be read back, what is no part of the set is a comment.
    mark = "" if changing else "# "
    lines += [
        f"{mark}{count} votes for '{name}' have no place in the set: they are kept, and do not count. "
        f"Map them with --map '{name}=...'."
        for name, count in outside.items()
    ]
    print_result({**to_plain(labels), "votes_outside": dict(outside)}, lines, options.json)
    return 1 if outside else 0


def _wanted(options: argparse.Namespace, store: AnnotationStore) -> LabelSet | None:
    """The set that the options name; None to leave it as it is."""
    if not options.file and not options.default and not options.map:
        return None
    base = read_label_file(options.file) if options.file else DEFAULT if options.default else label_set(store)
    return replace(base, mapping={**base.mapping, **dict(options.map)})
