"""Rate of wrong and of right promotions of the gate.

    python -m benchmarks.gate [--data ../shared/data] [--rounds 200] [--quick] [--json]

Each round draws a store of a corpus that the base head has not seen: two to seven labels, balanced or skewed, one to
twelve speakers, 40 to 400 votes. Shams hold nothing about the voice: votes shuffled over all clips or
within speakers, a rater who nearly always says neutral, labels that are consistently permuted, a candidate that only
knows the label shares, and recordings through four channels (clean, telephone, noise, a room; three corpora) that go
with the label. True votes give the power, by the true gain on
speakers who are not in the store. Looks: one store of shuffled votes after the other, each compared ten times.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.gate.channels import through_channels
from benchmarks.gate.rounds import SHAMS, TRUE, draw_store, run_round
from benchmarks.loop.embedded_corpora import MEASURED, TRAINED, Clips, Rng, World, world_without
from benchmarks.machine import describe_run

PACKAGES = ("numpy", "scipy")
DATA = Path("../shared/data")
QUICK_CORPORA = ("ravdess", "nemo", "cremad")
CHANNELLED = ("ravdess", "nemo", "cremad")
"""Corpora whose clips are embedded through several channels."""

LOOKS = 10
GAINS = ((0.0, 0.03), (0.03, 0.07), (0.07, 0.15), (0.15, 1.0))
"""Bins of the true gain."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the rates."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the corpora (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=200, help="of each kind (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="20 rounds of each kind on three corpora")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    rounds = 20 if options.quick else options.rounds
    corpora = QUICK_CORPORA if options.quick else (*TRAINED, *MEASURED)
    rng = np.random.default_rng(options.seed)
    found: dict[str, list[dict[str, object]]] = {kind: [] for kind in (*SHAMS, TRUE)}
    looks: list[bool] = []
    with tqdm(total=len(corpora) * len(found), disable=None) as bar:
        for number, corpus in enumerate(corpora):
            world = world_without(options.data, corpus, rng)
            channels = (
                [world.project(part) for part in through_channels(options.data, corpus)] if corpus in CHANNELLED else []
            )
            # As even as may be: the first corpora have a round more.
            share = rounds // len(corpora) + (number < rounds % len(corpora))
            for kind, rows in found.items():
                if kind == "channel":
                    rows += play(world, kind, -(-rounds // len(CHANNELLED)) if channels else 0, rng, channels)
                else:
                    rows += play(world, kind, share, rng)
                bar.update()
                print(f"{corpus}, {kind}: {rate(rows):.3f} of {len(rows)} so far", file=sys.stderr, flush=True)
            looks += [looked_again(world, rng) for _ in range(max(1, share // 10))]
    result = {
        "benchmark": "gate",
        **describe_run(options.seed, PACKAGES),
        "promoted": {kind: round(rate(rows), 4) for kind, rows in found.items()},
        "rounds": {kind: len(rows) for kind, rows in found.items()},
        "reasons": {kind: reasons(rows) for kind, rows in found.items()},
        "promoted_in_ten_looks": round(float(np.mean(looks)), 4),
        "power_by_true_gain": power_by_gain(found[TRUE]),
        "harmful_promotions_of_true_votes": harm(found[TRUE]),
    }
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


def play(world: World, kind: str, count: int, rng: Rng, channels: Sequence[Clips] = ()) -> list[dict[str, object]]:
    """Some rounds of one kind; stores of a single label are no rounds, as no run begins on them."""
    rows: list[dict[str, object]] = []
    while len(rows) < count:
        store = draw_store(world, kind, rng, channels)
        if len(set(store.votes.tolist())) >= 2 and len(store.votes) >= 28:
            rows.append(run_round(world, store, kind, int(rng.integers(2**31))))
    return rows


def looked_again(world: World, rng: Rng) -> bool:
    """True if any of ten comparisons on one store, each with votes shuffled anew, ends in a promotion."""
    store = draw_store(world, "shuffled", rng)
    if len(set(store.votes.tolist())) < 2 or len(store.votes) < 28:
        return looked_again(world, rng)
    for look in range(LOOKS):
        again = type(store)(store.clips, rng.permutation(store.votes))
        if run_round(world, again, "shuffled", int(rng.integers(2**31)), looks=look)["promoted"]:
            return True
    return False


def reasons(rows: Sequence[dict[str, object]]) -> dict[str, int]:
    """The commonest reasons, with their counts."""
    return dict(Counter(str(row["reason"]) for row in rows).most_common(5))


def rate(rows: Sequence[dict[str, object]]) -> float:
    """Share of rounds that end in a promotion."""
    return float(np.mean([bool(row["promoted"]) for row in rows])) if rows else float("nan")


def power_by_gain(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Share of promotions by the true gain on speakers who are not in the store, of four speakers and more."""
    table = []
    for low, high in GAINS:
        part = [
            row
            for row in rows
            if isinstance(row["true_gain"], float) and low <= row["true_gain"] < high and int(str(row["speakers"])) >= 4
        ]
        enough = [row for row in part if int(str(row["votes"])) >= 100]
        table.append({"true_gain": [low, high], "rounds": len(part), "promoted": round(rate(part), 3)})
        table[-1] |= {"rounds_of_100_votes": len(enough), "promoted_of_100_votes": round(rate(enough), 3)}
    return table


def harm(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    """Promotions that cost more than a point on speakers who are not in the store."""
    taken = [row for row in rows if row["promoted"] and isinstance(row["true_gain"], float)]
    worse = [row for row in taken if float(str(row["true_gain"])) < -0.01]
    return {"promoted": len(taken), "worse": len(worse)}


if __name__ == "__main__":
    sys.exit(main())
