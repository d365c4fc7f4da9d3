"""UAR on speakers whom nobody corrected, against the number of corrected clips of a corpus new to the model.

    python -m benchmarks.learning_curve [--data ../shared/data] [--seeds 3] [--penalty 0.01] [--rehearsal 1] [--quick]

Six corpora are new in turn; the base head is trained on the other ones among those that shipped weights are trained on.
Raters are perfect; noisy, one vote a clip as listeners vote who hear the voice alone (`crowd-votes/confusion.csv`); or,
on CREMA-D, the real listeners of its clips. Half of the speakers are corrected, the other half is tested. The base test
is of base speakers that were neither trained on nor replayed, and that do not bound how far a head goes.

With four labels of a store's own, the seven merged, a head from `OWN_COUNT` perfect votes is held against training on
all clips of the corrected speakers.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from annotations.labels.files import parse_labels
from annotations.labels.label_set import LabelSet
from annotations.learning.targets.base_clips import distilled
from annotations.learning.targets.head_tuning import HeadTuner, Places
from annotations.learning.targets.own_labels import base_clips_for, head_for
from annotations.learning.targets.presets import USUAL, HeadPreset
from benchmarks.loop.embedded_corpora import (
    MEASURED,
    TRAINED,
    Clips,
    Rng,
    World,
    feedback_of,
    fit_scratch,
    mean_recall,
    recall,
    scaled_preset,
    world_without,
)
from benchmarks.loop.raters import read_confusion
from benchmarks.machine import run_benchmark
from ser.acoustic.head import ClassifierHead
from ser.labels import EMOTIONS
from ser.training.heads import FineTuneConfig

DATA = Path("../shared/data")
PACKAGES = ("numpy", "scipy")
COUNTS = (25, 100, 200, 400)
RATERS = ("perfect", "noisy", "listeners")
LISTENERS = 10
"""Real ones of each clip that are known."""

OWN = parse_labels(
    {
        "labels": [
            {"name": "positive", "means": "happiness"},
            {"name": "negative", "means": ["disgust", "sadness"]},
            {"name": "neutral"},
            {"name": "aroused", "means": ["anger", "fear", "surprise"]},
        ]
    }
)
"""Labels of a store's own, each an emotion of the seven or several."""

OWN_COUNT = 200

