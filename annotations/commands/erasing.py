"""`erase`, `withdraw` and `retention`: remove clips, raters and consents for good, and report it."""

import argparse

from annotations.commands.common import add_by, add_json, names, open_existing, print_result
from annotations.learning.runs.queue import forget_erased
from annotations.maintenance.erasure.erase import (
    ErasureReport,
    erase_clip,
    erase_picture,
    erase_rater,
    erase_recording,
    erase_speaker,
    withdraw_consent,
)
from annotations.maintenance.retention import sweep
from annotations.store.records import CONSENT_PURPOSES


def add_erase(parser: argparse.ArgumentParser) -> None:
    """The options of `erase`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--clip", type=int, metavar="ID", help="a clip with all that is known or was made of it")
    what.add_argument("--picture", type=int, metavar="ID", help="the picture of a face that is kept with a clip")
    what.add_argument("--recording", metavar="SHA256", help="every clip that was cut from a longer recording")
    what.add_argument("--speaker", metavar="NAME", help="every clip of a speaker")
    what.add_argument("--rater", metavar="NAME", help="a rater's votes, words, roles and name; the clips stay")
    parser.add_argument(
        "--keep-votes", action="store_true", help="with --rater: keep the labels under a pseudonym, without any words"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
    add_by(parser)
    add_json(parser)


def run_erase(options: argparse.Namespace) -> int:
    """Erase; returns 1 if something remains."""
    with open_existing(options.data_dir) as store:
        if options.clip is not None:
            report = erase_clip(store, options.clip, by=options.by, dry_run=options.dry_run)
        elif options.picture is not None:
            report = erase_picture(store, options.picture, by=options.by, dry_run=options.dry_run)
        elif options.recording is not None:
            report = erase_recording(store, options.recording, by=options.by, dry_run=options.dry_run)
        elif options.speaker is not None:
            report = erase_speaker(store, options.speaker, by=options.by, dry_run=options.dry_run)
        else:
            report = erase_rater(
                store, options.rater, by=options.by, dry_run=options.dry_run, keep_votes=options.keep_votes
            )
        forget_erased(store)
    return _tell(report, options)


def add_withdraw(parser: argparse.ArgumentParser) -> None:
    """The options of `withdraw`."""
    parser.add_argument("--clip", type=int, required=True, metavar="ID", help="of the clip")
    parser.add_argument(
        "--purposes",
        type=names,
        default=CONSENT_PURPOSES,
        metavar="A,B",
        help=f"some of {','.join(CONSENT_PURPOSES)} (default: all, which erases the clip)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
    add_by(parser)
    add_json(parser)


def run_withdraw(options: argparse.Namespace) -> int:
    """Withdraw; returns 1 if something remains."""
    with open_existing(options.data_dir) as store:
        report = withdraw_consent(store, options.clip, options.purposes, options.by, dry_run=options.dry_run)
        forget_erased(store)
    return _tell(report, options)


def add_retention(parser: argparse.ArgumentParser) -> None:
    """The options of `retention`."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be erased")
    add_json(parser)


def run_retention(options: argparse.Namespace) -> int:
    """Erase what was kept long enough; returns 1 if something remains."""
    with open_existing(options.data_dir) as store:
        report = sweep(store, dry_run=options.dry_run)
        forget_erased(store)
    if report is None:
        print_result({"clips": 0}, ["Nothing was kept longer than the settings allow."], options.json)
        return 0
    return _tell(report, options)


def _tell(report: ErasureReport, options: argparse.Namespace) -> int:
    print_result(report.as_dict(), report.lines(), options.json)
    return 1 if report.remains else 0
