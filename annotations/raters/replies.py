"""Replies that people rated and edited, kept like votes, and the pairs of a better and a worse one that they make.

Knows a conversation as text only. A row belongs to its rater, and is erased with them.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from annotations.errors import StoreError
from annotations.masking import mask, masking_in_force
from annotations.store import AnnotationStore
from annotations.store.new_records import check_consent, check_rater
from annotations.store.rows import insert_row, timestamp

HELPFUL = "helpful"
RATINGS = (HELPFUL, "off", "unsafe")

MOST_LETTERS = 20_000
"""Of the turns that are kept with a reply; earlier ones are cut off."""

MOST_EDITED = 1000


@dataclass(frozen=True)
class RatedReply:
    """A reply and what somebody thinks of it.

    Attributes:
        rating: one of `RATINGS`.
        turns: (who, words) up to the turn that is answered.
        reply: as it was offered.
        edited: what the rater would say instead; None if they changed nothing.
        strategy: that the reply follows; None for the fixed words of the guard.
        label: the feeling of the answered turn; None if it was unsure.
        source: where its words come from.
        language: of the reply.
    """

    rating: str
    turns: tuple[tuple[str, str], ...]
    reply: str
    edited: str | None
    strategy: str | None
    label: str | None
    source: str
    language: str


def save_reply(store: AnnotationStore, rated: RatedReply, rater: str, consent: Collection[str]) -> int:
    """Keep a rated reply; returns its number.

    Args:
        store: to write to.
        rated: the reply.
        rater: who rates.
        consent: purposes that the people in the conversation agreed to.

    Raises:
        ConsentRequiredError: if there is none, or an unknown one.
        StoreError: if the rating is none, or an edited reply is too long.
    """
    rater, consent = check_rater(rater), check_consent(consent)
    if rated.rating not in RATINGS:
        raise StoreError(f"The rating is '{rated.rating}'; expected one of {', '.join(RATINGS)}.")
    if rated.edited is not None and len(rated.edited) > MOST_EDITED:
        raise StoreError(f"The edited reply has {len(rated.edited)} characters; at most {MOST_EDITED} are kept.")
    said = "\n".join(f"{who}: {' '.join(words.split())}" for who, words in rated.turns)[-MOST_LETTERS:]
    with store.database.writing() as connection:
        shown = mask if masking_in_force(connection) == "store" else str
        return insert_row(
            connection,
            "replies",
            rater=rater,
            rating=rated.rating,
            transcript=shown(said),
            reply=shown(rated.reply),
            edited=None if rated.edited is None else shown(rated.edited),
            strategy=rated.strategy,
            label=rated.label,
            source=rated.source,
            language=rated.language,
            consent=json.dumps(sorted(consent)),
            created_at=timestamp(),
        )


def forget_reply(store: AnnotationStore, number: int, rater: str) -> None:
    """Erase a rated reply of one's own.

    Raises:
        StoreError: if there is none of this rater's with that number.
    """
    with store.database.writing() as connection:
        connection.execute("PRAGMA secure_delete = ON")
        cursor = connection.execute("DELETE FROM replies WHERE id = ? AND rater = ?", (number, rater))
        if not cursor.rowcount:
            raise StoreError(f"There is no reply {number} of yours; it was taken back already.")


def list_replies(store: AnnotationStore) -> list[dict[str, object]]:
    """All rated replies in order, as plain values; words are masked if the store masks them."""
    with store.reading() as connection:
        masked = masking_in_force(connection) is not None
        rows = connection.execute("SELECT * FROM replies ORDER BY id").fetchall()
    shown = ("transcript", "reply", "edited")
    return [
        {
            **{name: mask(row[name]) if masked and name in shown and row[name] else row[name] for name in row.keys()},
            "consent": json.loads(row["consent"]),
        }
        for row in rows
    ]


def read_reply(given: Any) -> tuple[RatedReply, list[str]]:
    """A rated reply and the consent to keep it, from the JSON object of a program.

    Args:
        given: `rating`, `turns` (lists of who and words), `reply` and `consent`; if known `edited`, `strategy`,
            `label`, `source` and `language`.

    Raises:
        StoreError: if something is missing or of another type.
    """

    def text(name: str, usual: str | None = None) -> str | None:
        return usual if given.get(name) is None else str(given[name])

    try:
        if not isinstance(given, dict):
            raise TypeError(f"{type(given).__name__} is no object")
        rated = RatedReply(
            rating=str(given["rating"]),
            turns=tuple((str(who), str(words)) for who, words in given["turns"]),
            reply=str(given["reply"]),
            edited=text("edited"),
            strategy=text("strategy"),
            label=text("label"),
            source=str(text("source", "import")),
            language=str(text("language", "en")),
        )
        consent = [str(purpose) for purpose in given["consent"]]
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"A rated reply is not usable ({error!r}): expected an object with rating, turns (lists of who and words), "
            "reply and consent."
        ) from error
    if not rated.turns or not rated.reply.strip():
        raise StoreError("A rated reply has no turns or no words; both are needed.")
    return rated, consent


def preference_pairs(store: AnnotationStore, purpose: str) -> tuple[list[dict[str, object]], int]:
    """Pair better replies with worse ones to the same turns, for training by preferences.

    An edited reply is better than what was offered; a helpful one is better than one that was off or unsafe.

    Args:
        store: to read.
        purpose: only what may be used for it.

    Returns:
        Pairs `{prompt, chosen, rejected, language, rater}`, and the number of rated replies that make none.
    """
    with store.reading() as connection:
        masked = masking_in_force(connection) is not None
        rows = connection.execute(
            "SELECT * FROM replies WHERE transcript IS NOT NULL AND reply IS NOT NULL "
            "AND EXISTS (SELECT 1 FROM json_each(consent) WHERE value = ?) ORDER BY id",
            (purpose,),
        ).fetchall()
    used: set[int] = set()
    pairs = [_shown(pair, masked) for pair in _pairs(rows, used)]
    return pairs, len(rows) - len(used)


def _pairs(rows: Sequence[sqlite3.Row], used: set[int]) -> Iterator[dict[str, object]]:
    by_prompt: defaultdict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        by_prompt[row["transcript"]].append(row)
        if row["edited"] is not None and row["edited"] != row["reply"]:
            used.add(row["id"])
            yield _pair(row, row["edited"], row["reply"])
    for same in by_prompt.values():
        for good in same:
            for bad in same:
                if good["rating"] == HELPFUL and bad["rating"] != HELPFUL and good["reply"] != bad["reply"]:
                    used |= {good["id"], bad["id"]}
                    yield _pair(good, good["reply"], bad["reply"])


def _pair(row: sqlite3.Row, chosen: str, rejected: str) -> dict[str, object]:
    return {
        "prompt": row["transcript"],
        "chosen": chosen,
        "rejected": rejected,
        "language": row["language"],
        "rater": row["rater"],
    }


def _shown(pair: dict[str, object], masked: bool) -> dict[str, object]:
    if not masked:
        return pair
    return {
        name: mask(str(value)) if name in ("prompt", "chosen", "rejected") else value for name, value in pair.items()
    }
