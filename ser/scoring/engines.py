"""Who hears the parts: a process beside this one, or workers of Ray Data on one machine or many.

Ray is imported only where it is asked for; nothing of it reaches any other machine than those of its own cluster.
"""

import importlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ser.config import Settings
from ser.errors import AudioError, ScoringError, SettingsError
from ser.loading import load_recognizer
from ser.scoring.apart import score_apart
from ser.scoring.journal import hear_part
from ser.scoring.parts import Item, Part, count_failed
from ser.types import Recognition

ENGINES = ("local", "ray")

OBJECT_STORE = 128 * 2**20
"""Bytes; only lists of names and counts travel between the processes."""

ROUNDS_WITHOUT_A_PART = 3
"""What Ray cannot mend itself is tried again over what is missing, so often with nothing gained."""

REASON = 400
"""Characters of Ray's own message, from its end, where the cause stands."""


def score_locally(parts: Sequence[Part], folder: Path, settings: Settings) -> Iterator[tuple[int, int]]:
    """Hear the parts one after the other on this machine, on all its cores.

    Yields:
        Of each part how many recordings it has, and how many of them have no answer.
    """
    yield from score_apart(parts, folder, settings)


class PartScorer:
    """A worker: one set of models, one thread. Ray starts it again where it is killed, and gives it the part again.

    Args:
        folder: where the parts go; must be the same for all machines.
        settings: which models.
    """

    def __init__(self, folder: str, settings: Settings) -> None:
        self._folder = Path(folder)
        self._recognizer = load_recognizer(settings)
        # Only models of transformers bring torch in.
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Hear parts and write them; returns the name of each, how many recordings it has and how many no answer."""
        done: dict[str, list[Any]] = {"name": [], "files": [], "failed": []}
        for files, sizes, times in zip(batch["files"], batch["sizes"], batch["times"], strict=True):
            part = Part(tuple(Item(str(f), int(s), int(t)) for f, s, t in zip(files, sizes, times, strict=True)))
            done["failed"].append(hear_part(self._hear, self._folder, part))
            done["files"].append(len(part.items))
            done["name"].append(part.name)
        return done

    def _hear(self, files: Sequence[str]) -> list[Recognition | AudioError]:
        return list(self._recognizer.recognize_many(files, workers=1))


def score_with_ray(parts: Sequence[Part], folder: Path, settings: Settings, workers: int) -> Iterator[tuple[int, int]]:
    """Hear the parts with workers of Ray Data: of the cluster that `RAY_ADDRESS` names, else of one on this machine.

    Args:
        parts: to hear.
        folder: where they go, reachable under the same name from each machine.
        settings: which models.
        workers: processes, each with models of its own.

    Yields:
        As `score_locally`, in the order in which the parts are done.

    Raises:
        SettingsError: where Ray is not installed.
        ScoringError: where Ray stopped `ROUNDS_WITHOUT_A_PART` times in a row with no part done.
    """
    ray = _ray()
    temporary = tempfile.mkdtemp(prefix="ser-")
    local = {} if os.environ.get("RAY_ADDRESS") else _local_options(workers, temporary)
    try:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error", **local)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
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
                # Written by a worker that died before it could tell.
                failed = count_failed(folder, part)
                if failed is not None:
                    del waiting[part.name]
                    yield len(part.items), failed
            stopped = stopped + 1 if len(waiting) == before else 0
            if stopped == ROUNDS_WITHOUT_A_PART:
                raise ScoringError(
                    f"Ray stopped {stopped} times with no part done; {len(waiting)} parts are left. The command given "
                    f"again goes on with them, --engine local without Ray. The last reason: {why[-REASON:]}"
                )
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _scored(ray: Any, parts: Sequence[Part], folder: Path, settings: Settings, workers: int) -> Iterator[Any]:
    rows = [
        {
            "files": [item.file for item in part.items],
            "sizes": [item.size for item in part.items],
            "times": [item.modified_ns for item in part.items],
        }
        for part in parts
    ]
    # A worker that died is started again, and its part is given again without end: what ends it is the journal.
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


def _local_options(workers: int, temporary: str) -> dict[str, object]:
    # The reading of the list takes a part of a core beside the workers; the cores are counted, not tied to.
    return {
        "address": "local",
        "num_cpus": workers + 1,
        "object_store_memory": OBJECT_STORE,
        "_temp_dir": temporary,
    }


def _ray() -> Any:
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
