"""Errors as a speech recogniser makes them, for training on written texts: words dropped, inserted and confused."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable

import jellyfish

from ser.text.data import as_transcript

MIN_COUNT = 8
"""Times that a word must occur to be confused with another: rarer ones are names and typing errors."""

COMMON = 300
"""Most frequent words, which recognisers insert."""

DROPPED, CONFUSED, INSERTED = 0.25, 0.65, 0.1
"""Shares of the errors; chosen, not measured."""


class RecogniserNoise:
    """Confuses words with others that sound alike: whose Metaphone keys are the same or one letter apart.

    Source of the keys: Philips 1990, "Hanging on the Metaphone", as in the package jellyfish.

    Args:
        texts: from which the vocabulary is taken.
        min_count: times that a word must occur in them.

    >>> noise = RecogniserNoise(["their house", "there we go"], min_count=1)
    >>> noise.similar["their"]
    ['there']
    """

    def __init__(self, texts: Iterable[str], min_count: int = MIN_COUNT) -> None:
        counts = Counter(word for text in texts for word in as_transcript(text).split())
        words = [word for word, count in counts.most_common() if count >= min_count and word.isascii()]
        self.common = words[:COMMON]
        self.similar = _similar_words(words)

    def __call__(self, text: str, rate: float, rng: random.Random) -> str:
        """Write a text as a recogniser would that gets about `rate` of its words wrong.

        Words without a similar one stay as they are; a text never becomes empty.
        """
        out: list[str] = []
        words = as_transcript(text).split()
        for word in words:
            drawn = rng.random()
            if drawn < rate * DROPPED:
                continue
            if drawn < rate * (DROPPED + CONFUSED):
                out.append(rng.choice(self.similar.get(word, [word])))
                continue
            out.append(word)
            if drawn < rate and self.common:
                out.append(rng.choice(self.common))
        return " ".join(out or words)


def _similar_words(words: list[str]) -> dict[str, list[str]]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for word in words:
        by_key[jellyfish.metaphone(word)].append(word)
    # Two keys are one letter apart if deleting at most one letter of each makes them equal.
    by_shortened: dict[str, set[str]] = defaultdict(set)
    for key in by_key:
        for shortened in _shortened(key):
            by_shortened[shortened].add(key)
    similar: dict[str, list[str]] = {}
    for key, same in by_key.items():
        near = {other for shortened in _shortened(key) for other in by_shortened[shortened]} if len(key) > 1 else {key}
        found = [word for other in sorted(near) for word in by_key[other]]
        similar |= {word: others for word in same if (others := [other for other in found if other != word])}
    return similar


def _shortened(key: str) -> set[str]:
    return {key} | {key[:at] + key[at + 1 :] for at in range(len(key))}
