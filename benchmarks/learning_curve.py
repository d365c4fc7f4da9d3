"""What corrections teach: `python -m benchmarks.learning_curve [--quick] [--json]`.

Simulated raters correct clips of a corpus that the model has not heard (nEMO, Polish; the base model is trained without
it), and the product's own way is gone: store, votes, their worth, held-out side, learner. What is counted is the
unweighted average recall on speakers of that corpus that nobody corrected, and on the reserved speakers of the base
corpora. Raters are perfect, or drawn from how listeners vote by voice alone, a fifth of them spammers. With `--preset
thorough [--base]` the perfect ones in random order play alone.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from annotations.learning.config import PRESETS
from annotations.learning.evidence import Evidence
from annotations.learning.learners import Lesson
from annotations.learning.learners_acoustic import AcousticLearner
from annotations.learning.presets import BASE_DATA
from annotations.queue import QueueOrder
from benchmarks.learning_curve_data import UNSEEN, Ears, base_model, read_world
from benchmarks.learning_curve_rounds import Classroom, Plan, fill_store
from benchmarks.machine import describe_run
from ser.acoustic.classifier import load_network
from ser.errors import SerError

DATA = Path("../shared/data")
CORRECTIONS = (0, 25, 50, 100, 200, 250, 400, 800)
QUICK_CORRECTIONS = (0, 50, 100, 200)
POOL, QUICK_POOL = 2000, 400
TESTED, QUICK_TESTED = 900, 360
SEEDS, QUICK_SEEDS = 3, 1
PACKAGES = ("torch", "numpy")
PLOTTER = "benchmarks.learning_curve_plot"
"""Draws with a package that figures alone do not need."""


class PlainLearner(AcousticLearner):
    """Takes votes by their plain shares, all raters alike: what weighing is measured against."""

    def evidence(self, lesson: Lesson) -> Evidence:
        """None: the examples keep their plain shares."""
        return Evidence()


PLANS = (
    Plan("perfect, random order", "perfect", QueueOrder.RANDOM),
    Plan("perfect, active order", "perfect", QueueOrder.MOST_INFORMATIVE),
    Plan("noisy, weighted", "noisy", QueueOrder.RANDOM),
    Plan("noisy, plain shares", "noisy", QueueOrder.RANDOM, PlainLearner()),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; 0 where done, 2 where data is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="folder of the corpora")
    parser.add_argument("--corpus", choices=sorted(UNSEEN), default="nemo", help="the one that is new to the model")
    parser.add_argument("--quick", action="store_true", help="fewer corrections, clips and seeds; within ten minutes")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the curves there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, metavar="N", help=f"so many, by default {SEEDS}, quick {QUICK_SEEDS}")
    parser.add_argument("--json", action="store_true", help="on one line")
    parser.add_argument(
        "--preset", choices=PRESETS, default=PRESETS[0], help="thorough: perfect raters in random order"
    )
    parser.add_argument("--base", action="store_true", help="a thorough run has the base's corpora at hand")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    if options.plot and importlib.util.find_spec("matplotlib") is None:
        print("The package matplotlib is not installed. Run 'pip install -r requirements-dev.txt'.", file=sys.stderr)
        return 2
    try:
        result = measure(options)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    if options.plot:
        importlib.import_module(PLOTTER).draw_curves(result["curves"], options.plot, options.corpus)
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All plans on all seeds.

    Args:
        options: of the command line.

    Raises:
        SerError: where data is missing or something cannot be trained.
    """
    quick, started = options.quick, time.monotonic()
    pool, tested = (QUICK_POOL, QUICK_TESTED) if quick else (POOL, TESTED)
    world = read_world(options.data, options.corpus, pool, tested, options.seed)
    folder = base_model(world)
    ears = Ears(load_network(folder), world)
    plans = PLANS if options.preset == PRESETS[0] else (replace(PLANS[0], preset=options.preset),)
    os.environ[BASE_DATA] = os.pathsep.join(world.folders) if options.base else ""
    counts = [n for n in (QUICK_CORRECTIONS if quick else CORRECTIONS) if n <= len(world.pool)]
    counts += [] if quick else [len(world.pool)]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        filled = fill_store(Path(scratch) / "filled", folder, ears, world)
        for seed in range(options.seed, options.seed + (options.seeds or (QUICK_SEEDS if quick else SEEDS))):
            for plan in plans:
                # The whole pool is the same whatever the order.
                whole = plan.name == PLANS[0].name and seed == options.seed
                most = [count for count in counts if whole or count <= CORRECTIONS[-1]]
                own = Path(scratch) / f"{len(rows)}"
                own.mkdir()
                for row in Classroom(own, filled, folder, ears, world, plan, seed).rounds(most):
                    rows.append(row)
                    print(json.dumps(row), file=sys.stderr, flush=True)
                shutil.rmtree(own)
    curves = {plan.name: curve_of(rows, plan.name) for plan in plans}
    return {
        "benchmark": "learning_curve",
        "corpus": options.corpus,
        "preset": options.preset,
        "base_at_hand": options.base,
        "pool_clips": len(world.pool),
        "test_clips": len(world.test),
        "test_speakers": sorted({example.speaker for example in world.test}),
        "base_uar": ears.base_uar,
        "curves": curves,
        "targets": targets_of(curves, len(world.pool)),
        "most_forgotten": min((float(row["base_change"]) for row in rows), default=0.0),  # type: ignore[arg-type]
        "rounds": rows,
        "seconds": round(time.monotonic() - started, 1),
    } | describe_run(options.seed, PACKAGES)