Votes = list[tuple[int, str, int]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the corpora (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="draws of speakers and clips (default: %(default)s)")
    parser.add_argument("--corpus", action="append", help="new corpus, again for more (default: six)")
    usual = USUAL
    parser.add_argument("--penalty", type=float, default=usual.penalty, help="of fine-tuning (default: %(default)s)")
    parser.add_argument("--rehearsal", type=float, default=usual.rehearsal, help="weight (default: %(default)s)")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="one seed")


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Gain and base-test drop of every corpus, kind of rater and number of corrections."""
    corpora = tuple(options.corpus or (*TRAINED, *MEASURED))
    preset = scaled_preset((replace(FineTuneConfig(), penalty=options.penalty, rehearsal=options.rehearsal),))
    table = read_confusion(options.data / "crowd-votes" / "confusion.csv")
    real = read_listeners(options.data / "crowd-votes" / "votes.csv")
    rows: list[dict[str, object]] = []
    own: list[dict[str, object]] = []
    for corpus in corpora:
        rng = np.random.default_rng(options.seed)
        world = world_without(options.data, corpus, rng)
        for seed in range(1 if options.quick else options.seeds):
            draw = np.random.default_rng([options.seed, seed])
            rows += [row for row in one_seed(world, corpus, preset, table, real, draw)]
            own += own_labels(world, corpus, preset, draw)
        print(corpus, summary(rows, corpus), file=sys.stderr, flush=True)
    return {
        "benchmark": "learning_curve",
        "penalty": options.penalty,
        "rehearsal": options.rehearsal,
        "mean": {kind: summary([row for row in rows if row["raters"] == kind]) for kind in RATERS},
        "own_labels": {
            str(known): {
                name: round(float(np.mean([float(str(row[name])) for row in own if row["known"] is known])), 3)
                for name in ("votes", "whole", "share")
            }
            for known in (True, False)
        },
        "rows": rows,
        "own_label_rows": own,
    }


def one_seed(  # noqa: D417
    world: World, corpus: str, preset: object, table: object, real: dict[str, list[int]], draw: Rng
) -> list[dict[str, object]]:
    """Train on more and more corrections; figures in points of unweighted average recall."""
    speakers = draw.permutation(np.unique(world.new.speakers))
    half = max(1, len(speakers) // 2)
    test = world.new.take(np.isin(world.new.speakers, speakers[half:]))
    order = draw.permutation(np.flatnonzero(np.isin(world.new.speakers, speakers[:half])))
    before, base_before = recall(world.head, test), mean_recall(world.head, world.base_test)
    rows: list[dict[str, object]] = []
    for kind in RATERS if corpus == "cremad" else RATERS[:2]:
        tuner = HeadTuner(world.head, preset, world.replayed, world.guard)  # type: ignore[arg-type]
        for count in COUNTS:
            chosen = world.new.take(order[:count])
            votes = votes_of(chosen, kind, table, real, np.random.default_rng(count))
            feedback = feedback_of(chosen, votes)
            feedback = feedback.take(np.array(sorted({clip for clip, _, _ in votes})))
            head = tuner.fit(feedback, tuner.select(feedback))
            rows.append(
                {
                    "corpus": corpus,
                    "raters": kind,
                    "corrections": len(chosen) if len(chosen) < count else count,
                    "before": round(100 * before, 1),
                    "gain": round(100 * (recall(head, test) - before), 1),
                    "base": round(100 * (mean_recall(head, world.base_test) - base_before), 1),
                }
            )
    return rows


def own_labels(world: World, corpus: str, preset: HeadPreset, draw: Rng) -> list[dict[str, object]]:
    """Train on labels of a store's own, what they mean told or not; unweighted average recall on other speakers.

    `whole` is that of the better of two heads from all clips of the same speakers: fine-tuned as the product does it,
    and trained from nothing. `share` is that of the votes by it.
    """
    speakers = draw.permutation(np.unique(world.new.speakers))
    half = max(1, len(speakers) // 2)
    test = world.new.take(np.isin(world.new.speakers, speakers[half:]))
    corrected = world.new.take(draw.permutation(np.flatnonzero(np.isin(world.new.speakers, speakers[:half]))))
    rows: list[dict[str, object]] = []
    for known in (True, False):
        labels = OWN if known else LabelSet(tuple(replace(own, name=f"my {own.name}", means=()) for own in OWN))
        place = np.array([OWN.names.index(str(OWN.place_of(emotion))) for emotion in EMOTIONS])
        start = head_for(world.head, labels)
        replayed, guard = (base_clips_for(part, labels) for part in (world.replayed, world.guard))
        tuner = HeadTuner(start, preset, replayed and distilled(replayed, start), guard)

        def uar_of(head: ClassifierHead, place: Places = place) -> float:
            said, truth = head.probabilities(test.embeddings).argmax(1), place[test.truth]
            return float(np.mean([(said[truth == label] == label).mean() for label in np.unique(truth)]))

        def tuned(count: int, place: Places = place, labels: LabelSet = labels, tuner: HeadTuner = tuner) -> float:
            votes = [(clip, "ann", int(label)) for clip, label in enumerate(place[corrected.truth[:count]])]
            feedback = feedback_of(corrected.take(np.arange(len(votes))), votes, labels.names)
            return uar_of(tuner.fit(feedback, tuner.select(feedback)))

        scratch = uar_of(fit_scratch(corrected, place[corrected.truth], labels.names))
        votes, whole = tuned(OWN_COUNT), max(tuned(len(corrected)), scratch)
        rows.append(
            {
                "corpus": corpus,
                "known": known,
                "before": round(uar_of(start), 3) if known else None,
                "votes": round(votes, 3),
                "whole": round(whole, 3),
                "share": round(votes / whole, 3),
            }
        )
    return rows


def votes_of(clips: Clips, kind: str, table: object, real: dict[str, list[int]], draw: Rng) -> Votes:
    """Draw what raters say of each clip."""
    confusion = np.asarray(table)
    votes: Votes = []
    for place, truth in enumerate(clips.truth.tolist()):
        if kind == "perfect" or (kind == "noisy" and not confusion[truth].any()):
            votes.append((place, "ann", truth))
        elif kind == "noisy":
            votes.append((place, f"r{draw.integers(5)}", int(draw.choice(len(EMOTIONS), p=confusion[truth]))))
        else:
            # The table counts votes by label and does not tell who gave them.
            given = draw.permutation(real.get(Path(clips.names[place]).stem, [])).astype(int).tolist()
            votes += [(place, f"l{number}", label) for number, label in enumerate(given[:LISTENERS])]
    return votes


def read_listeners(path: Path) -> dict[str, list[int]]:
    """The votes of each clip of CREMA-D, as indices of labels."""
    found: dict[str, list[int]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for place, label in enumerate(EMOTIONS):
                found[row["clip"]] += [place] * int(float(row.get(label) or 0))
    return dict(found)


def summary(rows: Sequence[dict[str, object]], corpus: str | None = None) -> dict[str, object]:
    """Mean and least gain over corpora, and mean and worst base-test change, by number of corrections."""
    table: dict[str, object] = {}
    for count in COUNTS:
        part = [row for row in rows if row["corrections"] == count and corpus in (None, row["corpus"])]
        if corpus is not None:
            part = [row for row in part if row["raters"] == "perfect"]
        if not part:
            continue
        corpora = sorted({str(row["corpus"]) for row in part})
        gains, base = (
            [np.mean([float(str(row[name])) for row in part if row["corpus"] == one]) for one in corpora]
            for name in ("gain", "base")
        )
        table[str(count)] = {
            "gain": round(float(np.mean(gains)), 1),
            "least": round(float(min(gains)), 1),
            "base": round(float(np.mean(base)), 1),
            "worst_base": round(float(min(base)), 1),
        }
    return table


if __name__ == "__main__":
    sys.exit(main())
