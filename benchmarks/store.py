"""How quick and how safe the store is: `python -m benchmarks.store [--quick] [--clips N] [--json]`.

Fills a store in a scratch folder, times the review queue and the saving of votes while threads of two processes write,
and kills a writer again and again at random moments to count acknowledged votes that are gone afterwards.
"""

import argparse
import json
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from annotations import queries
from annotations.errors import StoreError
from annotations.rows import timestamp
from annotations.store import AnnotationStore
from benchmarks.machine import describe_run
from ser.labels import EMOTIONS

PROCESSES = 2
THREADS = 10
"""A process; twenty annotators at once in all."""

PAUSE = 0.2
"""Seconds between two votes of a rater on average: ten times quicker than a person can be."""

Numbers = dict[str, object]


def fill(store: AnnotationStore, clips: int, seed: int) -> None:
    """Insert clips with a prediction each, all in one transaction and without recordings: the queue reads none.

    Args:
        store: empty.
        clips: how many.
        seed: draws entropies.
    """
    rng = random.Random(seed)
    embedded = store.ensure_base_version("embedded", "0" * 64)
    now, scores = timestamp(), json.dumps({"fused": {label: 1 / len(EMOTIONS) for label in EMOTIONS}})
    numbers = range(1, clips + 1)
    with store.database.writing() as connection:
        connection.executemany(
            "INSERT INTO clips (id, sha256, duration, speaker, source, created_at) VALUES (?, ?, 2.5, ?, 'bench', ?)",
            ((i, f"{i:064x}", f"speaker {i % 500}", now) for i in tqdm(numbers, "fill", disable=None)),
        )
        connection.executemany(
            "INSERT INTO consents (clip_id, purpose, created_at) VALUES (?, 'research', ?)", ((i, now) for i in numbers)
        )
        connection.executemany(
            "INSERT INTO predictions (clip_id, model_version_id, label, scores, entropy, created_at) "
            "VALUES (?, ?, 'neutral', ?, ?, ?)",
            ((i, embedded.id, scores, rng.random(), now) for i in numbers),
        )


def time_queue(store: AnnotationStore, judged: int, rounds: int) -> Numbers:
    """Time `next_clip` for a rater who has judged the head of the queue already, the dearest place to start from.

    Args:
        store: filled.
        judged: votes of that rater beforehand.
        rounds: how many calls are timed.
    """
    with store.database.writing() as connection:
        connection.execute(
            "INSERT INTO corrections (clip_id, rater, verdict, label, created_at) "
            "SELECT id, 'veteran', 'correct', 'fear', ? FROM clips ORDER BY uncertainty DESC, id LIMIT ?",
            (timestamp(), judged),
        )
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        item = queries.next_clip(store, "veteran")
        spent.append(time.perf_counter() - start)
        if item is not None:
            store.add_correction(item.clip.id, rater="veteran", verdict="correct", label="fear")
    return {"queue_p50_ms": percentile_ms(spent, 50), "queue_p95_ms": percentile_ms(spent, 95), "queue_judged": judged}


