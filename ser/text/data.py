"""Labelled sentences from CSV files, and sentences as a speech recogniser writes them, with its errors.

Knows nothing of models.
"""

import csv
import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import jellyfish
import numpy as np
import numpy.typing as npt

from ser.errors import TrainingDataError
from ser.labels import EMOTIONS, GOEMOTIONS, to_emotion

LABEL_COLUMNS = ("label", "labels")

MIN_COUNT = 8
"""Times that a word must occur to be confused with another: rarer ones are names and typing errors."""

COMMON = 300
"""Most frequent words, which recognisers insert."""

DROPPED, CONFUSED, INSERTED = 0.25, 0.65, 0.1
"""Shares of the errors; chosen, not measured."""


@dataclass(frozen=True)
class LabelledTexts:
    """Sentences with one or more emotions each.

    Attributes:
        texts: the sentences.
        labels: the emotions of each, in the file's order, at least one.
        fine_labels: the labels of each as the file names them, if they are finer than `EMOTIONS`; else empty.
        unknown_labels: {label: rows} of labels that are none of `EMOTIONS`; a row with nothing else is left out.
        without_text: rows left out because they hold no words.
    """

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    without_text: int = 0
    fine_labels: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def soft_labels(self) -> npt.NDArray[np.float32]:
        """Shape (rows, 7), in `EMOTIONS` order: a row's labels share its mass equally."""
        shares = np.zeros((len(self), len(EMOTIONS)), dtype=np.float32)
        for row, names in enumerate(self.labels):
            for name in names:
                shares[row, EMOTIONS.index(name)] = 1.0 / len(names)
        return shares

    def select(self, rows: Iterable[int]) -> "LabelledTexts":
        """Keep only these rows."""
        kept = list(rows)
        return replace(
            self,
            texts=tuple(self.texts[row] for row in kept),
            labels=tuple(self.labels[row] for row in kept),
            fine_labels=tuple(self.fine_labels[row] for row in kept) if self.fine_labels else (),
        )

    @property
    def single(self) -> npt.NDArray[np.bool_]:
        """Mark the rows that have exactly one emotion, shape (rows,)."""
        return np.array([len(names) == 1 for names in self.labels], dtype=bool)


def read_labelled_texts(path: Path) -> LabelledTexts:
    """Read a CSV with the columns `text` and `label` (or `labels`, several separated by spaces).

    GoEmotions' own 28 labels are grouped by `ser.labels.GOEMOTIONS`.

    Raises:
        TrainingDataError: if the file cannot be read, lacks a column, or has no row with a known label.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error
    label_column = next((name for name in LABEL_COLUMNS if name in columns), None)
    if "text" not in columns or label_column is None:
        raise TrainingDataError(
            f"{path} has the columns {', '.join(columns) or 'none'}; needed are text, and label or labels."
        )
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    fine: list[tuple[str, ...]] = []
    unknown: Counter[str] = Counter()
    without_text = 0
    for row in rows:
        text, names = (row["text"] or "").strip(), (row[label_column] or "").split()
        emotions = tuple(dict.fromkeys(e for e in map(_to_emotion, names) if e is not None))
        unknown.update(name for name in names if _to_emotion(name) is None)
        if not names:
            unknown["(none)"] += 1
        if not text:
            without_text += 1
        elif emotions:
            texts.append(text)
            labels.append(emotions)
            fine.append(tuple(name for name in names if _to_emotion(name) is not None))
    if not texts:
        raise TrainingDataError(
            f"{path} has no row with words and a known label ({len(rows)} read). Known labels: {', '.join(EMOTIONS)}."
        )
    finer = any(to_emotion(name) is None for names in fine for name in names)
    return LabelledTexts(
        tuple(texts), tuple(labels), dict(sorted(unknown.items())), without_text, tuple(fine) if finer else ()
    )


def _to_emotion(name: str) -> str | None:
    return GOEMOTIONS.get(name.lower()) or to_emotion(name)


def as_transcript(text: str) -> str:
    """Write a sentence as a speech recogniser would: lower case, no punctuation, no symbols, no emoji.

    Apostrophes inside a word stay, as recognisers write them.

    >>> as_transcript("WOW!!! I can’t believe it... 😂")
    "wow i can't believe it"
    """
    plain = unicodedata.normalize("NFKC", text).replace("’", "'").lower()
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in plain)
    words = (word.strip("'") for word in kept.split())
    return " ".join(word for word in words if word)


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
