"""Twenty annotators at once in several processes: how quick their saves are, and what `kill -9` costs them.

Each annotator is a thread that asks for the next clip and votes on it, or saves a new recording with a vote.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
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


def time_saves(folder: Path, votes: int) -> Numbers:
    """Let all annotators work on a filled store at once, two of them on each clip; count what is not there afterwards.

    Args:
        folder: of the store.
        votes: by each annotator.
    """
    with AnnotationStore(folder) as store:
        change_settings(store, AnnotationSettings(overlap=2), by="benchmark")
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.store", "--writer", str(folder), "--votes", str(votes)]
    workers = [
        subprocess.Popen([*command, "--name", f"p{number}"], stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    results = [json.loads(worker.communicate()[0]) for worker in workers]
    seconds = time.perf_counter() - start
    spent = [duration for result in results for duration in result["spent"]]
    waits = [duration for result in results for duration in result["waits"]]
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
        "locked_errors": sum(result["errors"] for result in results),
        "clips_judged_too_often": crowded,
    }


def write_votes(folder: Path, name: str, votes: int) -> Numbers:
    """Run one of the writing processes: every thread is an annotator."""
    spent: list[float] = []
    waits: list[float] = []
    errors: list[str] = []

    def annotate(rater: str) -> None:
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
        threads = [threading.Thread(target=annotate, args=(f"{name} {number}",)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"spent": spent, "waits": waits, "errors": len(errors)}


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
    with _crew(folder) as crew, AnnotationStore(folder) as store:
        for _ in tqdm(range(kills), "kill", disable=None):
            time.sleep(rng.uniform(0.0, 0.2))
            place = rng.randrange(PROCESSES)
            told = crew.kill(place)
            acknowledged += len(told)
            lost |= told - _votes_among(store, told)
            damaged += bool(store.database.problems())
            silent += len(_clips_without_recording(store))
            done += 1
            if time.monotonic() > end:
                break
        told = set().union(*(crew.kill(place, replace=False) for place in range(PROCESSES)))
        acknowledged += len(told)
        lost |= told - _votes_among(store, told)
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


class _Crew:
    """The writing processes of the kill test; one that was killed is replaced at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A server with everything imported forks the victims: starting Python anew would take most of the time.
        methods = multiprocessing.get_all_start_methods()
        self.context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self.context.set_forkserver_preload(["benchmarks.store.load"])
        self.members = [self._start() for _ in range(PROCESSES)]

    def kill(self, place: int, replace: bool = True) -> set[int]:
        """Kill one without warning, and let another take its place.

        Returns:
            Ids of the votes it had been told were saved.
        """
        victim, receiver = self.members[place]
        os.kill(victim.pid, signal.SIGKILL)
        told: set[int] = set()
        try:
            while True:
                told.add(receiver.recv())
        except (EOFError, OSError):  # What was cut short by the kill was never acknowledged whole.
            receiver.close()
        victim.join()
        if replace:
            self.members[place] = self._start()
        return told

    def stop(self) -> None:
        for victim, receiver in self.members:
            victim.kill()
            victim.join()
            receiver.close()

    def _start(self) -> tuple[Any, Connection]:
        receiver, sender = self.context.Pipe(duplex=False)
        victim = self.context.Process(target=write_endlessly, args=(self.folder, sender))
        victim.start()
        sender.close()
        return victim, receiver


@contextmanager
def _crew(folder: Path) -> Iterator[_Crew]:
    crew = _Crew(folder)
    try:
        yield crew
    finally:
        crew.stop()


def write_endlessly(folder: Path, sender: Connection) -> None:
    """Run a process that will be killed: its threads report the id of each vote once it is saved."""
    store = AnnotationStore(folder)
    told = threading.Lock()

    def annotate(number: int) -> None:
        rng = random.Random(f"{os.getpid()} {number}")
        rater = f"{os.getpid()} {number}"
        while True:
            if rng.random() < 0.1:
                audio = synthetic_speech(0.5, seed=rng.randrange(1000, 1_000_000))
                clip = NewClip("page", grants=grant(["research"], rater))
                _, vote = store.save_feedback(audio, None, NewVote(rater, "correct", label="anger"), clip)
            else:
                item = next_clip(store, rater, order=QueueOrder.RANDOM)
                clip_id = item.clip.id if item else 1 + rng.randrange(CLIPS)
                vote = store.add_correction(clip_id, NewVote(rater, "correct", label="fear"))
            with told:
                sender.send(vote.id)
            time.sleep(rng.uniform(0.0, 0.1))

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


def _clips_without_recording(store: AnnotationStore) -> list[str]:
    return [sha256 for sha256 in _hashes(store) if not (store.data_dir / media_path(sha256)).is_file()]


def _hashes(store: AnnotationStore) -> list[str]:
    with store.reading() as connection:
        return [row["sha256"] for row in connection.execute("SELECT sha256 FROM clips")]
