"""Joins a tokenizer's pieces into words with times and confidences.

Pure; knows tokenizers only by the marks that their pieces carry.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ser.types import Segment

WORD_MARKS = ("Ġ", "▁", " ")
"""What pieces that begin a word start with, in byte-level BPE, in SentencePiece, and in plain vocabularies."""


@dataclass(frozen=True)
class Piece:
    """A token as the vocabulary spells it; times in seconds, probability in 0..1."""

    token: str
    start: float
    end: float
    probability: float


def join_pieces(
    pieces: Iterable[Piece], spell: Callable[[Sequence[str]], str], delimiter: str | None = None
) -> list[Segment]:
    """Words in order; each is as sure as its pieces are on average.

    Args:
        pieces: without special tokens.
        spell: turns the tokens of a word into its text.
        delimiter: a token that stands between words, where the vocabulary has one.

    >>> pieces = [Piece("▁so", 0.0, 0.2, 0.5), Piece("me", 0.2, 0.3, 1.0), Piece("▁day", 0.3, 0.6, 0.8)]
    >>> [(word.text, word.end, word.confidence) for word in join_pieces(pieces, lambda t: "".join(t).strip("▁"))]
    [('some', 0.3, 0.75), ('day', 0.6, 0.8)]
    """
    groups: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.token == delimiter:
            groups.append([])
        elif piece.token.startswith(WORD_MARKS):
            groups.append([piece])
        else:
            groups[-1].append(piece)
    words = []
    for group in groups:
        text = spell([piece.token for piece in group]).strip() if group else ""
        if text:
            confidence = sum(piece.probability for piece in group) / len(group)
            words.append(Segment(group[0].start, group[-1].end, text, min(1.0, confidence)))
    return words
