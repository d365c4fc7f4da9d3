"""`stats`, `check`, `backup` and `restore`: what there is, whether it is whole, and a copy of it elsewhere."""

import argparse
import os
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from annotations.commands.common import add_json, open_existing, print_result
from annotations.elsewhere.copying import Copier
from annotations.elsewhere.layout import is_recording
from annotations.elsewhere.places import open_place
from annotations.elsewhere.restoring import is_in_use, restore
from annotations.errors import StoreError
from annotations.exchange.registry import list_exports
from annotations.maintenance.inspection import inspect
from annotations.maintenance.repair import repair
from annotations.raters.agreement import as_dict, label_agreement
from annotations.raters.ratings import read_ratings
from annotations.raters.votes import effective_corrections, feedback_summary
from annotations.store import AnnotationStore
from annotations.store.erasure_log import list_erasures, versions_with_erased
from annotations.store.queries import list_training_runs, list_versions
from annotations.store.records import CONSENT_PURPOSES, VERDICTS
from annotations.store.training_records import find_active_version


def stats(store: AnnotationStore) -> dict[str, object]:
    """The store in numbers, as plain values for JSON.

    Returns:
        `clips`; their total `duration` in seconds; `predictions`; `votes` (standing, one a rater and clip, with
        a label); `raters`; `labels` {label: votes}, and `votes_outside` the
        label set; `verdicts` {verdict: standing votes}; `sources` and `consent` {name: clips};
        `versions` and `runs` as lists; `version_in_use`; `alpha` (None if it cannot be said
        yet) with its `agreement`; `speakers`; `gold` clips; `lost` clips, whose recording is gone; `exports`
        remembered; `erasures` done; and `versions_with_erased`, names of those that trained on what was erased since.
    """
    summary = feedback_summary(store)
    verdicts = Counter(vote.verdict for vote in effective_corrections(store))
    versions = list_versions(store)
    found, marked = label_agreement(read_ratings(store)), versions_with_erased(store)
    with store.reading() as connection:
        clips, duration = connection.execute("SELECT count(*), total(duration) FROM clips").fetchone()
        predictions = connection.execute("SELECT count(*) FROM predictions").fetchone()[0]
        sources = connection.execute("SELECT source, count(*) FROM clips GROUP BY source ORDER BY source")
        by_source = {source: count for source, count in sources}
        given = connection.execute("SELECT purpose, count(DISTINCT clip_id) FROM consents_in_force GROUP BY purpose")
        consent = {purpose: count for purpose, count in given}
        in_use = find_active_version(connection)
        speakers, lost, gold = connection.execute(
            "SELECT (SELECT count(DISTINCT speaker) FROM clips), (SELECT count(*) FROM missing_media), "
            "(SELECT count(*) FROM queue_clips WHERE gold)"
        ).fetchone()
    return {
        "clips": clips,
        "duration": round(duration, 3),
        "predictions": predictions,
        "votes": summary.votes,
        "raters": summary.raters,
        "labels": dict(summary.labels),
        "votes_outside": dict(summary.outside),
        "verdicts": {verdict: verdicts[verdict] for verdict in VERDICTS},
        "sources": by_source,
        "consent": {purpose: consent.get(purpose, 0) for purpose in CONSENT_PURPOSES},
        "versions": [{"id": v.id, "name": v.name, "created_at": v.created_at, "metrics": v.metrics} for v in versions],
        "version_in_use": in_use.name if in_use else None,
        "runs": [
            {"id": run.id, "status": run.status, "started_at": run.started_at, "reason": run.reason}
            for run in list_training_runs(store)
        ],
        "alpha": None if found.alpha is None else round(found.alpha, 4),
        "agreement": as_dict(found),
        "speakers": speakers,
        "gold": gold,
        "lost": lost,
        "exports": len(list_exports(store)),
        "erasures": len(list_erasures(store)),
        "versions_with_erased": [version.name for version in versions if version.id in marked],
    }


def run_stats(options: argparse.Namespace) -> int:
    """Print the store in numbers."""
    with open_existing(options.data_dir) as store:
        numbers = stats(store)
    lines = []
    for name, value in numbers.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        elif isinstance(value, list):
            entries = [e if isinstance(e, str) else f"{e['id']} {e.get('name') or e.get('status')}" for e in value]
            value = "; ".join(entries) or "none"
        lines.append(f"{name.replace('_', ' '):<15} {value}")
    print_result(numbers, lines, options.json)
    return 0


