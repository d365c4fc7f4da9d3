"""Soft labels weighted by reliability against a plain majority: `python -m benchmarks.raters [--quick] [--json]`.

Raters are drawn from a table of how listeners vote on an intended emotion; what is counted is how often the intended
one is recovered. A last line does the same with the listeners' real votes, of which nobody knows who gave which.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats
from tqdm import tqdm

from annotations.raters.ratings import Ratings
from annotations.raters.reliability import agree
from benchmarks.machine import run_benchmark
from ser.errors import SerError
from ser.labels import EMOTIONS

DATA = Path("../shared/data/crowd-votes")
SEEDS, QUICK_SEEDS = 6, 3
NEUTRAL = EMOTIONS.index("neutral")
PACKAGES = ("numpy", "scipy")

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Condition:
    """One simulated collection.

    Attributes:
        per_clip: raters of each clip.
        clips: how many.
        raters: how many there are to choose from.
        spammers: share of them that vote at random, or neutral nearly always, in turns.
        good: share of them with half the confusion of the average listener.
        neutral: share of clips that are neutral; None: as the other labels.
        gold: share of clips whose label is known; they are not counted.
    """

    per_clip: int
    clips: int = 400
    raters: int = 20
    spammers: float = 0.2
    good: float = 0.2
    neutral: float | None = None
    gold: float = 0.0


MIXED = tuple(Condition(k) for k in (2, 3, 4, 5, 6, 8, 10))
VARIANTS = tuple(
    replace(base, **change)
    for base in (Condition(3), Condition(6))
    for change in (
        {"spammers": 0.0, "good": 0.0},
        {"clips": 60, "raters": 8},
        {"neutral": 0.5},
        {"gold": 0.1},
    )
)
QUICK = (Condition(2), Condition(5), Condition(10))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raters", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="of confusion.csv and votes.csv")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="fewer conditions and seeds")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Simulate every condition, and measure the real votes.

    Raises:
        SerError: if a table is missing.
    """
    table = read_confusion(options.data / "confusion.csv")
    seeds = range(options.seed, options.seed + (QUICK_SEEDS if options.quick else SEEDS))
    rows = []
    for condition in tqdm(QUICK if options.quick else MIXED + VARIANTS, unit="condition", disable=None):
        rows.append(asdict(condition) | summarise(np.array([simulate(table, condition, seed) for seed in seeds])))
    real = real_votes(options.data / "votes.csv")
    return {"benchmark": "raters", "seeds": len(seeds), "simulated": rows, "real": real}


def simulate(table: Numbers, condition: Condition, seed: int) -> tuple[float, float, float, float]:
    """Accuracy of majority and of soft labels, then their Brier scores, on one drawn collection."""
    random = np.random.default_rng(seed)
    known = np.flatnonzero(table.sum(1))
    shares = np.full(len(known), 1 / len(known))
    if condition.neutral is not None:
        shares = np.where(known == NEUTRAL, condition.neutral, (1 - condition.neutral) / (len(known) - 1))
    truth = random.choice(known, condition.clips, p=shares)
    crowd = draw_raters(table, condition, random)
    clips = np.repeat(np.arange(condition.clips), condition.per_clip)
    chosen = [random.choice(condition.raters, condition.per_clip, replace=False) for _ in range(condition.clips)]
    raters = np.concatenate(chosen)
    cumulated = crowd[raters, truth[clips]].cumsum(1)
    votes = (random.random((len(clips), 1)) * cumulated[:, -1:] > cumulated).sum(1)
    gold = dict(enumerate(truth[: round(condition.gold * condition.clips)].tolist()))
    weighed = weigh(clips, raters, votes, condition.raters, {clip: EMOTIONS[label] for clip, label in gold.items()})
    counted = np.arange(len(gold), condition.clips)
    plain = majority(clips, votes)[counted]
    return (
        hits(plain, truth[counted]).mean(),
        hits(weighed[counted], truth[counted]).mean(),
        brier(plain, truth[counted]),
        brier(weighed[counted], truth[counted]),
    )


def draw_raters(table: Numbers, condition: Condition, random: np.random.Generator) -> Numbers:
    """Confusion of each rater, shape (raters, labels, labels): spammers, good ones, then varied average listeners."""
    known = np.flatnonzero(table.sum(1))
    crowd = np.zeros((condition.raters, *table.shape))
    for rater in range(condition.raters):
        if rater < condition.spammers * condition.raters:
            always = np.eye(len(table))[NEUTRAL] if rater % 2 else np.zeros(len(table))
            even = np.bincount(known, minlength=len(table)) / len(known)
            crowd[rater] = 0.85 * always + 0.15 * even if rater % 2 else even
        elif rater < (condition.spammers + condition.good) * condition.raters:
            crowd[rater] = 0.5 * table + 0.5 * np.eye(len(table))
        else:
            for label in known:
                crowd[rater, label, known] = random.dirichlet(40 * table[label, known])
    return crowd


