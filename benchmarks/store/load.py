"""Twenty annotators at once in several processes: how quick their saves are, and what `kill -9` costs them.

Each annotator is a thread that asks for the next clip and votes on it, or saves a new recording with a vote.
"""

import json
import multiprocessing
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from annotations.errors import StoreError
from annotations.maintenance.inspection import inspect
from annotations.review.queue import QueueOrder, next_clip
from annotations.store import AnnotationStore, NewClip, NewVote, grant
from annotations.store.media import media_path
from annotations.store.settings import AnnotationSettings, change_settings
from benchmarks.store.queue import percentile_ms
from ser.testing import synthetic_speech

PROCESSES = 4
THREADS = 5
"""A process; twenty annotators at once in all."""

PAUSE = 1.0
"""Seconds between two votes of an annotator on average: twelve times as quick as 300 clips an hour."""

CLIPS = 200
"""Clips in the store of the killed writers when it begins; it grows by the recordings that they save."""

Numbers = dict[str, object]
Saves = tuple[list[float], list[float], int]
"""Seconds of saves and of waits for the next clip, and the number of errors."""


def time_saves(folder: Path, votes: int) -> Numbers:
    """Let all annotators work on a filled store at once, two of them on each clip; count what is not there afterwards.

    Args:
        folder: of the store.
        votes: by each annotator.
    """
    with AnnotationStore(folder) as store:
        change_settings(store, AnnotationSettings(overlap=2), by="benchmark")
    with _processes().Pool(PROCESSES) as pool:
        start = time.perf_counter()
        arguments = [(folder, f"p{number}", votes) for number in range(PROCESSES)]
        # One task a process: a quick one must not take the next one's votes.
        results: list[Saves] = pool.starmap(write_votes, arguments, chunksize=1)
        seconds = time.perf_counter() - start
    spent = [duration for saves, _, _ in results for duration in saves]
    waits = [duration for _, waited, _ in results for duration in waited]
    with AnnotationStore(folder) as store, store.reading() as connection:
        found = connection.execute("SELECT count(*) FROM corrections WHERE rater GLOB 'p[0-9]*'").fetchone()[0]
        crowded = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM judgements WHERE rater GLOB 'p[0-9]*' GROUP BY clip_id "
            "HAVING count(*) > 2)"
        ).fetchone()[0]
    return {
        "save_p50_ms": percentile_ms(spent, 50),
        "save_p95_ms": percentile_ms(spent, 95),
        "save_max_ms": percentile_ms(spent, 100),
        "next_clip_under_load_p95_ms": percentile_ms(waits, 95),
        "saves": len(spent),
        "saves_per_s": round(len(spent) / seconds, 1),
        "lost_saves": len(spent) - found,
        "locked_errors": sum(errors for _, _, errors in results),
        "clips_voted_on_too_often": crowded,
    }


def write_votes(folder: Path, name: str, votes: int) -> Saves:
    """Run one of the writing processes: every thread is an annotator."""
    spent, waits, errors = list[float](), list[float](), list[str]()

    def annotate(number: int) -> None:
        rater = f"{name} {number}"
        rng = random.Random(rater)
        for _ in range(votes):
            time.sleep(rng.uniform(0.0, 2 * PAUSE))
            try:
                start = time.perf_counter()
                item = next_clip(store, rater)
                waits.append(time.perf_counter() - start)
                if item is None:
                    return
                start = time.perf_counter()
                store.add_correction(item.clip.id, NewVote(rater, "correct", label="fear", intensity=50))
                spent.append(time.perf_counter() - start)
            except StoreError as error:
                errors.append(str(error))

    with AnnotationStore(folder) as store:
        next_clip(store, "first look")
        _run_threads(annotate)
    return spent, waits, len(errors)


