"""`stats` and `check`: what there is, and whether it is whole."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from tqdm import tqdm

from annotations.agreement import as_dict, krippendorff_alpha
from annotations.commands.common import add_json, open_existing, print_result
from annotations.erasure_log import list_erasures, versions_with_erased
from annotations.exchange.registry import list_exports
from annotations.inspection import inspect
from annotations.queries import list_versions, stats
from annotations.repair import repair
from annotations.store import AnnotationStore


def store_statistics(store: AnnotationStore) -> dict[str, object]:
    """The store in numbers, as plain values for JSON.

    Returns:
        What `queries.stats` tells, and `alpha` (None where it cannot be said yet) with its `agreement`; `speakers`;
        `gold` clips; `lost` clips, whose recording is gone; `exports` remembered; `erasures` done; and
        `versions_with_erased`, names of versions that learnt from what was erased since.
    """
    numbers = stats(store)
    found = krippendorff_alpha(store)
    marked = versions_with_erased(store)
    with store.reading() as connection:
        speakers, lost, gold = connection.execute(
            "SELECT (SELECT count(DISTINCT speaker) FROM clips), (SELECT count(*) FROM missing_media), "
            "(SELECT count(*) FROM queue_clips WHERE gold)"
        ).fetchone()
    return {
        **numbers,
        "alpha": None if found.alpha is None else round(found.alpha, 4),
        "agreement": as_dict(found),
        "speakers": speakers,
        "gold": gold,
        "lost": lost,
        "exports": len(list_exports(store)),
        "erasures": len(list_erasures(store)),
        "versions_with_erased": [version.name for version in list_versions(store) if version.id in marked],
    }


def add_stats(parser: argparse.ArgumentParser) -> None:
    """The options of `stats`."""
    add_json(parser)


def run_stats(options: argparse.Namespace) -> int:
    """Print the store in numbers."""
    with open_existing(options.data_dir) as store:
        numbers = store_statistics(store)
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
    parser.add_argument("--repair", action="store_true", help="mend it: put aside, mark, sweep and rebuild")
    parser.add_argument("--quick", action="store_true", help="do not read every recording to its end")
    add_json(parser)


def run_check(options: argparse.Namespace) -> int:
    """Look for damage, and mend it; 1 where some is left."""
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
