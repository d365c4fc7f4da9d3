"""Split of the feedback into training and held-out clips, so that a model is compared on speakers new to it.

Pure: no database, no audio.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from annotations.learning.promotion.folds import FEWEST_GROUPS
from annotations.store.records import FeedbackExample
from ser.errors import TrainingDataError

HELD_OUT_SHARE = 0.3
"""Share of the units that their hash holds out, if there are `MANY_CLIPS`."""

HELD_OUT_SHARE_OF_FEW = 0.4
"""The same with fewer clips: then the comparison lacks clips more than the training. Measured: benchmarks/README.md"""

MANY_CLIPS = 200

FAIR_DISTANCE = 0.1
"""Allowed distance of the held-out share from its target; with few units it often is larger."""

MIN_TRAINING_CLIPS = 20
MIN_HELD_OUT_CLIPS = 8
MIN_LABELS = 2

SESSION_PART = 5
"""Consecutive clips that stay together if one speaker's one session is nearly all the feedback."""


TRAINING, HELD_OUT, OUT_OF_FOLD = "training", "held out", "out of fold"
"""The splits; out of fold is trained on in the end and predicted by models that have not seen its unit."""

UNITS = ("speaker", "session", "part of the session")
"""Units that may be kept together, strictest first."""


@dataclass(frozen=True)
class Holdout:
    """A division of the feedback.

    Attributes:
        training: what a model may train on.
        held_out: what it is compared on; shares no unit with `training`.
        unit: what was kept together: one of `UNITS`.
        units: number of units in both splits together.
        reserved: held out as well, but of speakers in `training`, while other speakers suffice for the comparison:
            neither trained on nor compared on.
        gold: clips of a known label, with that label; never trained on.
        looks: mean number of earlier comparisons on the clips of `held_out`.
        cross_fitted: whether `training` and `held_out` are the same clips, compared out of fold.
    """

    training: tuple[FeedbackExample, ...]
    held_out: tuple[FeedbackExample, ...]
    unit: str
    units: int
    reserved: tuple[FeedbackExample, ...] = ()
    gold: tuple[FeedbackExample, ...] = ()
    looks: float = 0.0
    cross_fitted: bool = False


def cross_fit(examples: Sequence[FeedbackExample]) -> Holdout:
    """Take all feedback for training and for the comparison, which is then made out of fold.

    Speakers stay together if there are at least `folds.FEWEST_GROUPS`, else sessions, else parts of a session: only
    the first says how a model does on new speakers, and `Holdout.unit` tells which it is.

    Args:
        examples: clips with the raters' votes, in order of their ids; no gold clips.

    Raises:
        TrainingDataError: if there is too little, with the numbers that are needed.
    """
    if not examples:
        raise _nothing_yet()
    least = MIN_TRAINING_CLIPS + MIN_HELD_OUT_CLIPS
    if len(examples) < least:
        raise TrainingDataError(
            f"{len(examples)} labelled clip{'' if len(examples) == 1 else 's'} may be used for training; {least} are "
            "needed. "
            "Label more clips with consent to training."
        )
    _require_labels("labelled", examples)
    for level, unit in enumerate(UNITS):
        units = len(set(unit_names(examples, unit)))
        if units >= FEWEST_GROUPS or level == len(UNITS) - 1:
            break
    return Holdout(tuple(examples), tuple(examples), unit, units, cross_fitted=True)


def unit_names(examples: Sequence[FeedbackExample], unit: str) -> list[str]:
    """The name of each example's unit, of that one of `UNITS`."""
    return [names[UNITS.index(unit)] for names in _keys(examples)]


def divide(examples: Sequence[FeedbackExample], splits: Mapping[int, str] = MappingProxyType({})) -> Holdout:
    """Split feedback by speaker; if that leaves a split with too little, by session, then by parts of the session.

    Only the first way shows how a model does on new speakers; `Holdout.unit` tells which way was taken.

    A clip keeps its split, and the further clips of its speaker join it there; if a speaker is in both splits, those
    of its session do. The split of a new unit follows from the hash of its name alone. Only if that gives one split
    too much or too little, another division is taken, which the hashes fix as well.

    Args:
        examples: clips with the raters' votes, in order of their ids; no gold clips.
        splits: {clip: split} as earlier runs had them; see `annotations.learning.promotion.holdout_store`.

    Returns:
        Both splits.

    Raises:
        TrainingDataError: if there is too little, with the numbers that are needed.
    """
    refusal: TrainingDataError | None = None
    for level in range(len(UNITS)):
        names = _names(examples, splits, level)
        settled = {name: splits[e.clip.id] for e, name in zip(examples, names, strict=True) if e.clip.id in splits}
        sizes = Counter(names)
        new = sorted(sizes.keys() - settled.keys(), key=_hash_share)
        before = {name for name, split in settled.items() if split == HELD_OUT}
        for chosen in _candidates(new, sizes) if not splits else _further(new, sizes, before):
            held = before | chosen
            are_held = [
                splits.get(e.clip.id) == HELD_OUT if e.clip.id in splits else name in held
                for e, name in zip(examples, names, strict=True)
            ]
            training = tuple(e for e, out in zip(examples, are_held, strict=True) if not out)
            unit, compared, reserved = _strictest(
                training, [e for e, out in zip(examples, are_held, strict=True) if out]
            )
            try:
                _require_enough(examples, training, compared)
            except TrainingDataError as error:
                refusal = refusal or error
                continue
            return Holdout(training, compared, unit, len(sizes), reserved)
    raise refusal or _nothing_yet()


