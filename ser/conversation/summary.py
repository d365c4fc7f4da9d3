"""A conversation in sentences, each with the turns that it rests on: what was recognised, never what a person is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ser.conversation.conversation import NEUTRAL, Conversation
from ser.labels import EMOTIONS

MOST_CHANGES = 4
MOST_NAMED = 6
"""Turns that a sentence names; the rest are counted."""


@dataclass(frozen=True)
class Sentence:
    """A sentence, and the places of the turns that it rests on, counted from 0."""

    text: str
    turns: tuple[int, ...]


def summarise(conversation: Conversation) -> list[Sentence]:
    """Write what is in a conversation, in order of importance; empty without turns that have an answer."""
    return [
        *_feelings(conversation),
        *_causes(conversation),
        *_doubts(conversation),
    ]


def _feelings(conversation: Conversation) -> Iterator[Sentence]:
    for speaker in conversation.speakers:
        places = [
            place
            for place, one in enumerate(conversation.turns)
            if one.turn.speaker == speaker and one.feeling is not None
        ]
        felt = [place for place in places if conversation.turns[place].felt]
        if not places:
            continue
        if not felt:
            yield Sentence(f"{speaker}: it sounds neutral in {len(places)} of {len(places)} turns.", tuple(places))
            continue
        by_label = {
            label: [place for place in felt if conversation.turns[place].label == label]
            for label in EMOTIONS
            if label != NEUTRAL
        }
        for label, own in sorted(by_label.items(), key=lambda item: -len(item[1])):
            if own:
                yield Sentence(f"{speaker}: it sounds like {label} in {len(own)} of {len(places)} turns.", tuple(own))


def _causes(conversation: Conversation) -> Iterator[Sentence]:
    changed = {after for _, after in conversation.changes()}
    chains = [chain for chain in conversation.chains if chain.turn in changed]
    chains.sort(key=lambda chain: -max(c.probability for c in conversation.causes_of(chain.turn)))
    for chain in sorted(chains[:MOST_CHANGES], key=lambda chain: chain.turn):
        turn, cause = conversation.turns[chain.turn], conversation.turns[chain.cause]
        yield Sentence(
            f"{turn.turn.speaker}: the change to {turn.label} may come from what {cause.turn.speaker} said before.",
            (chain.cause, chain.turn),
        )
        if chain.response is None:
            continue
        answer = conversation.turns[chain.response]
        if answer.label is not None:
            said = (
                f"{answer.turn.speaker} answers it, and it sounds neutral."
                if answer.label == NEUTRAL
                else f"{answer.turn.speaker} answers it, and it sounds like {answer.label}."
            )
            yield Sentence(said, (chain.turn, chain.response))


def _doubts(conversation: Conversation) -> Iterator[Sentence]:
    unsure = [place for place, one in enumerate(conversation.turns) if one.unsure]
    if unsure:
        yield Sentence(f"What is felt is not clear in {len(unsure)} of {len(conversation.turns)} turns.", tuple(unsure))


def name_turns(turns: Sequence[int]) -> str:
    """Name turns by their numbers, counted from 1.

    >>> name_turns([0, 3, 4])
    'turns 1, 4, 5'
    """
    shown = ", ".join(str(place + 1) for place in turns[:MOST_NAMED])
    more = f" and {len(turns) - MOST_NAMED} more" if len(turns) > MOST_NAMED else ""
    return f"turn {shown}" if len(turns) == 1 else f"turns {shown}{more}"
