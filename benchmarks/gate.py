"""How often the gate promotes what it should not, and how often what it should.

    python -m benchmarks.gate [--data ../shared/data] [--rounds 200] [--quick] [--json]

Sham rounds: feedback of speakers whom the embedded network never learnt from, divided as the loop divides it; a head
is trained on labels that are drawn or shuffled at random, as gently or as hard as chance has it; the whole gate then
decides, the base's clips among its evidence. In half of the rounds only the training labels are shuffled, in the other
half those of the held-out clips as well: then both models are at chance, and only the gate keeps luck out.

Power: candidates whose true gain is known (see `benchmarks.gate_power`) are judged on as many held-out clips as named,
of five speakers to all, by labels alone and with probabilities. Looks: ten of them without any gain, one after the
other on the same held-out clips.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from annotations.learning.decision import Decision, Standing
from annotations.learning.gate import judge
from annotations.learning.holdout import Holdout, divide
from annotations.records import Clip, FeedbackExample
from benchmarks.gate_data import Clips, Head, as_scores, load_clips, train_head
from benchmarks.gate_power import CONFIDENCE, LOOKS, MIN_GAIN, power, rivals_of, series_without_gain, train_heads
from benchmarks.machine import describe_run
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS
from ser.metrics import uar

PACKAGES = ("numpy", "torch", "scikit-learn")
DATA = Path("../shared/data")

GAINS = (0.0, 0.02, 0.05, 0.10)
SIZES = (30, 50, 100, 200)
FEEDBACK_SIZES = (60, 100, 200, 400)
EFFORTS = ((3, 0.003), (10, 0.003), (30, 0.003), (100, 0.003), (30, 0.03))
"""Epochs and learning rate of a sham training: from next to nothing to all of the noise."""

Rng = np.random.Generator


def sham_round(new: Clips, base: Clips, rng: Rng, *, truths_too: bool) -> dict[str, object]:
    """One sham training and what becomes of it.

    Args:
        new: what feedback is drawn from.
        base: clips that the network learnt from.
        rng: draws it all.
        truths_too: whether the held-out clips' labels are shuffled like those that are learnt from.

    Returns:
        `promoted`, the same without a look at the base, `gain`, and the `unit` that was held out.
    """
    while True:
        feedback = _draw_feedback(new, rng)
        told = rng.permutation(feedback.truth)
        labels = told if truths_too else feedback.truth
        try:
            holdout = divide(_examples(feedback, labels))
            break
        except TrainingDataError:
            continue  # Too few clips of a label on one side: nobody could have started such a run.
    learnt = np.array([example.clip.id for example in holdout.training])
    epochs, learning_rate = EFFORTS[rng.integers(len(EFFORTS))]
    head = train_head(feedback.take(learnt), told[learnt], epochs=epochs, learning_rate=learning_rate)
    seed = int(rng.integers(2**31))
    standing = Standing("base clips", _uar(base, base.base_answers()), _uar(base, head.answers(base)), len(base))
    decision = _judge(holdout, feedback, head, seed, standing)
    alone = _judge(holdout, feedback, head, seed, None)
    return {
        "promoted": decision.promoted,
        "promoted_without_base": alone.promoted,
        "gain": round(decision.gain, 4),
        "unit": holdout.unit,
    }


def _draw_feedback(new: Clips, rng: Rng) -> Clips:
    """Clips of some or many speakers; in a fifth of the draws of a single one."""
    speakers = np.unique(new.speakers)
    count = 1 if rng.random() < 0.2 else int(rng.integers(3, len(speakers) + 1))
    places = np.flatnonzero(np.isin(new.speakers, rng.choice(speakers, count, replace=False)))
    size = int(rng.choice(FEEDBACK_SIZES))
    return new.take(np.sort(rng.permutation(places)[:size]))


def _examples(clips: Clips, labels: np.ndarray) -> list[FeedbackExample]:
    examples = []
    for number, (label, speaker) in enumerate(zip(labels, clips.speakers, strict=True)):
        sha256 = f"{number:064x}"
        clip = Clip(number, sha256, "", 2.0, str(speaker), "benchmark", "one sitting", ("training",), "")
        examples.append(FeedbackExample(clip, {EMOTIONS[label]: 1.0}, 1, str(speaker), ()))
    return examples


def _judge(holdout: Holdout, clips: Clips, head: Head, seed: int, base: Standing | None) -> Decision:
    def places(examples: Sequence[FeedbackExample]) -> Clips:
        return clips.take(np.array([example.clip.id for example in examples], dtype=np.int64))

    return judge(
        replace(holdout, gold=()),
        lambda examples: as_scores(places(examples).logits),
        lambda examples: as_scores(head.logits(places(examples))),
        confidence=CONFIDENCE,
        min_gain=MIN_GAIN,
        seed=seed,
        base=base,
    )


def _uar(clips: Clips, answers: Sequence[str]) -> float:
    return uar(clips.names(), answers, EMOTIONS)


def run(data: Path, *, rounds: int, draws: int, seed: int, for_each: int) -> dict[str, object]:
    """Play all of it.

    Args:
        data: the folder of the corpora.
        rounds: sham rounds.
        draws: candidates for each size and gain, and half as many series of looks.
        seed: of everything drawn.
        for_each: clips of each new speaker at most.
    """
    new, base = load_clips(data, for_each=for_each, base_clips=6 * for_each, seed=seed)
    rng = np.random.default_rng(seed)
    shams = [
        sham_round(new, base, rng, truths_too=bool(number % 2)) for number in tqdm(range(rounds), "sham", disable=None)
    ]
    heads = train_heads(base, rng)
    rivals = {gain: rivals_of(new, heads, gain) for gain in GAINS}
    table = {
        f"{100 * gain:+.0f} points": {
            str(size): power(new, rivals[gain], rng, size=size, draws=draws)
            for size in tqdm(SIZES, f"power {gain}", disable=None)
        }
        for gain in GAINS
    }
    series = [series_without_gain(new, rivals[0.0], rng, 100) for _ in tqdm(range(draws // 2), "looks", disable=None)]

    def rate(name: str, part: slice = slice(None)) -> float:
        return round(float(np.mean([bool(sham[name]) for sham in shams[part]])), 4)

    return {
        "clips": len(new),
        "speakers": len(np.unique(new.speakers)),
        "base_clips": len(base),
        "uar_of_the_model_in_use": round(_uar(new, new.base_answers()), 4),
        "confidence": CONFIDENCE,
        "min_gain": MIN_GAIN,
        "sham_rounds": rounds,
        "sham_promoted_rate": rate("promoted"),
        "sham_promoted_rate_without_base": rate("promoted_without_base"),
        "sham_promoted_rate_training_shuffled": rate("promoted", slice(0, None, 2)),
        "sham_promoted_rate_all_shuffled": rate("promoted", slice(1, None, 2)),
        "sham_units": {unit: sum(s["unit"] == unit for s in shams) for unit in sorted({str(s["unit"]) for s in shams})},
        "power_draws": draws,
        "power_by_true_gain_and_held_out_clips": table,
        "looks": LOOKS,
        "promoted_within_looks_at_one_level": round(float(np.mean([fixed for fixed, _ in series])), 4),
        "promoted_within_looks_spending": round(float(np.mean([spent for _, spent in series])), 4),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the corpora (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=200, help="sham rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="fewer clips and fewer draws for the power; 200 rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    started = time.monotonic()
    draws, for_each = (60, 40) if options.quick else (400, 100)
    result = run(options.data, rounds=options.rounds, draws=draws, seed=options.seed, for_each=for_each)
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result | describe_run(options.seed, PACKAGES), indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
