"""`import`, `prelabel` and `export`: recordings into the store, predictions for them, and data sets out of it."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from filelock import Timeout
from tqdm import tqdm

from annotations.commands.common import add_json, load_active, names, open_existing, print_result
from annotations.errors import ExchangeError, StoreError
from annotations.exchange.exports.exporting import FORMATS, SPREADSHEET, export_store
from annotations.exchange.imports.importing import import_sources
from annotations.exchange.imports.options import (
    IMPORTER,
    ImportOptions,
    ImportProgress,
    ImportReport,
    failure_lines,
)
from annotations.exchange.imports.preview import preview_sources
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.labels.stored import label_set
from annotations.prelabelling import NICENESS, prelabelling_lock, recognize_clips, unanalysed_clips, until_stopped
from annotations.store import DATABASE, AnnotationStore
from annotations.store.records import CONSENT_PURPOSES


def add_import(parser: argparse.ArgumentParser) -> None:
    """The options of `import`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="recordings, a folder, a zip archive, a table (CSV, TSV, JSON, JSON Lines, Parquet; of Label Studio, "
        "Argilla or audformat too), an own export, or datasets:ID[:CONFIG][:SPLIT] for a set that `datasets` loads",
    )
    parser.add_argument(
        "--consent",
        type=names,
        default=(),
        metavar="A,B",
        help=f"what the speakers consented to: some of {','.join(CONSENT_PURPOSES)}; needed for what brings no consent",
    )
    parser.add_argument("--consent-by", default=IMPORTER, metavar="NAME", help="who says so (default: %(default)s)")
    parser.add_argument("--consent-wording", metavar="TEXT", help="what they agreed to: its words or their version")
    parser.add_argument(
        "--labels",
        action=argparse.BooleanOptionalAction,
        help="count labels as votes: of the table's raters, or of import:CORPUS (default without --gold)",
    )
    parser.add_argument("--labels-as", metavar="RATER", help="count labels without a rater as votes of this one")
    parser.add_argument("--gold", action="store_true", help="take the labels of a table as known answers")
    parser.add_argument(
        "--map-label",
        type=label_pair,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what a label of the source means here; nothing after the sign leaves it out; may be repeated",
    )
    parser.add_argument("--label-column", metavar="NAME", help="the table's column of labels")
    parser.add_argument("--speaker-column", metavar="NAME", help="the table's column of speakers")
    parser.add_argument(
        "--speaker-from",
        metavar="PATTERN",
        help="regular expression whose first group is the speaker in a file's name, such as '^([^_]+)_'",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be imported, and store nothing")
    parser.add_argument("--prelabel", "--recognize", action="store_true", help="pre-label them with the current model")
    parser.add_argument("--max-duration", type=float, metavar="SECONDS", help="refuse longer recordings")
    parser.add_argument("--readmit", action="store_true", help="take recordings that were erased here again")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="threads that decode (default: the cores)")
    add_json(parser)


def run_import(options: argparse.Namespace) -> int:
    """Import, or preview it; returns 1 if something was left out, 2 if nothing could be done."""
    columns = {"speaker": options.speaker_column, "label": options.label_column}
    labels = options.labels if options.labels is not None else not options.gold
    how = ImportOptions(
        consent=options.consent,
        consent_by=options.consent_by,
        labels=labels or options.labels_as is not None,
        max_duration=options.max_duration,
        labels_as=options.labels_as,
        gold=options.gold,
        consent_wording=options.consent_wording,
        readmit=options.readmit,
        workers=options.workers,
        label_map=dict(options.map_label),
        columns={name: header for name, header in columns.items() if header},
        speaker_from=options.speaker_from,
        label_set=_label_set(options.data_dir),
    )
    if options.dry_run:
        preview = preview_sources([_source(source) for source in options.sources], how)
        _print_failures(preview.report.failed)
        print_result(preview.as_dict(), preview.lines(), options.json)
        return preview.exit_code
    with AnnotationStore(options.data_dir) as store:
        report = _import(store, options.sources, how)
        if options.prelabel:
            report.failed += _prelabel(store, list(report.clip_ids))
    _print_failures(report.failed)
    print_result(report.as_dict(), report.lines(), options.json)
    return report.exit_code


def _label_set(data_dir: Path) -> LabelSet:
    """The label set of a store; the seven emotions if the store is not there yet."""
    if not (data_dir / DATABASE).is_file():
        return DEFAULT
    with AnnotationStore(data_dir) as store:
        return label_set(store)


def label_pair(text: str) -> tuple[str, str]:
    """A label of a source and what it means here.

    >>> label_pair("exc = happiness"), label_pair("xxx=")
    (('exc', 'happiness'), ('xxx', ''))
    """
    given, sign, label = text.rpartition("=")
    if not sign or not given.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is no pair OLD=NEW, such as exc=happiness")
    return given.strip(), label.strip()


