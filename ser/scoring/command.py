"""`python -m ser recognize --output DIR.parquet`: many recordings into a parquet folder, going on where it stopped."""

import argparse
import os
import sys
from pathlib import Path

from tqdm import tqdm

from ser.config import Settings
from ser.errors import SettingsError
from ser.scoring.engines import score_locally, score_with_ray
from ser.scoring.parts import list_items, plan_parts, prepare, sweep


def score(paths: list[Path], options: argparse.Namespace, settings: Settings) -> int:
    """Hear what is not in the folder yet.

    Args:
        paths: of the recordings.
        options: `output, engine, workers, same_speaker, same_source`.
        settings: which models to use.

    Returns:
        0 where every recording that was heard now has an answer, otherwise 1.

    Raises:
        SettingsError: where an option cannot be used.
    """
    if options.same_speaker or options.same_source:
        raise SettingsError("--same-speaker needs all answers at once and does not go with --output. Leave one out.")
    workers = options.workers or os.cpu_count() or 1
    items = list_items(paths)
    folder = Path(options.output).absolute()
    waiting = prepare(folder, items)
    if len(waiting) < len(items):
        print(f"{len(items) - len(waiting)} of {len(items)} recordings have an answer already.", file=sys.stderr)
    if not waiting:
        return 0
    parts = plan_parts(waiting, workers)
    engine = (
        score_with_ray(parts, folder, settings, workers)
        if options.engine == "ray"
        else score_locally(parts, folder, settings)
    )
    failed = 0
    with tqdm(total=len(waiting), unit="file", disable=None) as progress:
        for files, without in engine:
            failed += without
            progress.update(files)
    sweep(folder)
    print(f"{len(waiting)} recordings heard, {failed} without an answer; see {folder}", file=sys.stderr)
    return 1 if failed else 0