def curve_of(rows: Sequence[dict[str, object]], plan: str) -> list[list[float]]:
    """[corrections, mean UAR over seeds] of a plan.

    >>> curve_of([{"plan": "a", "corrections": 50, "uar": 0.5}, {"plan": "a", "corrections": 50, "uar": 0.6}], "a")
    [[50, 0.55]]
    """
    own = [row for row in rows if row["plan"] == plan]
    counts = sorted({int(row["corrections"]) for row in own})  # type: ignore[call-overload]
    mean = {
        count: float(np.mean([float(row["uar"]) for row in own if row["corrections"] == count]))  # type: ignore[arg-type]
        for count in counts
    }
    return [[count, round(mean[count], 4)] for count in counts]


def targets_of(curves: dict[str, list[list[float]]], full: int) -> dict[str, float | None]:
    """What is to be reached, as far as it was measured.

    Returns:
        `gain_at_100`: points with perfect raters, 8 wanted; `share_of_full_at_800`: of the gain with the whole pool,
        0.8 wanted; `active_for_random_400`: corrections in the active order for the random order's figure at 400, 250
        wanted; `noisy_share_of_gain`: at the most corrections that both have, two thirds wanted, and
        `plain_share_of_gain` beside it.
    """
    random, active, noisy, plain = ({int(n): uar for n, uar in curves.get(p.name, [])} for p in PLANS)
    base = random[0]
    last = max(set(random) & set(noisy), default=0)
    goal = random.get(400)
    reached = [count for count, uar in sorted(active.items()) if goal is not None and uar >= goal]
    gain = random[last] - base
    return {
        "gain_at_100": round(100 * (random[100] - base), 1) if 100 in random else None,
        "share_of_full_at_800": round((random[800] - base) / (random[full] - base), 3)
        if 800 in random and full in random and random[full] > base
        else None,
        "active_for_random_400": float(reached[0]) if reached else None,
        "noisy_share_of_gain": round((noisy[last] - base) / gain, 3) if gain > 0 else None,
        "plain_share_of_gain": round((plain[last] - base) / gain, 3) if gain > 0 else None,
    }


if __name__ == "__main__":
    sys.exit(main())
