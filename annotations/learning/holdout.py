"""Which feedback is kept back from training, so that a new model is judged on voices it has not heard.

Pure: no database, no audio.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from annotations.records import FeedbackExample
from ser.errors import TrainingDataError

HELD_OUT_SHARE = 0.3
"""Share of the units that their hash sends to the held-out side, where there are `MANY_CLIPS`."""

HELD_OUT_SHARE_OF_FEW = 0.4
"""The same with fewer: then the proof lacks clips more than what is learnt does. Measured: benchmarks/README.md"""

MANY_CLIPS = 200

FAIR_DISTANCE = 0.1
"""How far from the share the clips on the held-out side may be by chance; with few units it often is more."""

MIN_TRAINING_CLIPS = 20
MIN_HELD_OUT_CLIPS = 8
MIN_LABELS = 2

SITTING_PART = 5
"""Clips in a row that stay together where one speaker's one sitting is nearly all the feedback there is."""


TRAINING, HELD_OUT = "training", "held out"
"""The sides."""

UNITS = ("speaker", "session", "part of the sitting")
"""What may be kept together, strictest first."""


@dataclass(frozen=True)
class Holdout:
    """A division of the feedback.

    Attributes:
        training: what a model may learn from.
        held_out: what it is judged on; shares no unit with `training`.
        unit: what was kept together: one of `UNITS`.
        units: how many units there are on both sides together.
        reserved: held out as well, but of voices that training hears, while there is enough of other voices to judge
            by: neither learnt from nor judged on.
        gold: clips of a known label, with that label; never learnt from.
        looks: how often `held_out` has judged before, on average over its clips.
    """

    training: tuple[FeedbackExample, ...]
    held_out: tuple[FeedbackExample, ...]
    unit: str
    units: int
    reserved: tuple[FeedbackExample, ...] = ()
    gold: tuple[FeedbackExample, ...] = ()
    looks: float = 0.0


def divide(examples: Sequence[FeedbackExample], sides: Mapping[int, str] = MappingProxyType({})) -> Holdout:
    """Divide feedback by speaker; where that leaves a side with too little by session, then by parts of the sitting.

    Only the first way says how a model does on voices it has not heard; `Holdout.unit` tells which way was taken.

    A clip that has a side keeps it, and so do the further clips of its speaker; where a speaker is on both sides,
    those of its session. The side of a unit that is new follows from the hash of its name alone. Only where that
    gives one side too much or too little is another division taken, which the hashes fix as well.

    Args:
        examples: clips with the raters' votes, in order of their ids; no gold clips.
        sides: {clip: side} as earlier runs had them; see `annotations.learning.sides`.

    Returns:
        Both sides.

    Raises:
        TrainingDataError: where there is too little, with the numbers that are needed.
    """
    refusal: TrainingDataError | None = None
    for level in range(len(UNITS)):
        names = _names(examples, sides, level)
        settled = {name: sides[e.clip.id] for e, name in zip(examples, names, strict=True) if e.clip.id in sides}
        sizes = Counter(names)
        new = sorted(sizes.keys() - settled.keys(), key=_hash_share)
        before = {name for name, side in settled.items() if side == HELD_OUT}
        for chosen in _candidates(new, sizes) if not sides else _further(new, sizes, before):
            held = before | chosen
            on_side = [
                sides.get(e.clip.id) == HELD_OUT if e.clip.id in sides else name in held
                for e, name in zip(examples, names, strict=True)
            ]
            training = tuple(e for e, out in zip(examples, on_side, strict=True) if not out)
            unit, judging, reserved = _strictest(training, [e for e, out in zip(examples, on_side, strict=True) if out])
            try:
                _require_enough(examples, training, judging)
            except TrainingDataError as error:
                refusal = refusal or error
                continue
            return Holdout(training, judging, unit, len(sizes), reserved)
    raise refusal or TrainingDataError(
        f"No labelled clip may be used for training yet; {MIN_TRAINING_CLIPS + MIN_HELD_OUT_CLIPS} are needed. "
        "Label clips whose speakers allow training."
    )


