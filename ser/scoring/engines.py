"""`python -m ser recognize --output DIR.parquet`: one worker on this machine, or many of Ray Data on one or more.

Ray is imported only where it is asked for; nothing of it reaches any other machine than those of its own cluster.
"""

import argparse
import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.config import Settings
from ser.errors import ScoringError, SettingsError
from ser.scoring.parts import Item, Part, count_failed, list_items, plan_parts, prepare, sweep, write_part
from ser.scoring.worker import Worker

OBJECT_STORE = 128 * 2**20
"""Bytes; only lists of names and counts travel between the processes."""

ROUNDS_WITHOUT_A_PART = 3
"""Rounds over the missing parts, with none of them done, after which it is given up."""

REASON = 400
"""Characters of Ray's own message, from its end, where the cause stands."""


def score(paths: Sequence[Path], options: argparse.Namespace, settings: Settings) -> int:
    """Recognise the recordings that the folder has no row of yet.

    Args:
        paths: of the recordings.
        options: `output, engine, workers, same_speaker, same_source`.
        settings: which models to use.

    Returns:
        0 if every recording that was recognised now has an answer, otherwise 1.

    Raises:
        SettingsError: if an option cannot be used.
    """
    if options.same_speaker or options.same_source:
        raise SettingsError("--same-speaker needs all answers at once and does not go with --output. Leave one out.")
    workers = options.workers or os.cpu_count() or 1
    items = list_items(paths)
    folder = Path(options.output).absolute()
    waiting = prepare(folder, items)
    if len(waiting) < len(items):
        print(f"Recordings with an answer already: {len(items) - len(waiting)} of {len(items)}.", file=sys.stderr)
    if not waiting:
        return 0
    parts, by_ray = plan_parts(waiting, workers), options.engine == "ray"
    done = score_with_ray(parts, folder, settings, workers) if by_ray else score_locally(parts, folder, settings)
    failed = 0
    with tqdm(total=len(waiting), unit="file", disable=None) as progress:
        for files, without in done:
            failed += without
            progress.update(files)
    sweep(folder)
    print(
        f"{len(waiting)} recording{'' if len(waiting) == 1 else 's'} read, {failed} without an answer; see {folder}",
        file=sys.stderr,
    )
    return 1 if failed else 0


def score_locally(parts: Sequence[Part], folder: Path, settings: Settings) -> Iterator[tuple[int, int]]:
    """Score the parts one after the other on this machine, on all its cores.

    Yields:
        Of each part how many recordings it has, and how many of them have no answer.
    """
    with Worker(settings) as worker:
        for part in parts:
            yield len(part.items), write_part(folder, part, worker.recognize(part.files))


class PartScorer:
    """An actor with one worker of one thread. Ray starts it again if it is killed, and gives it the part again.

    Args:
        folder: where the parts go; must be the same for all machines.
        settings: which models.
    """

    def __init__(self, folder: str, settings: Settings) -> None:
        self._folder, self._worker = Path(folder), Worker(settings, threads=1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Score parts; returns the name of each, how many recordings it has and how many have no answer."""
        done: dict[str, list[Any]] = {"name": [], "files": [], "failed": []}
        for files, sizes, times in zip(batch["files"], batch["sizes"], batch["times"], strict=True):
            part = Part(tuple(Item(str(f), int(s), int(t)) for f, s, t in zip(files, sizes, times, strict=True)))
            # It stands there if the actor that wrote it died before it could say so.
            failed = count_failed(self._folder, part)
            if failed is None:
                failed = write_part(self._folder, part, self._worker.recognize(part.files))
            done["failed"].append(failed)
            done["files"].append(len(part.items))
            done["name"].append(part.name)
        return done


def score_with_ray(parts: Sequence[Part], folder: Path, settings: Settings, workers: int) -> Iterator[tuple[int, int]]:
    """Score the parts by actors of Ray Data: of the cluster that `RAY_ADDRESS` names, else of one on this machine.

    Args:
        parts: of the recordings.
        folder: where they go, reachable under the same name from each machine.
        settings: which models.
        workers: actors, each with models of its own.

    Yields:
        As `score_locally`, in the order in which the parts are done.

    Raises:
        SettingsError: if Ray is not installed.
        ScoringError: if Ray stopped `ROUNDS_WITHOUT_A_PART` times in a row with no part done.
    """
    ray = _import_ray()
    temporary = tempfile.mkdtemp(prefix="ser-")
    # The reading of the list takes a part of a core, as the actors do; the cores are counted, not tied to.
    own = {"address": "local", "num_cpus": workers + 1, "object_store_memory": OBJECT_STORE, "_temp_dir": temporary}
    try:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            **({} if os.environ.get("RAY_ADDRESS") else own),
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        waiting, stopped = {part.name: part for part in parts}, 0
        while waiting:
            before, why = len(waiting), ""
            try:
                for row in _scored(ray, list(waiting.values()), folder, settings, workers):
                    del waiting[row["name"]]
                    yield int(row["files"]), int(row["failed"])
            except ray.exceptions.RayError as error:
                why = str(error)
            for part in list(waiting.values()):
                failed = count_failed(folder, part)
                if failed is not None:
                    del waiting[part.name]
                    yield len(part.items), failed
            stopped = stopped + 1 if len(waiting) == before else 0
            if stopped == ROUNDS_WITHOUT_A_PART:
                raise ScoringError(
                    f"Ray stopped {stopped} time{'' if stopped == 1 else 's'} with no part done; parts left: "
                    f"{len(waiting)}. The command given "
                    f"again goes on with them, --engine local without Ray. The last reason: {why[-REASON:]}"
                )
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _scored(ray: Any, parts: Sequence[Part], folder: Path, settings: Settings, workers: int) -> Iterator[Any]:
    rows = [
        {
            "files": part.files,
            "sizes": [item.size for item in part.items],
            "times": [item.modified_ns for item in part.items],
        }
        for part in parts
    ]
    pool = ray.data.ActorPoolStrategy(size=min(workers, len(rows)), max_tasks_in_flight_per_actor=2)
    scored = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        PartScorer,
        fn_constructor_args=(str(folder), settings),
        batch_size=1,
        num_cpus=1,
        compute=pool,
        max_restarts=-1,
        max_task_retries=-1,
    )
    yield from scored.iter_rows()


def _import_ray() -> Any:
    # All are read when Ray is imported and when its processes start.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray lets everything else go first, by default; on a busy machine its workers would hardly come to answer.
    os.environ.setdefault("RAY_worker_niceness", "0")
    root = str(Path(__file__).resolve().parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError as error:
        raise SettingsError(
            "--engine ray needs Ray, which is not installed. Run: pip install 'ray>=2.50,<3', or leave --engine out."
        ) from error
