"""Masking of names and numbers in English transcripts by rules, before they are stored or exported.

The settings switch it on. The rules miss names at the beginning of a sentence, names in lower case, and all else that
identifies a person; they mask some words that are no names. They make it harder to find a person, and anonymise nobody.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

MASKING = ("export", "store")
"""Values of the setting other than None: masked in exports, or already when stored."""

NAME, NUMBER, ADDRESS = "[name]", "[number]", "[address]"

TRANSCRIPTS = frozenset(("transcript", "clip_transcript"))
"""Keys under which records hold transcripts: texts, or objects with `text` and `segments`."""

_NEVER = frozenset("i i'm i'll i've i'd ok okay god mr mrs ms dr prof sir madam".split())
_TITLES = frozenset("mr mrs ms miss dr prof professor sir madam aunt uncle".split())
_BEFORE_NAMES = (("name", "is"), ("name's",), ("called",), ("named",))
_SPOKEN = frozenset(
    "zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand double "
    "triple".split()
)
LEAST_SPOKEN = 3
"""Spoken digits in a row that are a number of somebody's, as "five five five"; fewer are counting."""

_MAIL = re.compile(r"\S+@\S+\.\S+|\bhttps?://\S+|\bwww\.\S+")


def mask(text: str) -> str:
    """A transcript without names, numbers and addresses, as far as the rules find them.

    >>> mask("My name is anna. Call Peter Schmidt at 555-1234, or five five five one.")
    'My name is [name]. Call [name] [name] at [number], or [number] [number] [number] [number].'
    """
    parts = re.split(r"(\s+)", text)
    parts[::2] = mask_words(parts[::2])
    return "".join(parts)


def mask_words(words: Sequence[str]) -> list[str]:
    """The words of a transcript, those that tell of somebody replaced; as many as were given."""
    plain = [re.sub(r"^\W+|\W+$", "", word) for word in words]
    low = [word.lower() for word in plain]
    spoken = _runs([word in _SPOKEN for word in low])
    found = []
    for place, word in enumerate(words):
        first = place == 0 or bool(re.search(r"[.!?][\"')]*$", words[place - 1].strip()))
        before = low[:place]
        after_name = any(tuple(before[-len(clue) :]) == clue for clue in _BEFORE_NAMES)
        titled = bool(before) and before[-1] in _TITLES
        capital = plain[place][:1].isupper() and not first and low[place].split("'")[0] not in _NEVER
        if _MAIL.search(word):
            mark = ADDRESS
        elif any(letter.isdigit() for letter in word) or spoken[place]:
            mark = NUMBER
        elif plain[place] and low[place] not in _NEVER and (capital or after_name or titled):
            mark = NAME
        else:
            found.append(word)
            continue
        found.append(word.replace(plain[place], mark, 1) if plain[place] else mark)
    return found


def mask_transcripts(value: Any, inside: bool = False) -> Any:
    """A record of plain values with every transcript in it masked."""
    if isinstance(value, Mapping):
        return {key: _masked(key, part, inside) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [mask_transcripts(part, inside) for part in value]
    return value


def masking_in_force(connection: sqlite3.Connection) -> str | None:
    """The setting: one of `MASKING`, or None."""
    query = "SELECT json_extract(settings, '$.mask_transcripts') AS mask FROM settings ORDER BY id DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return row["mask"] if row else None


def _masked(key: str, value: Any, inside: bool) -> Any:
    if isinstance(value, str):
        return mask(value) if key in TRANSCRIPTS or (inside and key == "text") else value
    if inside and key == "segments":
        # Words with their times: what a word is hangs on those before it.
        words = mask_words([str(word["text"]) for word in value])
        return [{**word, "text": masked} for word, masked in zip(value, words, strict=True)]
    return mask_transcripts(value, inside or key in TRANSCRIPTS)


def _runs(flags: Sequence[bool]) -> list[bool]:
    """Keep the flags that stand in a row of at least `LEAST_SPOKEN`.

    >>> _runs([True, True, False, True, True, True])
    [False, False, False, True, True, True]
    """
    found, start = [False] * len(flags), 0
    for place in range(len(flags) + 1):
        if place == len(flags) or not flags[place]:
            if place - start >= LEAST_SPOKEN:
                found[start:place] = [True] * (place - start)
            start = place + 1
    return found
