"""The options of `python -m annotations`: import, export, stats, check. Knows no model until asked to recognise."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from annotations.errors import StoreError
from annotations.exchange.exporting import FORMATS, export_store
from annotations.exchange.importing import IMPORTER, ImportOptions, import_sources
from annotations.media import compare_media
from annotations.prelabelling import recognize_clips
from annotations.queries import stats
from annotations.records import CONSENT_PURPOSES
from annotations.store import DATABASE, AnnotationStore
from ser.config import Settings
from ser.errors import SerError

DATA_DIR_VARIABLE = "SER_DATA_DIR"


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
    _add_import(commands.add_parser("import", help="store recordings, and the votes of own exports"))
    _add_export(commands.add_parser("export", help="write clips with their votes"))
    for name, text in (("stats", "the store in numbers"), ("check", "look for damage; changes nothing")):
        commands.add_parser(name, help=text).add_argument("--json", action="store_true", help="one JSON object")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 something was left out, 2 nothing could be done."""
    options = build_parser().parse_args(argv)
    commands: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "import": _import,
        "export": _export,
        "stats": _stats,
        "check": _check,
    }
    try:
        return commands[options.command](options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was stored stays; run the command again to go on.", file=sys.stderr)
        return 130


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="SOURCE",
        help="a recording, a folder, a zip archive, a metadata.csv (file_name,label,speaker,...), or an own export",
    )
    parser.add_argument(
        "--consent",
        type=_names,
        default=(),
        metavar="A,B",
        help=f"what the speakers allow: some of {','.join(CONSENT_PURPOSES)}; needed for all but own exports, "
        "which carry the consent that was given",
    )
    parser.add_argument("--consent-by", default=IMPORTER, metavar="NAME", help="who says so (default: %(default)s)")
    parser.add_argument("--labels", action="store_true", help="count a table's label as a vote of import:CORPUS")
    parser.add_argument("--recognize", action="store_true", help="let the model in use answer for what was imported")
    parser.add_argument("--max-duration", type=float, metavar="SECONDS", help="refuse longer recordings")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of prose")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=FORMATS, required=True, help="audiofolder is a folder, the others files")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH", help="what to make; must not exist yet")
    parser.add_argument(
        "--purpose",
        choices=CONSENT_PURPOSES,
        default="research",
        help="clips without consent to it are left out (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of prose")


def _import(options: argparse.Namespace) -> int:
    how = ImportOptions(options.consent, options.consent_by, options.labels, options.max_duration)
    with AnnotationStore(options.data_dir) as store:
        report = import_sources(
            store, options.sources, how, lambda items: tqdm(items, desc="import", unit="clip", disable=None)
        )
        if options.recognize:
            # By name, because it brings torch in.
            active = importlib.import_module("annotations.model_loading").load_active_model(store, Settings.from_env())
            remark = active.settle()
            if remark:
                print(remark, file=sys.stderr)
            report.failed += recognize_clips(
                active,
                list(report.clip_ids),
                lambda ids: tqdm(ids, desc="recognize", unit="clip", disable=None),
            )
    for name, reason in report.failed:
        print(f"{name}: {reason}", file=sys.stderr)
    lines = [f"{report.added} clips added, {report.known} were there already, {report.votes} votes added."]
    if report.unlisted:
        lines.append(f"{report.unlisted} recordings were left out: the table beside them does not name them.")
    lines += [f"The label '{name}' of {count} clips is none of ours." for name, count in report.unknown_labels.items()]
    if report.failed:
        lines.append(f"{len(report.failed)} files failed; they are named above.")
    _print(report.as_dict(), lines, options.json)
    return 1 if report.failed else 0


def _export(options: argparse.Namespace) -> int:
    with _open_existing(options.data_dir) as store:
        report = export_store(store, options.format, options.out, options.purpose)
    for name, reason in report.missing:
        print(f"{name}: {reason}", file=sys.stderr)
    lines = [f"{report.clips} clips with {report.votes} votes are in {options.out}."]
    if report.without_consent:
        lines.append(f"{report.without_consent} clips were left out: there is no consent to {options.purpose}.")
    _print(report.as_dict(), lines, options.json)
    return 1 if report.missing else 0


def _stats(options: argparse.Namespace) -> int:
    with _open_existing(options.data_dir) as store:
        numbers = stats(store)
    lines = []
    for name, value in numbers.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        elif isinstance(value, list):
            value = "; ".join(f"{entry['id']} {entry.get('name') or entry.get('status')}" for entry in value) or "none"
        lines.append(f"{name.replace('_', ' '):<15} {value}")
    _print(numbers, lines, options.json)
    return 0


def _check(options: argparse.Namespace) -> int:
    with _open_existing(options.data_dir) as store:
        problems = store.database.problems()
        # Files first would miss a row and file written in between; this way round such a file counts as an orphan
        # for a moment, which is why the hashes are read again for those.
        with store.reading() as connection:
            known = [row["sha256"] for row in connection.execute("SELECT sha256 FROM clips")]
        media = compare_media(store.data_dir, known)
        orphans = [path for path in media.orphans if store.find_clip(Path(path).stem) is None]
    result = {**asdict(media), "orphans": orphans, "problems": problems}
    lines = [f"damaged: {problem}" for problem in problems]
    lines += [f"no recording for clip {sha256}" for sha256 in media.missing]
    lines += [f"recording without a clip: {path}" for path in orphans]
    lines += [f"unfinished file: {path}" for path in media.unfinished]
    _print(result, lines or ["All is well."], options.json)
    return 1 if any(result.values()) else 0


def _open_existing(data_dir: Path) -> AnnotationStore:
    if not (data_dir / DATABASE).is_file():
        raise StoreError(
            f"There is no store in {data_dir}. Name its folder with --data-dir, or import something first."
        )
    return AnnotationStore(data_dir)


def _print(result: Mapping[str, object], lines: Sequence[str], as_json: bool) -> None:
    print(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(lines))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
