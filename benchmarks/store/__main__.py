"""Speed and safety of the store: `python -m benchmarks.store [--quick] [--clips N] [--store DIR] [--json]`.

Fills a store in a scratch folder, times the review queue in every order with every filter, the list of clips, and the
saves of twenty annotators at once, and kills writing processes at random moments to count acknowledged votes that are
gone afterwards.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from annotations.elsewhere.journal import begin_journal
from annotations.store import AnnotationStore
from benchmarks.machine import run_benchmark
from benchmarks.store.filling import fill, fill_votes
from benchmarks.store.load import PROCESSES, THREADS, kill_writers, time_saves
from benchmarks.store.queue import time_queue
from benchmarks.store.table import time_table

Numbers = dict[str, object]

OTHERS = 20
"""Raters other than the veteran whose votes are in the store beforehand."""


SIZES = {"clips": (1_000_000, 20_000), "kills": (500, 20), "votes": (30, 4), "rounds": (4, 1)}
"""Defaults of options, in full and with --quick."""


def measure(options: argparse.Namespace) -> Numbers:
    """Fill a store, time its queue and its saves, and kill its writers."""
    clips, kills, votes, rounds = (
        sizes[options.quick] if getattr(options, name) is None else getattr(options, name)
        for name, sizes in SIZES.items()
    )
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as scratch:
        folder = options.store or Path(scratch, "filled")
        start = time.perf_counter()
        with AnnotationStore(folder) as store:
            if not _count(store):
                fill(store, clips, options.seed)
                # The veteran has labelled a tenth of all, 100,000 of a million: the dearest head of a queue to skip.
                fill_votes(store, clips // 10, OTHERS, max(1, clips // 200), options.seed)
            filling = {"clips": _count(store), "fill_s": round(time.perf_counter() - start, 1)}
            queue = {**time_queue(store, rounds), **time_table(store, rounds)}
            if options.journal:
                begin_journal(store)
        saves = time_saves(folder, votes)
        killed = kill_writers(Path(scratch, "killed"), kills, options.seed, 15.0 if options.quick else float("inf"))
    lost = int(str(saves["lost_saves"])) + int(str(killed["lost_votes"]))
    sizes = {"lost_votes": lost, "raters_at_once": PROCESSES * THREADS, "sqlite": sqlite3.sqlite_version}
    return {"benchmark": "store", "journal": options.journal, **filling, **queue, **saves, **killed, **sizes}


def _count(store: AnnotationStore) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM clips").fetchone()[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--clips", type=int, help="in the store (default 1,000,000; quick 20,000)")
    parser.add_argument("--kills", type=int, help="of a writing process (default 500; quick 20)")
    parser.add_argument("--votes", type=int, help="by each of 20 annotators at once (default 30; quick 4)")
    parser.add_argument("--rounds", type=int, help="of all orders with all filters (default 4; quick 1)")
    parser.add_argument("--journal", action="store_true", help="note each change, as for a store elsewhere")
    parser.add_argument("--store", type=Path, help="a folder to keep the filled store in, and to find it in again")
    return run_benchmark(parser, measure, ("sqlite-utils", "numpy"), argv=argv, quick="within a minute", passed=is_safe)


def is_safe(result: Mapping[str, object]) -> bool:
    """True if no vote was lost or refused, and the database is whole."""
    return not result["lost_votes"] and not result["locked_errors"] and result["integrity"] == "ok"


if __name__ == "__main__":
    sys.exit(main())
