"""How unsure an answer is, in the numbers that the review queue orders by. Pure: knows scores only."""

import math
from collections.abc import Mapping


def margin(scores: Mapping[str, float]) -> float:
    """How far the most probable label is ahead of the next one, 0..1.

    Source: "best versus second best", Scheffer, Decomain and Wrobel, Active hidden Markov models for information
    extraction, IDA 2001.

    >>> margin({"fear": 0.5, "anger": 0.25, "neutral": 0.25})
    0.25
    """
    first, second, *_ = [*sorted(scores.values(), reverse=True), 0.0, 0.0]
    return min(max(first - second, 0.0), 1.0)


def disagreement(sound: Mapping[str, float], words: Mapping[str, float]) -> float:
    """How differently the sound and the words speak: their Jensen-Shannon divergence in bits, 0..1.

    Source: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37, 1991.

    >>> disagreement({"fear": 1.0}, {"anger": 1.0}), disagreement({"fear": 1.0}, {"fear": 1.0})
    (1.0, 0.0)
    """
    bits = 0.0
    for label in sound.keys() | words.keys():
        p, q = sound.get(label, 0.0), words.get(label, 0.0)
        bits += sum(share * math.log2(2 * share / (p + q)) for share in (p, q) if share > 0) / 2
    return min(max(bits, 0.0), 1.0)