def held_out_share(clips: int) -> float:
    """The share to hold out of so many clips; a unit keeps its split whatever the share is later.

    >>> held_out_share(60), held_out_share(200)
    (0.4, 0.3)
    """
    return HELD_OUT_SHARE if clips >= MANY_CLIPS else HELD_OUT_SHARE_OF_FEW


def _keys(examples: Sequence[FeedbackExample]) -> list[tuple[str, str, str]]:
    """The name of each example's unit, of each of `UNITS`."""
    seen: Counter[str] = Counter()
    keys = []
    for example in examples:
        part = seen[example.group] // SESSION_PART
        keys.append((example.group, f"{example.group}/{example.clip.session}", f"{example.group}/{part}"))
        seen[example.group] += 1
    return keys


def _names(examples: Sequence[FeedbackExample], splits: Mapping[int, str], level: int) -> list[str]:
    """The unit of each example; a finer one where earlier runs had a unit in both splits."""
    keys = _keys(examples)
    found: dict[str, set[str]] = defaultdict(set)
    for example, names in zip(examples, keys, strict=True):
        if example.clip.id in splits:
            for name in names:
                found[name].add(splits[example.clip.id])

    def whole(names: tuple[str, str, str]) -> str:
        finer = [name for name in names[level:] if len(found[name]) < 2]
        return finer[0] if finer else names[-1]

    return [whole(names) for names in keys]


def _strictest(
    training: Sequence[FeedbackExample], held_out: Sequence[FeedbackExample]
) -> tuple[str, tuple[FeedbackExample, ...], tuple[FeedbackExample, ...]]:
    """Choose the clips to compare on: those of the strictest unit that suffices, and those left over."""
    trained: tuple[set[str], set[str]] = (
        {e.group for e in training},
        {f"{e.group}/{e.clip.session}" for e in training},
    )
    others = (
        [e for e in held_out if e.group not in trained[0]],
        [e for e in held_out if f"{e.group}/{e.clip.session}" not in trained[1]],
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
    """List sets of units to hold out, best first: by their hashes if that is a fair share, then the nearest to one."""
    share = held_out_share(sum(sizes.values()))

    def distance(held: set[str]) -> float:
        return abs(sum(sizes[name] for name in held) / sum(sizes.values()) - share)

    by_hash = {name for name in order if _hash_share(name) < share}
    if by_hash and distance(by_hash) <= FAIR_DISTANCE:
        yield by_hash
    others = [set(order[:count]) for count in range(1, len(order))] + [{name} for name in order if len(order) > 1]
    yield from sorted(others, key=distance)


def _further(order: Sequence[str], sizes: Mapping[str, int], before: set[str]) -> Iterator[set[str]]:
    """List sets of new units to hold out in addition: by their hashes, then the nearest to a fair share."""
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
            f"to compare the models on (there are {len(held_out)})"
        )
    if lacking:
        raise TrainingDataError(
            f"{len(examples)} labelled clip{'' if len(examples) == 1 else 's'} may be used for training. Needed: "
            f"{' and '.join(lacking)}. "
            "Label more clips with consent to training."
        )
    _require_labels("training", training)
    _require_labels("held-out", held_out)


def _require_labels(what: str, part: Sequence[FeedbackExample]) -> None:
    labels = Counter(max(e.soft_label, key=e.soft_label.__getitem__) for e in part)
    if len(labels) < MIN_LABELS:
        raise TrainingDataError(
            f"All {what} clips ({len(part)}) are labelled {next(iter(labels))}; "
            f"at least {MIN_LABELS} different labels are needed. Label clips of other emotions."
        )


def _nothing_yet() -> TrainingDataError:
    return TrainingDataError(
        f"No labelled clip may be used for training yet; {MIN_TRAINING_CLIPS + MIN_HELD_OUT_CLIPS} are needed. "
        "Label clips with consent to training."
    )
