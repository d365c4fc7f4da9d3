"""`export`: clips with their votes to files, or to a data set on the Hub."""

import argparse
import importlib
import sys
from pathlib import Path

from annotations.commands.common import add_json, open_existing, print_result
from annotations.errors import ExchangeError
from annotations.exchange.exporting import FORMATS, export_store
from annotations.records import CONSENT_PURPOSES


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of `export`."""
    parser.add_argument("--format", choices=FORMATS, help="audiofolder and audformat are folders, the others files")
    parser.add_argument("--out", type=Path, metavar="PATH", help="what to make; must not exist yet")
    parser.add_argument(
        "--purpose",
        choices=CONSENT_PURPOSES,
        help="clips without consent to it are left out (default: research; publication with --push-to-hub)",
    )
    parser.add_argument("--licence", "--license", metavar="NAME", help="of the recordings, for the data set card")
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="publish as a data set on the Hub, as Parquet")
    parser.add_argument("--public", action="store_true", help="let everybody see the data set; private by default")
    add_json(parser)


def run_export(options: argparse.Namespace) -> int:
    """Export; 1 where recordings are missing."""
    if options.push_to_hub is None and (options.format is None or options.out is None):
        raise ExchangeError("Name a --format and a place with --out, or a data set with --push-to-hub ORG/NAME.")
    if options.push_to_hub is not None and (options.format not in (None, "parquet") or options.out is not None):
        raise ExchangeError("--push-to-hub publishes Parquet from a place of its own: leave out --format and --out.")
    with open_existing(options.data_dir) as store:
        if options.push_to_hub:
            purpose = options.purpose or "publication"
            # By name, because it brings the Hub's library in.
            report = importlib.import_module("annotations.exchange.publishing").publish(
                store, options.push_to_hub, purpose=purpose, licence=options.licence, private=not options.public
            )
            place = report.published
        else:
            purpose = options.purpose or "research"
            report = export_store(store, options.format, options.out, purpose, licence=options.licence)
            place = options.out
    for name, reason in report.missing:
        print(f"{name}: {reason}", file=sys.stderr)
    lines = [f"{report.clips} clips with {report.votes} votes are in {place}."]
    if report.without_consent:
        lines.append(f"{report.without_consent} clips were left out: there is no consent to {purpose}.")
    print_result(report.as_dict(), lines, options.json)
    return 1 if report.missing else 0