def weigh(clips: Codes, raters: Codes, votes: Codes, number: int, gold: dict[int, str]) -> Numbers:
    """Soft labels of clips 0..n-1, shape (clips, labels)."""
    size = len(clips)
    names = tuple(f"r{index:03d}" for index in range(number))
    ratings = Ratings(clips, raters, names, np.eye(len(EMOTIONS))[votes], np.zeros(size, dtype=np.bool_), {})
    found = agree(ratings, gold).soft_labels
    return np.array([[found[clip].get(label, 0.0) for label in EMOTIONS] for clip in range(clips.max() + 1)])


def majority(clips: Codes, votes: Codes) -> Numbers:
    """The share of each label among a clip's votes, shape (clips, labels)."""
    counts = np.zeros((clips.max() + 1, len(EMOTIONS)))
    np.add.at(counts, (clips, votes), 1)
    return np.asarray(counts / counts.sum(1, keepdims=True))


def hits(soft: Numbers, truth: Codes) -> Numbers:
    """Score 1 if the largest share is that of the correct label, a part of it on a tie, else 0.

    >>> hits(np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])).tolist()
    [0.5, 1.0]
    """
    top = soft >= soft.max(1, keepdims=True) - 1e-9
    return np.asarray(top[np.arange(len(truth)), truth] / top.sum(1))


def brier(soft: Numbers, truth: Codes) -> float:
    """Mean squared distance from the truth, 0 to 2; lower is better."""
    return float(((soft - np.eye(soft.shape[1])[truth]) ** 2).sum(1).mean())


def summarise(figures: Numbers) -> dict[str, object]:
    """Means over seeds, and the paired difference with its 95 % t interval over seeds."""
    plain, weighed, brier_plain, brier_weighed = figures.mean(0)
    difference = figures[:, 1] - figures[:, 0]
    low, high = stats.t.interval(0.95, len(difference) - 1, difference.mean(), stats.sem(difference))
    return {
        "majority": round(plain, 4),
        "weighted": round(weighed, 4),
        "difference": [round(float(value), 4) for value in (difference.mean(), low, high)],
        "brier_majority": round(brier_plain, 4),
        "brier_weighted": round(brier_weighed, 4),
    }


def real_votes(path: Path) -> dict[str, object]:
    """Measure real votes without names: one confusion for all; the interval draws speakers."""
    rows = _read(path)
    counts = np.array([[int(row.get(label) or 0) for label in EMOTIONS] for row in rows])
    truth = np.array([EMOTIONS.index(row["intended"]) for row in rows])
    clip, label = np.nonzero(counts)
    times = counts[clip, label]
    clips, votes = np.repeat(clip, times), np.repeat(label, times)
    plain, weighed = majority(clips, votes), weigh(clips, np.zeros_like(clips), votes, 1, {})
    _, speaker = np.unique([row["speaker"] for row in rows], return_inverse=True)
    gain = np.bincount(speaker, hits(weighed, truth) - hits(plain, truth))
    size = np.bincount(speaker)
    drawn = np.random.default_rng(0).multinomial(len(size), np.full(len(size), 1 / len(size)), size=2000)
    low, high = np.percentile(drawn @ gain / (drawn @ size), [2.5, 97.5])
    return {
        "clips": len(truth),
        "votes": len(votes),
        "majority": round(float(hits(plain, truth).mean()), 4),
        "weighted": round(float(hits(weighed, truth).mean()), 4),
        "difference": [round(float(value), 4) for value in (gain.sum() / size.sum(), low, high)],
        "brier_majority": round(brier(plain, truth), 4),
        "brier_weighted": round(brier(weighed, truth), 4),
    }


def read_confusion(path: Path) -> Numbers:
    """Read how listeners vote: row intended, column voted, shape (labels, labels); zeros for missing labels."""
    table = np.zeros((len(EMOTIONS), len(EMOTIONS)))
    for row in _read(path):
        for label in EMOTIONS:
            table[EMOTIONS.index(row["intended"]), EMOTIONS.index(label)] = float(row.get(label) or 0)
    total = table.sum(1, keepdims=True)
    return np.divide(table, total, out=table, where=total > 0)


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise SerError(f"There is no {path}. Name the folder of confusion.csv and votes.csv with --data.")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
