"""Replies on the page: offered for a turn, written by a language model meanwhile, rated and edited by people."""

import threading
from dataclasses import dataclass, field
from functools import lru_cache

import gradio as gr

from annotations.raters.replies import RATINGS, RatedReply, forget_reply, save_reply
from ser.config import NO_MODEL, Settings
from ser.conversation.conversation import Conversation, Readers
from ser.conversation.guard.guard import load_guard
from ser.conversation.reply.reply import SENTENCES, Reply, compose_reply, languages
from ser.conversation.reply.written import write_reply
from ser.errors import SerError
from ser.language_model.client import LanguageModel, load_language_model
from ui.backend.identity import charge, voter
from ui.backend.services import Services
from ui.parts.calls import Given, whole_number
from ui.parts.presentation import as_written, escape
from ui.recognize.form import CONSENT_CHOICES

RATING_WORDS = {"helpful": "Helpful", "off": "Off the point", "unsafe": "Unsafe"}

ASK_CONSENT = "May we keep the reply and the turns before it? Nothing is kept unless you tick."


@dataclass(eq=False)
class Kept:
    """A conversation that somebody looks at, and the replies that were offered in it.

    Attributes:
        replies: {turn: the reply as it stands}.
        writing: turns that a language model is writing for.
    """

    conversation: Conversation
    readers: Readers
    session: str
    replies: dict[int, Reply] = field(default_factory=dict)
    writing: set[int] = field(default_factory=set)


@lru_cache(maxsize=1)
def find_language_model(name: str, device: str) -> LanguageModel | None:
    """The language model of the settings, loaded when the first reply is asked for."""
    return load_language_model(name, "cpu" if device == "auto" else device)


def offer(kept: Kept, place: int, language: str) -> Reply:
    """Compose a reply, and let a language model, if there is one, write a better one meanwhile."""
    guard, language = load_guard(), language if language in languages() else "en"
    plain = compose_reply(kept.conversation, place, kept.readers, guard, language)
    kept.replies[place] = plain
    settings = Settings.from_env()
    model = find_language_model(settings.language_model, settings.device) if plain.source == SENTENCES else None
    if model is not None and place not in kept.writing:
        kept.writing.add(place)

        def write() -> None:
            try:
                for written in write_reply(kept.conversation, plain, model, guard):
                    kept.replies[place] = written
            finally:
                kept.writing.discard(place)

        threading.Thread(target=write, name="reply", daemon=True).start()
    return plain


def rate(services: Services, kept: Kept, place: int, given: Given, request: gr.Request) -> dict[str, object]:
    """Keep what somebody thinks of the reply that was offered for a turn."""
    offered, consent = kept.replies.get(place), given.get("consent")
    if offered is None:
        raise SerError("No reply was offered for this turn yet.")
    if not isinstance(consent, list) or not consent:
        raise SerError("Nothing was kept: tick what reply and turns may be used for first.")
    rater = voter(services, request, given.get("who"))
    edited = str(given.get("edited") or "").strip()
    one = kept.conversation.turns[place]
    turns = kept.conversation.turns[: place + 1]
    rated = RatedReply(
        str(given.get("rating")),
        tuple((turn.turn.speaker, turn.turn.words) for turn in turns),
        offered.text,
        edited if edited and edited != offered.text else None,
        offered.strategy,
        None if one.unsure else one.label,
        offered.source,
        offered.language,
    )
    number = save_reply(services.store, rated, rater.name, [str(purpose) for purpose in consent])
    return {"id": number, "said": "Kept. Thank you."}


def forget(services: Services, given: Given, request: gr.Request) -> dict[str, object]:
    """Take a rating back, with all that was kept of it."""
    rater = voter(services, request, given.get("who"))
    charge(services, request, "votes", rater)
    forget_reply(services.store, whole_number(given, "id"), rater.name)
    return {"said": "Taken back; nothing of it is kept."}


def reply_html(reply: Reply, *, writing: bool) -> str:
    """The offered reply, with why it fits, and what people may do with it."""
    number = reply.turn + 1
    if reply.alarm is not None:
        return _care_html(reply)
    note = f'<p class="quiet">{escape(reply.note)}</p>' if reply.note else ""
    source = (
        '<p class="quiet">From the file of sentences.</p>'
        if reply.source == SENTENCES
        else f'<p class="quiet">Written by a language model: {as_written(reply.source)}.</p>'
    )
    waiting = '<p class="cv-writing quiet" role="status">A language model is writing …</p>' if writing else ""
    buttons = "".join(
        f'<button type="button" class="cv-rate" data-rating="{rating}">{RATING_WORDS[rating]}</button>'
        for rating in RATINGS
    )
    ticks = "".join(
        f'<label><input type="checkbox" value="{purpose}"> {words}</label>' for words, purpose in CONSENT_CHOICES
    )
    listen = (
        f'<p class="cv-speak" data-turn="{number}"><button type="button" class="cv-listen">Listen</button> '
        '<label><input type="checkbox" class="cv-chime"> two notes first</label> '
        '<span class="quiet">A computer voice.</span> <span class="cv-spoken status" role="status"></span></p>'
        if Settings.from_env().voice != NO_MODEL
        else ""
    )
    return (
        f'<p class="cv-strategy quiet" lang="{reply.language}" translate="no">{escape(reply.reason)}</p>'
        f'<label class="cv-edit">You could say (change it as you like)<textarea rows="3" lang="{reply.language}" '
        f'translate="no" maxlength="1000">{escape(reply.text)}</textarea></label>{note}{waiting}{source}{listen}'
        '<p class="quiet">Offered to you, never sent: a program does not know these people.</p>'
        f'<fieldset class="cv-keep"><legend>{ASK_CONSENT}</legend>{ticks}</fieldset>'
        f'<p class="cv-acts" data-turn="{number}">{buttons}</p><p class="cv-kept status" role="status"></p>'
    )


def _care_html(reply: Reply) -> str:
    """Fixed words and help lines: nothing here is written by a program."""
    rows = [
        f'<li translate="no">{escape(line.region)}: <strong>{escape(line.name)}</strong> {escape(line.number)} '
        f'<span class="quiet">({escape(line.emergency)})</span></li>'
        for line in reply.help_lines
    ]
    return (
        f'<div class="cv-care" lang="{reply.language}"><p translate="no">{escape(reply.text)}</p>'
        f"<p>Help lines, and in brackets the emergency number:</p><ul>{''.join(rows)}</ul>"
        f'<p class="quiet" translate="no">{escape(reply.reason)}</p></div>'
    )
