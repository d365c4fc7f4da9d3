"""Turns of a dialogue as one row of tokens, and windows over dialogues that are longer than the encoder takes.

Serving and training share it; it imports neither torch nor transformers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from ser.text.embedded import find_base

MAX_TURN_TOKENS = 96
"""Longer turns are cut: about 70 words, half a minute of speech."""

MAX_TOKENS = 400
"""Of a window. The encoder has 512 positions; windows beyond 400 tokens would be rare in training."""

SPEAKERS = 3
"""Speakers that the encoder tells apart, in the order of their first turns; all later ones count as the last."""


@dataclass(frozen=True)
class Row:
    """Tokens of some turns in order.

    Attributes:
        ids: of the tokens.
        owners: the turn of each token, counted from 0 within the row; marks between turns belong to the turn before.
        words: 1 for a token of a turn's words, 0 for a mark.
        speakers: of each token, below `SPEAKERS`.
    """

    ids: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]
    words: npt.NDArray[np.float32]
    speakers: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Window:
    """Turns `first` to `end` (exclusive) in one row; those from `answered` on are answered by it."""

    first: int
    answered: int
    end: int


class DialogueTokenizer:
    """Turns dialogues into rows.

    Raises:
        ModelUnavailableError: as `ser.text.embedded.find_base`.
    """

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(str(find_base() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._begin, self._mark, self._unknown = (
            int(self._tokenizer.token_to_id(name) or 0) for name in ("[CLS]", "[SEP]", "[UNK]")
        )

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each turn, at most `MAX_TURN_TOKENS` and at least one, without marks."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [row.ids[:MAX_TURN_TOKENS] or [self._unknown] for row in encoded]

    def row(self, turns: Sequence[Sequence[int]], speakers: Sequence[int]) -> Row:
        """Join turns: a mark at the beginning and one after each turn."""
        ids, owners, words = [self._begin], [0], [0.0]
        for number, turn in enumerate(turns):
            ids += [*turn, self._mark]
            owners += [number] * (len(turn) + 1)
            words += [1.0] * len(turn) + [0.0]
        spoken = np.minimum(np.asarray(speakers, dtype=np.int64), SPEAKERS - 1)[owners]
        return Row(np.array(ids), np.array(owners), np.array(words, dtype=np.float32), spoken)


def number_speakers(names: Sequence[str]) -> list[int]:
    """Number speakers in the order of their first turns.

    >>> number_speakers(["Bo", "Al", "Bo"])
    [0, 1, 0]
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def cut_windows(lengths: Sequence[int], limit: int = MAX_TOKENS) -> list[Window]:
    """Cover a dialogue by windows of at most `limit` tokens; all but the first begin with turns already answered.

    Args:
        lengths: tokens of each turn, marks left out.
        limit: of a window, marks included.

    >>> cut_windows([3, 3, 3], 12)
    [Window(first=0, answered=0, end=2), Window(first=1, answered=2, end=3)]
    """
    windows: list[Window] = []
    answered = 0
    while answered < len(lengths):
        # Half of a window is what was said before, so that its first new turn has a history, too.
        first, size = answered, 1 + lengths[answered] + 1
        room = limit // 2 if windows else 0
        while first > 0 and size - lengths[answered] + lengths[first - 1] <= room:
            first -= 1
            size += lengths[first] + 1
        end = answered + 1
        while end < len(lengths) and size + lengths[end] + 1 <= limit:
            size += lengths[end] + 1
            end += 1
        windows.append(Window(first, answered, end))
        answered = end
    return windows
