"""A reply to a turn: its strategy, its sentence from the file of sentences, or fixed words with help lines.

A language model, if there is one, is asked by `ser.conversation.reply.written`; never where the guard found something.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ser.conversation.conversation import Conversation, Readers
from ser.conversation.guard.guard import Alarm, Guard, split_sentences
from ser.conversation.reply.mirror import LEAST_WORDS, MOST_WORDS, clean, turn_round
from ser.conversation.reply.strategies import Situation, find_situation
from ser.errors import SettingsError

FOLDER = Path(__file__).resolve().parent

SENTENCES, GUARD, MODEL = "sentences", "guard", "language model"
"""Where the words of a reply come from."""

HOMES = {"zh": "CN"}
"""Country whose help lines come first, by language."""

CHECKED_TURNS = 6
"""Turns up to the answered one that the guard reads: what was said a moment ago still counts.

Of earlier turns only an alarm beyond doubt counts: six turns would raise six times the false alarms."""


@dataclass(frozen=True)
class HelpLine:
    """Somebody who helps.

    Attributes:
        region: where.
        name: of the service.
        number: to call, or an address.
        emergency: number of the region for danger at this moment.
    """

    region: str
    name: str
    number: str
    emergency: str


@dataclass(frozen=True)
class Reply:
    """A reply that is offered.

    Attributes:
        text: of it.
        strategy: one of `STRATEGIES`; None if the guard answers.
        reason: why this strategy, as a sentence; for the guard, what a listener should know.
        source: where its words come from: `sentences`, `guard` or the name of a language model.
        turn: that it answers, counted from 0.
        language: of its words.
        alarm: what the guard found.
        help_lines: for it.
        note: what a person should know of it, as a sentence.
    """

    text: str
    strategy: str | None
    reason: str
    source: str
    turn: int
    language: str
    alarm: Alarm | None = None
    help_lines: tuple[HelpLine, ...] = field(default=())
    note: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; the turn counts from 1."""
        lines = [vars(line) for line in self.help_lines]
        found = None if self.alarm is None else {"kind": self.alarm.kind, "phrase": self.alarm.phrase}
        return {
            "turn": self.turn + 1,
            "text": self.text,
            "strategy": self.strategy,
            "reason": self.reason,
            "source": self.source,
            "language": self.language,
            "guard": found,
            "help_lines": lines,
            "note": self.note,
        }


def find_alarm(conversation: Conversation, place: int, guard: Guard) -> Alarm | None:
    """Look for talk of self-harm, violence or abuse in a turn, and for what is beyond doubt in the few before it."""
    for number in range(place, max(-1, place - CHECKED_TURNS), -1):
        alarm = guard.check(conversation.turns[number].turn.words)
        if alarm is not None and (number == place or alarm.beyond_doubt):
            return alarm
    return None


def compose_reply(
    conversation: Conversation, place: int, readers: Readers, guard: Guard, language: str = "en"
) -> Reply:
    """Compose a reply to a turn without a language model.

    Args:
        conversation: of the turn; turns after it are not looked at.
        place: of the turn, counted from 0.
        readers: the models, to find the words that matter.
        guard: is asked first.
        language: of the reply, one of `languages()`.

    Raises:
        SettingsError: if there is no such turn or language.
    """
    if not 0 <= place < len(conversation.turns):
        raise SettingsError(f"There is no turn {place + 1}; the conversation has {len(conversation.turns)}.")
    if language not in languages():
        raise SettingsError(f"There are no sentences in '{language}'; expected one of {', '.join(languages())}.")
    alarm = find_alarm(conversation, place, guard)
    if alarm is not None:
        texts = read_help()[language]
        return Reply(
            texts[alarm.kind], None, texts["listener"], GUARD, place, language, alarm, _lines(alarm.kind, language)
        )
    situation = find_situation(conversation, place)
    text = _sentence(conversation, situation, readers, language)
    reason = str(read_sentences()[language]["reasons"][situation.strategy])
    return Reply(text, situation.strategy, reason, SENTENCES, place, language)


