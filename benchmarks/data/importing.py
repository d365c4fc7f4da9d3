"""Speed of an import: `python -m benchmarks.importing --data DIR [--quick] [--clips N] [--json]`.

Takes N different recordings of a folder, imports them into an empty store without recognition, imports
them once more, and kills a third import midway to see what going on costs. Two cores are what the figures are for.
"""

import argparse
import csv
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.maintenance.inspection import inspect
from annotations.store import AnnotationStore
from benchmarks.machine import run_benchmark
from ser.corpora import read_corpus

GOAL_CLIPS, GOAL_SECONDS = 10_000, 600.0
QUICK_CLIPS = 300
OPTIONS = ImportOptions(consent=("research",), labels=True)

PACKAGES = ("numpy", "soundfile", "soxr", "sqlite-utils")

Numbers = dict[str, object]


def make_corpus(source: Path, target: Path, clips: int, seed: int) -> None:
    """Write a corpus of different recordings: real ones as they are, and beyond their number altered copies of them.

    Copies differ by their gain and by noise of a few bits.

    Args:
        source: a corpus folder of real recordings.
        target: the folder to make, Ogg/Opus files and a `metadata.csv`.
        clips: how many.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    (target / "audio").mkdir(parents=True)
    rows = [("file_name", "label", "speaker")]
    real = read_corpus(source).examples
    for number, example in zip(tqdm(range(clips), "make", disable=None), itertools.cycle(real), strict=False):
        name = f"audio/{number:06d}{Path(example.path).suffix if number < len(real) else '.ogg'}"
        if number < len(real):
            shutil.copyfile(example.path, target / name)
        else:
            signal, rate = soundfile.read(example.path, dtype="float32")
            signal = signal * rng.uniform(0.5, 0.9) + rng.normal(0, 1e-4, signal.shape).astype(np.float32)
            soundfile.write(target / name, signal, rate, format="OGG", subtype="OPUS")
        rows.append((name, example.hard_label, example.speaker))
    with open(target / "metadata.csv", "w", encoding="utf-8", newline="") as table:
        csv.writer(table).writerows(rows)


def kill_and_go_on(folder: Path, data_dir: Path, clips: int) -> Numbers:
    """Kill an import midway with SIGKILL, import again, and look for damage."""
    command = [sys.executable, "-m", "annotations", "--data-dir", str(data_dir), "import", str(folder)]
    with subprocess.Popen(
        [*command, "--consent", "research"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and _stored(data_dir) < clips // 3:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    with AnnotationStore(data_dir) as store:
        before = _stored(data_dir)
        report = import_sources(store, [folder], OPTIONS)
        found = inspect(store, contents=False)
    return {
        "killed_at": before,
        "added_after": report.added,
        "lost": clips - before - report.added,
        "well": found.is_well or not (found.missing or found.problems),
    }


def measure(options: argparse.Namespace) -> Numbers:
    """Import a corpus, import it again, and kill a third import midway."""
    clips = QUICK_CLIPS if options.quick else options.clips
    with tempfile.TemporaryDirectory(prefix="import-benchmark-") as scratch:
        folder = Path(scratch, "corpus")
        make_corpus(options.data, folder, clips, options.seed)
        with AnnotationStore(Path(scratch, "store")) as store:
            began, used = time.perf_counter(), time.process_time()
            first = import_sources(store, [folder], OPTIONS)
            middle, used = time.perf_counter(), time.process_time() - used
            import_sources(store, [folder], OPTIONS)
            again = time.perf_counter() - middle
        killed = kill_and_go_on(folder, Path(scratch, "killed"), clips)
    return {
        "benchmark": "importing",
        "clips": first.added,
        "import_s": round(middle - began, 2),
        "ms_per_clip": round(1000 * (middle - began) / clips, 2),
        "cpu_ms_per_clip": round(1000 * used / clips, 2),
        "seconds_for_10000": round((middle - began) / clips * GOAL_CLIPS, 1),
        "goal_s": GOAL_SECONDS,
        "again_s": round(again, 2),
        "killed": killed,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder of real recordings")
    parser.add_argument("--clips", type=int, default=2000)
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick=f"{QUICK_CLIPS} clips")


def _stored(data_dir: Path) -> int:
    if not (data_dir / "annotations.db").is_file():
        return 0
    with AnnotationStore(data_dir) as store, store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM clips").fetchone()[0])


if __name__ == "__main__":
    sys.exit(main())
