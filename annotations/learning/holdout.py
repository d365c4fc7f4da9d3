"""Which feedback is kept back from training, so that a new model is judged on voices it has not heard.

Pure: no database, no audio.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from annotations.records import FeedbackExample
from ser.errors import TrainingDataError

HELD_OUT_SHARE = 0.3
"""Share of the units that their hash sends to the held-out side."""

FAIR_DISTANCE = 0.1
"""How far from `HELD_OUT_SHARE` the clips on the held-out side may be by chance; with few units it often is more."""

MIN_TRAINING_CLIPS = 20
MIN_HELD_OUT_CLIPS = 8
MIN_LABELS = 2

SITTING_PART = 5
"""Clips in a row that stay together where one speaker's one sitting is nearly all the feedback there is."""


@dataclass(frozen=True)
class Holdout:
    """A division of the feedback.

    Attributes:
        training: what a model may learn from.
        held_out: what it is judged on; shares no unit with `training`.
        unit: what was kept together: `speaker`, `session` or `part of the sitting`.
        units: how many units there are on both sides together.
    """

    training: tuple[FeedbackExample, ...]
    held_out: tuple[FeedbackExample, ...]
    unit: str
    units: int


def divide(examples: Sequence[FeedbackExample]) -> Holdout:
    """Divide feedback by speaker; where that leaves a side with too little by session, then by parts of the sitting.

    Only the first way says how a model does on voices it has not heard; `Holdout.unit` tells which way was taken.

    A unit's side follows from the hash of its name, so it keeps its side as feedback grows. Only where that gives
    one side too much or too little is another division taken, which the hashes fix as well.

    Args:
        examples: clips with the raters' votes, in order of their ids.

    Returns:
        Both sides.

    Raises:
        TrainingDataError: where there is too little, with the numbers that are needed.
    """
    refusal: TrainingDataError | None = None
    for unit, names in _units(examples):
        sizes = Counter(names)
        order = sorted(sizes, key=_hash_share)
        for held in _candidates(order, sizes):
            training = tuple(e for e, name in zip(examples, names, strict=True) if name not in held)
            held_out = tuple(e for e, name in zip(examples, names, strict=True) if name in held)
            try:
                _require_enough(examples, training, held_out)
            except TrainingDataError as error:
                refusal = refusal or error
                continue
            return Holdout(training, held_out, unit, len(order))
    raise refusal or TrainingDataError(
        f"No labelled clip may be used for training yet; {MIN_TRAINING_CLIPS + MIN_HELD_OUT_CLIPS} are needed. "
        "Label clips whose speakers allow training."
    )


def missing(examples: Sequence[FeedbackExample]) -> str | None:
    """What is still missing for a retraining, as a sentence; None where there is enough."""
    try:
        divide(examples)
    except TrainingDataError as error:
        return str(error)
    return None


def _units(examples: Sequence[FeedbackExample]) -> Iterator[tuple[str, list[str]]]:
    """What may be kept together, strictest first, and the unit of each example."""
    yield "speaker", [e.group for e in examples]
    yield "session", [f"{e.group}/{e.clip.session}" for e in examples]
    seen: Counter[str] = Counter()
    parts = []
    for example in examples:
        parts.append(f"{example.group}/{seen[example.group] // SITTING_PART}")
        seen[example.group] += 1
    yield "part of the sitting", parts


def _candidates(order: Sequence[str], sizes: Mapping[str, int]) -> Iterator[set[str]]:
    """Sets of units to hold out, best first: as the hashes say, where that is a fair share; then the nearest to one."""

    def distance(held: set[str]) -> float:
        return abs(sum(sizes[name] for name in held) / sum(sizes.values()) - HELD_OUT_SHARE)

    by_hash = {name for name in order if _hash_share(name) < HELD_OUT_SHARE}
    if by_hash and distance(by_hash) <= FAIR_DISTANCE:
        yield by_hash
    others = [set(order[:count]) for count in range(1, len(order))] + [{name} for name in order if len(order) > 1]
    yield from sorted(others, key=distance)


def _hash_share(name: str) -> float:
    """A number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _require_enough(
    examples: Sequence[FeedbackExample], training: Sequence[FeedbackExample], held_out: Sequence[FeedbackExample]
) -> None:
    lacking = []
    if len(training) < MIN_TRAINING_CLIPS:
        lacking.append(f"{MIN_TRAINING_CLIPS - len(training)} more for training (there are {len(training)})")
    if len(held_out) < MIN_HELD_OUT_CLIPS:
        lacking.append(
            f"{MIN_HELD_OUT_CLIPS - len(held_out)} more from other speakers or sessions "
            f"to judge the result on (there are {len(held_out)})"
        )
    if lacking:
        raise TrainingDataError(
            f"{len(examples)} labelled clips may be used for training. Needed: {' and '.join(lacking)}. "
            "Label more clips whose speakers allow training."
        )
    for side, part in (("training", training), ("held-out", held_out)):
        labels = Counter(max(e.soft_label, key=e.soft_label.__getitem__) for e in part)
        if len(labels) < MIN_LABELS:
            raise TrainingDataError(
                f"All {len(part)} {side} clips are labelled {next(iter(labels))}; "
                f"at least {MIN_LABELS} different labels are needed. Label clips of other emotions."
            )