def add_check(parser: argparse.ArgumentParser) -> None:
    """The options of `check`."""
    parser.add_argument(
        "--repair",
        action="store_true",
        help="repair it: put files aside, mark lost clips, delete leftovers, rebuild indexes",
    )
    parser.add_argument("--quick", action="store_true", help="do not read every recording to its end")
    add_json(parser)


def run_check(options: argparse.Namespace) -> int:
    """Find damage, and repair it if asked; returns 1 if some is left."""
    with open_existing(options.data_dir) as store, tqdm(desc="check", unit="clip", disable=None) as bar:

        def show(files: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
            bar.total = len(files)
            bar.update(len(files))
            return files

        if not options.repair:
            found = inspect(store, contents=not options.quick, progress=show)
            print_result({**asdict(found), "well": found.is_well}, found.lines() or ["All is well."], options.json)
            return 0 if found.is_well else 1
        report = repair(store, contents=not options.quick, progress=show)
    assert report.after is not None
    result = {**asdict(report.found), "repaired": report.done(), "after": asdict(report.after)}
    lines = report.lines() or report.found.lines() or ["All is well."]
    print_result({**result, "well": report.after.is_well}, lines, options.json)
    return 0 if report.after.is_well else 1


URL_HELP = "hf://datasets/USER/NAME, hf://buckets/USER/NAME, a folder, or what fsspec knows, such as s3://BUCKET/FOLDER"


def add_backup(parser: argparse.ArgumentParser) -> None:
    """The options of `backup`."""
    parser.add_argument("url", metavar="URL", help=URL_HELP)
    parser.add_argument("--overwrite", action="store_true", help="replace another store that lies there")
    add_json(parser)


def run_backup(options: argparse.Namespace) -> int:
    """Copy everything to a place elsewhere; what was erased here since the last time is erased there."""
    with open_existing(options.data_dir) as store:
        copier = Copier(store, open_place(options.url))
        copier.back_up(overwrite=options.overwrite)
        numbers = stats(store)
        lost = numbers["lost"]
    counts = {
        "url": copier.place.url,
        "clips": numbers["clips"],
        "recordings": sum(map(is_recording, copier.files)),
        "votes": numbers["votes"],
        "files": len(copier.files),
        "bytes": sum(copier.files.values()),
    }
    said = (
        f"Saved at {counts['url']}: clips {counts['clips']}, recordings {counts['recordings']}, votes "
        f"{counts['votes']}, files {counts['files']}, {int(str(counts['bytes'])) / 1e6:.1f} MB."
    )
    missing = int(str(counts["clips"])) - int(str(counts["recordings"]))
    more = [f"Clips without a recording here: {missing}; `check` names them."] if missing else []
    print_result({**counts, "missing": missing}, [said, *more], options.json)
    return 1 if missing and missing != lost else 0


def add_restore(parser: argparse.ArgumentParser) -> None:
    """The options of `restore`."""
    parser.add_argument("url", metavar="URL", help=URL_HELP)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what the data folder holds, which is kept under another name",
    )
    parser.add_argument(
        "--partial", action="store_true", help="leave out what is damaged or missing there, and name it"
    )
    add_json(parser)


def run_restore(options: argparse.Namespace) -> int:
    """Bring a store back into a data folder; returns 1 if something was missing."""
    folder: Path = options.data_dir.absolute()
    used = is_in_use(folder)
    if used and not options.overwrite:
        raise StoreError(
            f"{folder} is not empty, and a restoration would mix with what is in it. Name another folder with "
            "--data-dir, or say --overwrite: what is there is kept under another name."
        )
    place = open_place(options.url)
    target = folder.with_name(f"{folder.name}.restored-{secrets.token_hex(4)}") if used else folder
    report = restore(place, target, partial=options.partial, say=lambda text: print(text, file=sys.stderr, flush=True))
    lines = report.lines()
    if used:
        aside = folder.with_name(f"{folder.name}.replaced-{secrets.token_hex(4)}")
        os.replace(folder, aside)
        os.replace(target, folder)
        lines.append(
            f"What was in {folder} is in {aside} now, out of reach of erasures: delete it when you are content."
        )
    print_result({"url": place.url, **report.as_dict()}, lines, options.json)
    return 0 if report.is_whole else 1