def _print_failures(failed: Iterable[tuple[str, str]]) -> None:
    for name, reason in failure_lines(failed):
        print(f"{name}: {reason}", file=sys.stderr)


def add_prelabel(parser: argparse.ArgumentParser) -> None:
    """The options of `prelabel`."""
    parser.add_argument("--background", action="store_true", help="run at low priority")
    add_json(parser)


def run_prelabel(options: argparse.Namespace) -> int:
    """Pre-label all clips that have no answer of the current model; returns 1 if some could not be analysed."""
    with open_existing(options.data_dir) as store:
        try:
            with prelabelling_lock(store).acquire(timeout=0):
                if options.background:
                    os.nice(NICENESS)
                waiting = unanalysed_clips(store)
                failed = _prelabel(store, waiting) if waiting else []
        except Timeout as error:
            raise StoreError("Another process is pre-labelling the stored clips. Wait for its end.") from error
    _print_failures(failed)
    result = {"clips": len(waiting), "failed": [{"file": name, "error": reason} for name, reason in failed]}
    lines = [
        f"{len(waiting) - len(failed)} of {len(waiting)} clip{'' if len(waiting) == 1 else 's'} pre-labelled by the "
        "current model."
    ]
    print_result(result, lines, options.json)
    return 1 if failed else 0


def _import(store: AnnotationStore, sources: Sequence[str], how: ImportOptions) -> ImportReport:
    with tqdm(desc="import", unit="clip", disable=None) as bar:

        def show(progress: ImportProgress) -> None:
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        return import_sources(store, [_source(source) for source in sources], how, on_progress=show)


def _source(text: str) -> Path | str:
    return text if text.startswith("datasets:") else Path(text)


def _prelabel(store: AnnotationStore, clip_ids: Sequence[int]) -> list[tuple[str, str]]:
    return recognize_clips(
        load_active(store),
        clip_ids,
        lambda ids: until_stopped(store, tqdm(ids, desc="prelabel", unit="clip", disable=None)),
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """The options of `export`."""
    parser.add_argument("--format", choices=FORMATS, help="audiofolder and audformat are folders, the others files")
    parser.add_argument("--out", type=Path, metavar="PATH", help="what to make; must not exist yet")
    parser.add_argument(
        "--purpose",
        choices=CONSENT_PURPOSES,
        help="clips without consent to it are left out (default: research; publication with --push-to-hub)",
    )
    parser.add_argument(
        "--for-spreadsheets",
        action="store_true",
        help="put an apostrophe before text that a spreadsheet would calculate; an import takes it off again",
    )
    parser.add_argument("--licence", "--license", metavar="NAME", help="of the recordings, for the data set card")
    parser.add_argument("--push-to-hub", metavar="ORG/NAME", help="publish as a data set on the Hub, as Parquet")
    parser.add_argument("--public", action="store_true", help="let everybody see the data set; private by default")
    add_json(parser)


def run_export(options: argparse.Namespace) -> int:
    """Export; returns 1 if recordings are missing."""
    if options.push_to_hub is None and (options.format is None or options.out is None):
        raise ExchangeError("Name a --format and a place with --out, or a data set with --push-to-hub ORG/NAME.")
    if options.push_to_hub is not None and (options.format not in (None, "parquet") or options.out is not None):
        raise ExchangeError("--push-to-hub publishes Parquet from a place of its own: leave out --format and --out.")
    if options.for_spreadsheets and options.format != "csv":
        raise ExchangeError("--for-spreadsheets is for tables that a spreadsheet opens: give --format csv with it.")
    with open_existing(options.data_dir) as store:
        if options.push_to_hub:
            purpose = options.purpose or "publication"
            # By name, because it brings the Hub's library in.
            report = importlib.import_module("annotations.exchange.exports.publishing").publish(
                store, options.push_to_hub, purpose=purpose, licence=options.licence, private=not options.public
            )
            place = report.published
        else:
            purpose = options.purpose or "research"
            form = SPREADSHEET if options.for_spreadsheets else options.format
            report = export_store(store, form, options.out, purpose, licence=options.licence)
            place = options.out
    _print_failures(report.missing)
    lines = [
        f"{report.clips} clip{'' if report.clips == 1 else 's'} with {report.votes} "
        f"vote{'' if report.votes == 1 else 's'} exported: {place}."
    ]
    if report.without_consent:
        lines.append(
            f"{report.without_consent} clip{' was' if report.without_consent == 1 else 's were'} left out: "
            f"there is no consent to {purpose}."
        )
    print_result(report.as_dict(), lines, options.json)
    return 1 if report.missing else 0
