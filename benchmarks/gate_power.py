"""Candidates of a known true gain for the benchmark of the gate, and how often they are promoted.

A model in use is the embedded network weakened: on top of it lies a head that was trained on shuffled labels of other
clips, as far as it takes to lose the wanted recall. The candidate is the network as it was. So answers change as they
do where a head is taught: in every clip a little, in some of them the label.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotations.learning.decision import Decision
from annotations.learning.gate import decide
from benchmarks.gate_data import Clips, Head, Vectors, softmax, train_head
from ser.labels import EMOTIONS

CONFIDENCE, MIN_GAIN = 0.95, 0.01
"""As retraining has them by default."""

HEADS = 12
"""Ways to be weakened."""

EQUAL_LOSS = 0.05
"""What both have lost, each in its own way, where there is no true gain."""

LOOKS = 10
LEAST_SPEAKERS, SPEAKER_SHARE = 2, 10
"""Of the held-out clips: so many at least, and one more for each so many clips."""

Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Rivals:
    """Two models' logits on all clips.

    Attributes:
        before: of the model in use, shape (clips, labels).
        after: of the candidate.
        gain: true gain, in unweighted average recall over all clips.
    """

    before: Vectors
    after: Vectors
    gain: float


def train_heads(base: Clips, rng: Rng, count: int = HEADS) -> list[Head]:
    """Heads that have learnt nothing true, from clips of the base."""
    size = min(len(base), 300)
    drawn = [(rng.permutation(len(base))[:size], rng.integers(0, len(EMOTIONS), size)) for _ in range(count)]
    return [train_head(base.take(places), labels, epochs=30, learning_rate=0.01) for places, labels in drawn]


def rivals_of(clips: Clips, heads: Sequence[Head], gain: float) -> list[Rivals]:
    """A model in use and its candidate for each head; for no gain one for each pair of neighbours.

    Args:
        clips: what is judged by.
        heads: as `train_heads` gives them.
        gain: in unweighted average recall, 0..1.
    """
    if gain > 0:
        weak = [_weakened(clips, head, gain) for head in heads]
        return [Rivals(logits, clips.logits, _gain(clips, logits, clips.logits)) for logits in weak]
    weak = [_weakened(clips, head, EQUAL_LOSS) for head in heads]
    return [Rivals(one, other, _gain(clips, one, other)) for one, other in zip(weak, weak[1:] + weak[:1], strict=True)]


def power(clips: Clips, rivals: Sequence[Rivals], rng: Rng, *, size: int, draws: int) -> dict[str, float]:
    """How often such candidates are promoted, by labels alone and with probabilities.

    Args:
        clips: as the rivals have them.
        rivals: of one true gain.
        rng: draws rivals and clips.
        size: held-out clips.
        draws: how many decisions.
    """
    found = []
    for _ in range(draws):
        one, places = rivals[int(rng.integers(len(rivals)))], draw_held_out(clips, rng, size)
        seed = int(rng.integers(2**31))
        found.append([decide_on(clips, one, places, seed, labels_alone=alone) for alone in (True, False)])
    return {
        "promoted_by_labels_alone": round(float(np.mean([by_labels.promoted for by_labels, _ in found])), 3),
        "promoted": round(float(np.mean([decision.promoted for _, decision in found])), 3),
        "mean_gain": round(float(np.mean([decision.gain for _, decision in found])), 3),
    }


def series_without_gain(clips: Clips, rivals: Sequence[Rivals], rng: Rng, size: int) -> tuple[bool, bool]:
    """Whether any of `LOOKS` candidates without gain is promoted on the same clips: with one level, and spending it.

    Args:
        clips: as the rivals have them.
        rivals: without gain; the first one's model in use is that of all.
        rng: draws the candidates and the clips.
        size: held-out clips.
    """
    places, first = draw_held_out(clips, rng, size), int(rng.integers(len(rivals)))
    fixed = spent = False
    for looks, place in enumerate(rng.permutation(len(rivals) - 1)[:LOOKS]):
        one = Rivals(rivals[first].before, rivals[(first + 1 + int(place)) % len(rivals)].before, 0.0)
        seed = int(rng.integers(2**31))
        fixed |= decide_on(clips, one, places, seed).promoted
        spent |= decide_on(clips, one, places, seed, looks=looks).promoted
    return fixed, spent


def decide_on(
    clips: Clips,
    rivals: Rivals,
    places: npt.NDArray[np.int64],
    seed: int,
    *,
    labels_alone: bool = False,
    looks: float = 0.0,
) -> Decision:
    """The gate's decision on some clips, base and gold apart."""
    held, logits = clips.take(places), (rivals.before[places], rivals.after[places])
    before, after = ([EMOTIONS[index] for index in part.argmax(1)] for part in logits)
    return decide(
        held.names(),
        before,
        after,
        held.speakers.tolist(),
        confidence=CONFIDENCE,
        min_gain=MIN_GAIN,
        seed=seed,
        looks=looks,
        probabilities=None if labels_alone else (softmax(logits[0]), softmax(logits[1])),
    )


def draw_held_out(clips: Clips, rng: Rng, size: int) -> npt.NDArray[np.int64]:
    """Places of clips of some speakers, of all labels that they have."""
    speakers = np.unique(clips.speakers)
    count = min(LEAST_SPEAKERS + size // SPEAKER_SHARE, len(speakers))
    places = np.flatnonzero(np.isin(clips.speakers, rng.choice(speakers, count, replace=False)))
    return rng.choice(places, size, replace=len(places) < size)


def _weakened(clips: Clips, head: Head, loss: float) -> Vectors:
    """The network's logits with as much of a head on top as costs so much recall."""
    added = head.added(clips)
    low, high = 0.0, 1.0
    while _gain(clips, clips.logits + high * added, clips.logits) < loss and high < 1e4:
        high *= 2
    for _ in range(20):
        middle = (low + high) / 2
        if _gain(clips, clips.logits + middle * added, clips.logits) < loss:
            low = middle
        else:
            high = middle
    return np.asarray(clips.logits + high * added)


def _gain(clips: Clips, before: Vectors, after: Vectors) -> float:
    labels = np.unique(clips.truth)
    recall = [
        np.mean([(logits.argmax(1) == clips.truth)[clips.truth == label].mean() for label in labels])
        for logits in (before, after)
    ]
    return float(recall[1] - recall[0])