def kill_writers(folder: Path, kills: int, seed: int, seconds: float) -> Numbers:
    """Kill one of the writing processes again and again, at random moments, while the others go on.

    After each kill every vote that was acknowledged must be there, each clip must have its recording, and the database
    must be whole.

    Args:
        folder: of a store of its own, made here.
        kills: how often.
        seed: draws the moments and the victims.
        seconds: after which no more are killed, on a machine that is too slow.
    """
    rng = random.Random(seed)
    with AnnotationStore(folder) as store:
        for number in range(CLIPS):
            store.add_clip(synthetic_speech(0.5, seed=number), source="benchmark")
    lost: set[int] = set()
    acknowledged, done, damaged, silent = 0, 0, 0, 0
    end = time.monotonic() + seconds
    with _writers(folder) as writers, AnnotationStore(folder) as store:

        def check(place: int) -> None:
            nonlocal acknowledged
            saved = writers[place].kill()
            acknowledged += len(saved)
            lost.update(saved - _votes_among(store, saved))

        for _ in tqdm(range(kills), "kill", disable=None):
            time.sleep(rng.uniform(0.0, 0.2))
            place = rng.randrange(PROCESSES)
            check(place)
            writers[place] = _Writer(folder)
            damaged += bool(store.database.problems())
            hashes = _hashes(store)
            silent += sum(not (folder / media_path(sha256)).is_file() for sha256 in hashes)
            done += 1
            if time.monotonic() > end:
                break
        for place in range(PROCESSES):
            check(place)
        orphans = len(inspect(store, contents=False).orphans)
        integrity = store.database.problems()
    return {
        "kills": done,
        "acknowledged": acknowledged,
        "lost_votes": len(lost),
        "integrity": integrity or ("ok" if not damaged else f"{damaged} kills left damage"),
        "clips_without_recording": silent,
        "recordings_without_clip": orphans,
    }


class _Writer:
    """A writing process of the kill test."""

    def __init__(self, folder: Path) -> None:
        context = _processes()
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=write_endlessly, args=(folder, sender))
        self.process.start()
        sender.close()

    def kill(self) -> set[int]:
        """Kill it without warning; ids of the votes that were acknowledged to it."""
        self.process.kill()
        saved: set[int] = set()
        try:
            while True:
                saved.add(self.receiver.recv())
        except (EOFError, OSError):  # Cut short by the kill: never acknowledged whole.
            self.receiver.close()
        self.process.join()
        return saved


@contextmanager
def _writers(folder: Path) -> Iterator[list[_Writer]]:
    writers = [_Writer(folder) for _ in range(PROCESSES)]
    try:
        yield writers
    finally:
        for writer in writers:
            writer.process.kill()
            writer.process.join()


def _processes() -> Any:
    """Return a context whose server forks processes with everything imported: starting Python anew takes longer."""
    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["benchmarks.store.load"])
    return context


def write_endlessly(folder: Path, sender: Connection) -> None:
    """Run a process that will be killed: its threads send the id of each vote once it is saved."""
    store = AnnotationStore(folder)
    sending = threading.Lock()

    def annotate(number: int) -> None:
        rater = f"{os.getpid()} {number}"
        rng = random.Random(rater)
        while True:
            if rng.random() < 0.1:
                audio = synthetic_speech(0.5, seed=rng.randrange(1000, 1_000_000))
                clip = NewClip("page", grants=grant(["research"], rater))
                _, vote = store.save_feedback(audio, None, NewVote(rater, "correct", label="anger"), clip)
            else:
                item = next_clip(store, rater, order=QueueOrder.RANDOM)
                clip_id = item.clip.id if item else 1 + rng.randrange(CLIPS)
                vote = store.add_correction(clip_id, NewVote(rater, "correct", label="fear"))
            with sending:
                sender.send(vote.id)
            time.sleep(rng.uniform(0.0, 0.1))

    _run_threads(annotate)


def _run_threads(annotate: Callable[[int], None]) -> None:
    threads = [threading.Thread(target=annotate, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _votes_among(store: AnnotationStore, ids: set[int]) -> set[int]:
    with store.reading() as connection:
        found = connection.execute(
            "SELECT id FROM corrections WHERE id IN (SELECT value FROM json_each(?))", (json.dumps([*ids]),)
        )
        return {row["id"] for row in found}


def _hashes(store: AnnotationStore) -> list[str]:
    with store.reading() as connection:
        return [row["sha256"] for row in connection.execute("SELECT sha256 FROM clips")]