def time_saves(folder: Path, votes: int, clips: int) -> Numbers:
    """Let threads of two processes vote at once; count what is not there afterwards.

    Args:
        folder: of the store.
        votes: by each thread.
        clips: to vote on.
    """
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.store", "--writer", str(folder), "--votes", str(votes)]
    workers = [
        subprocess.Popen([*command, "--clips", str(clips), "--name", f"p{number}"], stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    seconds = time.perf_counter() - start
    spent = [duration for result in results for duration in result["spent"]]
    saved = sum(len(result["spent"]) for result in results)
    with AnnotationStore(folder) as store, store.reading() as connection:
        found = connection.execute("SELECT count(*) FROM corrections WHERE rater GLOB 'p[0-9]*'").fetchone()[0]
    return {
        "save_p50_ms": percentile_ms(spent, 50),
        "save_p95_ms": percentile_ms(spent, 95),
        "save_max_ms": percentile_ms(spent, 100),
        "saves": saved,
        "saves_per_s": round(saved / seconds, 1),
        "lost_saves": saved - found,
        "locked_errors": sum(result["errors"] for result in results),
    }


def write_votes(folder: Path, name: str, votes: int, clips: int) -> Numbers:
    """What one of the writing processes does: every thread is a rater."""
    spent: list[float] = []
    errors: list[str] = []

    def vote(rater: str) -> None:
        rng = random.Random(rater)
        for number in range(votes):
            start = time.perf_counter()
            try:
                store.add_correction(1 + number % clips, rater=rater, verdict="correct", label="fear")
            except StoreError as error:
                errors.append(str(error))
            else:
                spent.append(time.perf_counter() - start)
            time.sleep(rng.uniform(0.0, 2 * PAUSE))

    with AnnotationStore(folder) as store:
        threads = [threading.Thread(target=vote, args=(f"{name} {number}",)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"spent": spent, "errors": len(errors)}


def kill_writers(folder: Path, kills: int, seed: int, seconds: float) -> Numbers:
    """Kill a process that votes without end, at random moments; every vote it acknowledged must be there.

    Args:
        folder: of the store.
        kills: how often.
        seed: draws the moments.
        seconds: after which no more are killed, on a machine that is too slow.
    """
    rng = random.Random(seed)
    # A server with everything imported forks the victims: starting Python anew would take most of the time.
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["annotations.queries", "numpy", "tqdm"])
    acknowledged: set[int] = set()
    end, done = time.monotonic() + seconds, 0
    for _ in tqdm(range(kills), "kill", disable=None):
        receiver, sender = context.Pipe(duplex=False)
        victim = context.Process(target=write_endlessly, args=(folder, sender))
        victim.start()
        sender.close()
        acknowledged.add(receiver.recv())
        time.sleep(rng.uniform(0.0, 0.05))
        victim.kill()
        try:
            while True:
                acknowledged.add(receiver.recv())
        except (EOFError, OSError):  # What was cut short by the kill was never acknowledged whole.
            receiver.close()
        victim.join()
        done += 1
        if time.monotonic() > end:
            break
    with AnnotationStore(folder) as store:
        with store.reading() as connection:
            found = {row["id"] for row in connection.execute("SELECT id FROM corrections")}
        problems = store.database.problems()
    return {
        "kills": done,
        "acknowledged": len(acknowledged),
        "lost_votes": len(acknowledged - found),
        "integrity": problems or "ok",
    }


def write_endlessly(folder: Path, sender: Connection) -> None:
    """What the killed process does: tell the id of each vote once it is saved."""
    store = AnnotationStore(folder)
    number = 0
    while True:
        number += 1
        vote = store.add_correction(1 + number % 10, rater=f"victim {os.getpid()}", verdict="correct", label="anger")
        sender.send(vote.id)


def percentile_ms(spent: Sequence[float], percent: float) -> float:
    """A percentile of seconds, in milliseconds.

    >>> percentile_ms([0.001, 0.003], 50)
    2.0
    """
    return round(float(np.percentile(np.asarray(spent) * 1000.0, percent)), 3)


def measure(clips: int, votes: int, kills: int, seed: int, kill_seconds: float) -> Numbers:
    """The whole benchmark in a scratch folder of the system."""
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as name:
        folder = Path(name)
        with AnnotationStore(folder) as store:
            fill(store, clips, seed)
            queue = time_queue(store, judged=min(clips // 2, 10_000), rounds=200)
        saves = time_saves(folder, votes, clips)
        killed = kill_writers(folder, kills, seed, kill_seconds)
    lost = int(str(saves["lost_saves"])) + int(str(killed["lost_votes"]))
    return {
        **queue,
        **saves,
        **killed,
        "lost_votes": lost,
        "clips": clips,
        "raters_at_once": PROCESSES * THREADS,
        "sqlite": sqlite3.sqlite_version,
        **describe_run(seed, ("sqlite-utils",)),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark, or one of its writing processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="within a minute")
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    parser.add_argument("--clips", type=int, help="in the store (default 100,000; quick 10,000)")
    parser.add_argument("--kills", type=int, help="of a writer (default 500; quick 25)")
    parser.add_argument("--votes", type=int, help="by each of 20 raters at once (default 200; quick 25)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    clips, kills, votes = (10_000, 25, 25) if options.quick else (100_000, 500, 200)
    if options.writer:
        print(json.dumps(write_votes(options.writer, options.name, options.votes, options.clips)))
        return 0
    kill_seconds = 15.0 if options.quick else float("inf")
    result = measure(options.clips or clips, options.votes or votes, options.kills or kills, options.seed, kill_seconds)
    print(json.dumps(result, indent=None if options.json else 2))
    return 1 if result["lost_votes"] or result["locked_errors"] or result["integrity"] != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())
