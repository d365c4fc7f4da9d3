"""The options of `python -m annotations`. What each command does is in `annotations.commands`."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from annotations.commands import common, cutting, erasing, exchanging, keeping, labelling, replies, retraining, versions
from ser.errors import SerError
from ser.serialization import print_everything

DATA_DIR_VARIABLE = "SER_DATA_DIR"

Add = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]

COMMANDS: Mapping[str, tuple[str, Add, Run]] = {
    "import": ("store recordings, and all that own exports say of them", exchanging.add_import, exchanging.run_import),
    "cut": ("store long recordings as clips of one feeling each", cutting.add_cut, cutting.run_cut),
    "prelabel": ("pre-label stored clips with the current model", exchanging.add_prelabel, exchanging.run_prelabel),
    "export": ("write clips with their votes", exchanging.add_export, exchanging.run_export),
    "replies": ("write rated replies as pairs of a better and a worse one", replies.add_replies, replies.run_replies),
    "stats": ("the store in numbers", common.add_json, keeping.run_stats),
    "labels": ("the label set: show it, or choose another one", labelling.add_labels, labelling.run_labels),
    "versions": (
        "model versions: list, compare, publish, pull, make room",
        versions.add_versions,
        versions.run_versions,
    ),
    "promote": ("promote a model version", versions.add_promote, versions.run_promote),
    "rollback": ("return to the previous version", versions.add_rollback, versions.run_rollback),
    "retrain": ("train on the votes, and wait for the outcome", retraining.add_retrain, retraining.run_retrain),
    "check": ("look for damage, and repair it with --repair", keeping.add_check, keeping.run_check),
    "backup": ("copy everything to a place elsewhere", keeping.add_backup, keeping.run_backup),
    "restore": ("bring a store back from a place elsewhere", keeping.add_restore, keeping.run_restore),
    "erase": ("erase a clip, a rater or a speaker everywhere", erasing.add_erase, erasing.run_erase),
    "withdraw": ("take back the consent to a clip", erasing.add_withdraw, erasing.run_withdraw),
    "retention": ("erase clips that were kept long enough", erasing.add_retention, erasing.run_retention),
}


def build_parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    parser = argparse.ArgumentParser(prog="python -m annotations", description="The store of clips and votes.")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get(DATA_DIR_VARIABLE) or "data"),
        metavar="DIR",
        help=f"the store's folder (default: {DATA_DIR_VARIABLE}, else ./data)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (text, add_options, _) in COMMANDS.items():
        add_options(commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + "."))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 something was left out, 2 nothing could be done."""
    print_everything()
    options = build_parser().parse_args(argv)
    _, _, run = COMMANDS[options.command]
    try:
        return run(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was stored stays; run the command again to go on.", file=sys.stderr)
        return 130