def languages() -> list[str]:
    """The languages that there are sentences in."""
    return list(read_sentences())


def find_help_lines(kind: str, region: str | None = None) -> tuple[HelpLine, ...]:
    """The services for a kind of alarm, of one region by its country code, or of all.

    >>> [line.number for line in find_help_lines("self-harm", "US")]
    ['988']
    """
    found = []
    for one in read_help()["regions"]:
        if region is None or region in one["codes"]:
            found += [
                HelpLine(one["region"], name, number, one["emergency"])
                for name, number, kinds in one["lines"]
                if kind in kinds
            ]
    return tuple(found)


def _lines(kind: str, language: str) -> tuple[HelpLine, ...]:
    """All services, those where the language is at home first."""
    home = find_help_lines(kind, HOMES.get(language, ""))
    return home + tuple(line for line in find_help_lines(kind) if line not in home)


@lru_cache(maxsize=1)
def read_sentences() -> Mapping[str, Any]:
    """The file of sentences, {language: {feelings, unsure, strategies, reasons}}."""
    found: Mapping[str, Any] = json.loads((FOLDER / "sentences.json").read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=1)
def read_help() -> Mapping[str, Any]:
    """The file of fixed words and help lines."""
    found: Mapping[str, Any] = json.loads((FOLDER / "help_lines.json").read_text(encoding="utf-8"))
    return found


def _sentence(conversation: Conversation, situation: Situation, readers: Readers, language: str) -> str:
    texts, one = read_sentences()[language], conversation.turns[situation.place]
    if situation.label is None:
        return _nth(texts["unsure"], situation.place)
    forms = texts["strategies"][situation.strategy]
    feeling = texts["feelings"][situation.label]
    told = _told(conversation, situation, readers)
    turned = None if told is None else turn_round(told)
    quote = "" if told is None else clean(told)
    usable = [form for form in forms["mirror"] if _fits(form, turned, quote)]
    if situation.label == "neutral" and one.turn.words.rstrip().endswith(("?", "？")):
        usable = forms["question"]
    chosen = _nth(usable or forms["plain"], situation.place)
    said = chosen.format(words=turned or "", quote=quote, feeling=feeling)
    return said[:1].upper() + said[1:]


def _fits(form: str, turned: str | None, quote: str) -> bool:
    long_enough = LEAST_WORDS if quote.isascii() else 1
    quotable = long_enough <= len(quote.split()) <= MOST_WORDS and "(" not in quote
    return ("{words}" not in form or turned is not None) and ("{quote}" not in form or quotable)


def _told(conversation: Conversation, situation: Situation, readers: Readers) -> str | None:
    """The sentence of the speaker that the feeling most probably comes from; None if they told nothing."""
    speaker = conversation.turns[situation.place].turn.speaker
    own = [c for c in conversation.causes_of(situation.place) if conversation.turns[c.source].turn.speaker == speaker]
    source = own[0].source if own else situation.place
    words = conversation.turns[source].turn.words
    parts = [part for part in split_sentences(words) if part != words.strip()] or [words]
    statements = [part for part in parts if not part.rstrip().endswith(("?", "？")) and len(clean(part).split()) > 1]
    if not statements:
        return None
    if len(statements) == 1:
        return statements[0]
    return max(statements, key=lambda part: _strength(part, speaker, conversation, situation, readers))


def _strength(part: str, speaker: str, conversation: Conversation, situation: Situation, readers: Readers) -> float:
    """Probability of the turn's feeling for a sentence alone; of two that say the same the longer counts."""
    label = conversation.turns[situation.place].label
    reading = readers.dialogue.read([part], [speaker])
    feelings = dict(zip(readers.dialogue.meta.labels, reading.feelings[0].tolist(), strict=True))
    return float(feelings.get(label or "neutral", 0.0)) + 0.001 * len(part.split())


def _nth(forms: Sequence[str], place: int) -> str:
    return str(forms[place % len(forms)])
