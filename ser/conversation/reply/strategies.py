"""The choice of what kind of reply fits: from a feeling, its certainty, its cause and the dialogue so far. Pure."""

from dataclasses import dataclass

from ser.conversation.conversation import NEUTRAL, Conversation

STRATEGIES = ACKNOWLEDGE, ASK, REASSURE, GIVE_ROOM, CELEBRATE, OFFER_HELP = (
    "acknowledge",
    "ask",
    "reassure",
    "give room",
    "celebrate",
    "offer help",
)

HEAVY = ("sadness", "fear", "anger", "disgust")
LASTING = 3
"""Turns of a speaker with a heavy feeling after which help is offered."""


@dataclass(frozen=True)
class Situation:
    """Facts that a reply is chosen by.

    Attributes:
        place: of the turn that is answered, counted from 0.
        label: its feeling; None if it is not known or unsure.
        source: the turn that most probably caused it; None if none was found.
        by_others: whether that turn is somebody else's.
        lasting: turns of the speaker in a row, this one included, with a heavy feeling.
        strategy: that fits.
    """

    place: int
    label: str | None
    source: int | None
    by_others: bool
    lasting: int
    strategy: str


def find_situation(conversation: Conversation, place: int) -> Situation:
    """Choose the strategy for a reply to a turn; turns after it are not looked at.

    Args:
        conversation: of the turn.
        place: of the turn, counted from 0.
    """
    one = conversation.turns[place]
    label = None if one.unsure else one.label
    causes = conversation.causes_of(place)
    source = causes[0].source if causes else None
    by_others = source is not None and conversation.turns[source].turn.speaker != one.turn.speaker
    lasting = _lasting(conversation, place)
    strategy = _choose(label, source is not None, by_others, lasting)
    return Situation(place, label, source, by_others, lasting, strategy)


def _choose(label: str | None, caused: bool, by_others: bool, lasting: int) -> str:
    if label is None or label in (NEUTRAL, "surprise"):
        return ASK
    if label == "happiness":
        return CELEBRATE
    if lasting >= LASTING:
        return OFFER_HELP
    if label == "fear":
        return REASSURE
    if label in ("anger", "disgust") and by_others:
        return GIVE_ROOM
    return ACKNOWLEDGE if caused or label != "disgust" else ASK


def _lasting(conversation: Conversation, place: int) -> int:
    speaker, count = conversation.turns[place].turn.speaker, 0
    for one in reversed(conversation.turns[: place + 1]):
        if one.turn.speaker != speaker:
            continue
        if one.label not in HEAVY:
            break
        count += 1
    return count
