"""The endpoints of conversations for programs: `/converse`, and replies offered, rated and taken back.

A program holds no session: it sends the transcript each time. The components are never drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gradio as gr

from annotations.raters.replies import RATINGS, RatedReply, forget_reply, save_reply
from annotations.store.records import CONSENT_PURPOSES
from ser.config import Settings
from ser.conversation.conversation import Conversation, Readers, build_conversation
from ser.conversation.guard.guard import load_guard
from ser.conversation.model.dialogue import load_dialogue_model
from ser.conversation.reply.reply import GUARD, SENTENCES, Reply, compose_reply, languages
from ser.conversation.reply.written import write_reply
from ser.conversation.turns import parse_turns
from ser.errors import SerError
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO, CHANNEL_MODES
from ui.backend.identity import charge, voter
from ui.backend.services import Services
from ui.backend.turns import last_step
from ui.conversation.replies import find_language_model
from ui.parts.calls import as_whole
from ui.parts.handlers import add_endpoint, from_fields

OWN_WORDS = "api"
"""Source of a rated reply that is not the one that would be offered."""


@dataclass(frozen=True)
class Rating:
    """A rating of a reply as a program sends it.

    Attributes:
        transcript: each line a name, a colon and words.
        turn: that is answered, from 1; 0 for the last.
        reply: that is rated.
        rating: one of `RATINGS`.
        edited: what should be said instead; may be empty.
        consent: what reply and turns may be kept for.
        rater: who rates; a login takes precedence.
        language: of the reply.
    """

    transcript: str = ""
    turn: float = 0
    reply: str = ""
    rating: str = ""
    edited: str = ""
    consent: Sequence[str] = ()
    rater: str = ""
    language: str = "en"


class ReplyHandlers:
    """The endpoints of replies; the names of the arguments are the names of their parameters."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def reply(
        self, transcript: str = "", turn: float = 0, language: str = "en", request: gr.Request | None = None
    ) -> dict[str, object]:
        """Offer a reply to a turn of a transcript; nothing is stored."""
        conversation, readers, place = self._read(transcript, turn, request)
        guard = load_guard()
        plain = compose_reply(conversation, place, readers, guard, language)
        settings = Settings.from_env()
        model = find_language_model(settings.language_model, settings.device) if plain.source == SENTENCES else None
        if model is None:
            return plain.as_dict()
        *_, written = write_reply(conversation, plain, model, guard)
        return written.as_dict()

    def rate_reply(self, sent: Rating, request: gr.Request | None = None) -> dict[str, object]:
        """Keep what somebody thinks of a reply to a turn, and what they would say instead; only with consent."""
        if not sent.reply.strip():
            raise SerError("No reply was given. Send the reply that is rated under `reply`.")
        name = voter(self.services, request, sent.rater).name
        conversation, readers, place = self._read(sent.transcript, sent.turn, request)
        offered = compose_reply(conversation, place, readers, load_guard(), sent.language)
        rated = rated_reply(conversation, offered, sent.reply.strip(), sent.rating, sent.edited)
        return {"id": save_reply(self.services.store, rated, name, list(sent.consent))}

    def forget_reply(
        self, number: float | None = None, rater: str = "", request: gr.Request | None = None
    ) -> dict[str, object]:
        """Erase a rated reply of one's own, with the turns that were kept with it."""
        if number is None:
            raise SerError("No number was given. Send the id that /rate_reply returned.")
        who = voter(self.services, request, rater)
        charge(self.services, request, "votes", who)
        forget_reply(self.services.store, as_whole(number, "number"), who.name)
        return {"forgotten": as_whole(number, "number")}

    def _read(self, transcript: str, turn: float, request: gr.Request | None) -> tuple[Conversation, Readers, int]:
        """Read a transcript in its turn; the last turn is answered if none is named."""
        if not transcript.strip():
            raise SerError("No transcript was given. Send lines such as `Ann: I got the job!` under `transcript`.")
        turns = parse_turns(transcript)
        place = as_whole(turn, "turn") - 1 if turn else len(turns) - 1
        recognizer = self.services.active_model.serving().recognizer
        readers = Readers(load_dialogue_model(), recognizer.text, recognizer.fusion)
        charge(self.services, request, "recognitions")
        connection = str(request.session_hash) if request else ""
        # Turns after the answered one are not looked at.
        steps = self.services.answers(
            connection, 1.0, lambda: iter([build_conversation(turns[: max(0, place) + 1], readers)])
        )
        conversation = last_step(steps)
        if not 0 <= place < len(turns):
            raise SerError(f"There is no turn {place + 1}; the conversation has {len(turns)}.")
        return conversation, readers, place


def rated_reply(conversation: Conversation, offered: Reply, reply: str, rating: str, edited: str) -> RatedReply:
    """A rating as it is kept: strategy and source are known if the reply is the offered one."""
    one, own, better = conversation.turns[offered.turn], reply != offered.text, edited.strip()
    return RatedReply(
        rating,
        tuple((turn.turn.speaker, turn.turn.words) for turn in conversation.turns[: offered.turn + 1]),
        reply,
        better if better and better != reply else None,
        None if own else offered.strategy,
        None if one.unsure else one.label,
        OWN_WORDS if own and offered.source != GUARD else offered.source,
        offered.language,
    )


def build_endpoints(converse: Callable[..., dict[str, object]], services: Services) -> None:
    """Add the endpoints.

    Args:
        converse: answers a transcript, or a recording and the way with its channels and speakers.
        services: the domain.
    """
    replies = ReplyHandlers(services)
    with gr.Row(visible=False):
        trigger = gr.Button()
        written = gr.Textbox(label="a transcript; empty if audio is given", value="")
        talk = gr.Audio(label="a recording of at most 15 minutes, or null", type="filepath", value=None)
        way = gr.Textbox(label=f"one of {', '.join(CHANNEL_MODES)}; {AUTO} where empty", value=AUTO)
        voices = gr.Textbox(label="speakers of one channel: off, auto, or how many are told apart", value=OFF)
        answer = gr.JSON(label="the conversation, as `python -m ser converse --json` prints it")
        asked, rated = (
            [
                gr.Textbox(label="a transcript, each line a name, a colon and words"),
                gr.Number(label="turn that is answered, from 1; 0 for the last", value=0, precision=0),
            ]
            for _ in range(2)
        )
        tongue, spoken = (gr.Textbox(label=f"one of {', '.join(languages())}", value="en") for _ in range(2))
        offered = gr.JSON(label="turn, text, strategy, reason, source, language, guard, help_lines, note")
        rated += [
            gr.Textbox(label="the reply that is rated"),
            gr.Textbox(label=f"one of {', '.join(RATINGS)}"),
            gr.Textbox(label="what should be said instead, if anything", value=""),
            gr.CheckboxGroup(list(CONSENT_PURPOSES), value=[], label="what reply and turns may be kept for"),
            gr.Textbox(label="rater; a login takes precedence", value=""),
            spoken,
        ]
        kept = gr.JSON(label="{id}")
        number = gr.Number(label="id of a rated reply of one's own", value=None, precision=0)
        owner = gr.Textbox(label="its rater; a login takes precedence", value="")
        gone = gr.JSON(label="{forgotten}")
    add_endpoint(trigger, converse, [written, talk, way, voices], [answer], heavy=True)
    add_endpoint(trigger, replies.reply, [*asked, tongue], [offered], heavy=True)
    add_endpoint(trigger, from_fields(replies.rate_reply), rated, [kept], heavy=True)
    add_endpoint(trigger, replies.forget_reply, [number, owner], [gone], heavy=True)
