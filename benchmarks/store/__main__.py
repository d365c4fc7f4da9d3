"""Speed and safety of the store: `python -m benchmarks.store [--quick] [--clips N] [--store DIR] [--json]`.

Fills a store in a scratch folder, times the review queue in every order with every filter and the saves of twenty
annotators at once, and kills writing processes at random moments to count acknowledged votes that are gone afterwards.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from annotations.store import AnnotationStore
from benchmarks.machine import run_benchmark
from benchmarks.store.filling import fill, fill_votes
from benchmarks.store.load import PROCESSES, THREADS, kill_writers, time_saves, write_votes
from benchmarks.store.queue import time_queue

Numbers = dict[str, object]

OTHERS = 20
"""Raters besides the veteran whose votes are in the store beforehand."""


def measure(options: argparse.Namespace) -> Numbers:
    """Fill a store, time its queue and its saves, and kill its writers."""
    usual = {"clips": 20_000, "kills": 20, "votes": 4, "rounds": 1}
    usual = usual if options.quick else {"clips": 1_000_000, "kills": 500, "votes": 30, "rounds": 4}
    for name, value in usual.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    options.kill_seconds = 15.0 if options.quick else float("inf")
    with _filled(options) as (folder, filling), tempfile.TemporaryDirectory(prefix="store-kills-") as other:
        with AnnotationStore(folder) as store:
            queue = time_queue(store, options.rounds)
        saves = time_saves(folder, options.votes)
        killed = kill_writers(Path(other), options.kills, options.seed, options.kill_seconds)
    lost = int(str(saves["lost_saves"])) + int(str(killed["lost_votes"]))
    return {
        **filling,
        **queue,
        **saves,
        **killed,
        "lost_votes": lost,
        "raters_at_once": PROCESSES * THREADS,
        "sqlite": sqlite3.sqlite_version,
    }


@contextmanager
def _filled(options: argparse.Namespace) -> Iterator[tuple[Path, Numbers]]:
    """The folder of a filled store, and how it was filled: one of its own that goes afterwards, or one that stays."""
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as scratch:
        folder = options.store or Path(scratch)
        start = time.perf_counter()
        with AnnotationStore(folder) as store:
            clips = _count(store)
            if not clips:
                fill(store, options.clips, options.seed)
                # The veteran has labelled a tenth of all, 100,000 of a million: the dearest head of a queue to skip.
                fill_votes(store, options.clips // 10, OTHERS, max(1, options.clips // 200), options.seed)
                clips = _count(store)
        yield folder, {"clips": clips, "fill_s": round(time.perf_counter() - start, 1)}


def _count(store: AnnotationStore) -> int:
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM clips").fetchone()[0])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, or one of its writing processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--clips", type=int, help="in the store (default 1,000,000; quick 20,000)")
    parser.add_argument("--kills", type=int, help="of a writing process (default 500; quick 20)")
    parser.add_argument("--votes", type=int, help="by each of 20 annotators at once (default 30; quick 4)")
    parser.add_argument("--rounds", type=int, help="of all orders with all filters (default 4; quick 1)")
    parser.add_argument("--store", type=Path, help="a folder to keep the filled store in, and to find it in again")
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args(argv)
    if options.writer:
        print(json.dumps(write_votes(options.writer, options.name, options.votes)))
        return 0
    return run_benchmark(parser, measure, ("sqlite-utils", "numpy"), argv=argv, quick="within a minute", passed=is_safe)


def is_safe(result: Mapping[str, object]) -> bool:
    """True if no vote was lost or refused, and the database is whole."""
    return not result["lost_votes"] and not result["locked_errors"] and result["integrity"] == "ok"


if __name__ == "__main__":
    sys.exit(main())