def held_out_share(clips: int) -> float:
    """The share to hold out of so many clips; a unit that has a side keeps it whatever the share is later.

    >>> held_out_share(60), held_out_share(200)
    (0.4, 0.3)
    """
    return HELD_OUT_SHARE if clips >= MANY_CLIPS else HELD_OUT_SHARE_OF_FEW


def missing(examples: Sequence[FeedbackExample], sides: Mapping[int, str] = MappingProxyType({})) -> str | None:
    """What is still missing for a retraining, as a sentence; None where there is enough."""
    try:
        divide(examples, sides)
    except TrainingDataError as error:
        return str(error)
    return None


def _keys(examples: Sequence[FeedbackExample]) -> list[tuple[str, str, str]]:
    """The name of each example's unit, of each of `UNITS`."""
    seen: Counter[str] = Counter()
    keys = []
    for example in examples:
        part = seen[example.group] // SITTING_PART
        keys.append((example.group, f"{example.group}/{example.clip.session}", f"{example.group}/{part}"))
        seen[example.group] += 1
    return keys


def _names(examples: Sequence[FeedbackExample], sides: Mapping[int, str], level: int) -> list[str]:
    """The unit of each example; a finer one where earlier runs had a unit on both sides."""
    keys = _keys(examples)
    found: dict[str, set[str]] = defaultdict(set)
    for example, names in zip(examples, keys, strict=True):
        if example.clip.id in sides:
            for name in names:
                found[name].add(sides[example.clip.id])

    def whole(names: tuple[str, str, str]) -> str:
        finer = [name for name in names[level:] if len(found[name]) < 2]
        return finer[0] if finer else names[-1]

    return [whole(names) for names in keys]


def _strictest(
    training: Sequence[FeedbackExample], held_out: Sequence[FeedbackExample]
) -> tuple[str, tuple[FeedbackExample, ...], tuple[FeedbackExample, ...]]:
    """What to judge on: of the clips held out those of the strictest unit that are enough, and those left over."""
    learnt: tuple[set[str], set[str]] = ({e.group for e in training}, {f"{e.group}/{e.clip.session}" for e in training})
    others = (
        [e for e in held_out if e.group not in learnt[0]],
        [e for e in held_out if f"{e.group}/{e.clip.session}" not in learnt[1]],
    )
    for unit, strangers in zip(UNITS, others, strict=False):
        if len(strangers) == len(held_out) or _suffices(strangers):
            chosen = {e.clip.id for e in strangers}
            return unit, tuple(strangers), tuple(e for e in held_out if e.clip.id not in chosen)
    return UNITS[-1], tuple(held_out), ()


def _suffices(held_out: Sequence[FeedbackExample]) -> bool:
    labels = {max(e.soft_label, key=e.soft_label.__getitem__) for e in held_out}
    return len(held_out) >= MIN_HELD_OUT_CLIPS and len(labels) >= MIN_LABELS


def _candidates(order: Sequence[str], sizes: Mapping[str, int]) -> Iterator[set[str]]:
    """Sets of units to hold out, best first: as the hashes say, where that is a fair share; then the nearest to one."""
    share = held_out_share(sum(sizes.values()))

    def distance(held: set[str]) -> float:
        return abs(sum(sizes[name] for name in held) / sum(sizes.values()) - share)

    by_hash = {name for name in order if _hash_share(name) < share}
    if by_hash and distance(by_hash) <= FAIR_DISTANCE:
        yield by_hash
    others = [set(order[:count]) for count in range(1, len(order))] + [{name} for name in order if len(order) > 1]
    yield from sorted(others, key=distance)


def _further(order: Sequence[str], sizes: Mapping[str, int], before: set[str]) -> Iterator[set[str]]:
    """Sets of new units to hold out beside those that are: as the hashes say; then the nearest to a fair share."""
    share = held_out_share(sum(sizes.values()))

    def distance(held: set[str]) -> float:
        return abs(sum(sizes[name] for name in held | before) / sum(sizes.values()) - share)

    yield {name for name in order if _hash_share(name) < share}
    yield from sorted((set(order[:count]) for count in range(len(order) + 1)), key=distance)


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
