"""`python -m ser converse`: a transcript, a call, or clips in order in; feelings by turn and their causes out."""

import argparse
import json
import sys
from pathlib import Path

from ser.audio.long_recordings import read_long
from ser.checkpoints.hub import pick_device
from ser.config import Settings
from ser.conversation.conversation import Conversation, Readers, build_conversation
from ser.conversation.guard.guard import load_guard
from ser.conversation.model.dialogue import load_dialogue_model
from ser.conversation.recordings import MAX_DURATION, turns_of_clips, turns_of_recording
from ser.conversation.reply.reply import GUARD, Reply, compose_reply
from ser.conversation.reply.written import write_reply
from ser.conversation.summary import name_turns, summarise
from ser.conversation.turns import TRANSCRIPTS, read_turns
from ser.errors import AudioError, SettingsError
from ser.fusion.rule import FusionRule
from ser.language_model.client import load_language_model
from ser.loading import load_recognizer
from ser.text.classifier import load_text_model
from ser.timeline.speakers import OFF

PAIR = ("A", "B")
"""Who speaks in turn in several recordings, unless they are named."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Read a conversation.

    Args:
        options: `files, channels, speakers, reply, language, json`.
        settings: which models to use.

    Returns:
        0 if all of it was read, 1 if clips were left out.

    Raises:
        SerError: if a model cannot be loaded, the transcript or every recording is unusable, or transcripts and
            recordings are mixed.
    """
    paths = [Path(name) for name in options.files]
    written = [path for path in paths if path.suffix.lower() in TRANSCRIPTS]
    if written and len(paths) > 1:
        raise SettingsError(f"{written[0]} is a transcript; it is read alone. Name one transcript, or recordings.")
    dialogue, failed = load_dialogue_model(), dict[Path, str]()
    if written:
        readers = Readers(dialogue, load_text_model(settings.text_model), FusionRule())
        turns, notes = read_turns(written[0]), tuple[str, ...]()
    else:
        recognizer = load_recognizer(settings)
        readers = Readers(dialogue, recognizer.text, recognizer.fusion, recognizer.opinion)
        if len(paths) == 1:
            limit = MAX_DURATION if settings.max_duration is None else settings.max_duration
            speakers = " ".join(options.speakers or (OFF,))
            recording = read_long(paths[0], limit)
            turns, notes = turns_of_recording(recognizer, recording, options.channels, speakers=speakers)
        else:
            turns, failed = turns_of_clips(recognizer, paths, options.speakers or PAIR)
            notes = ()
    for path, reason in failed.items():
        print(f"{path} is left out: {reason}", file=sys.stderr)
    if not turns:
        raise AudioError(f"None of {len(paths)} recording{'' if len(paths) == 1 else 's'} could be read.")
    conversation = build_conversation(turns, readers, notes)
    name = ", ".join(map(str, paths))
    reply = None if options.reply is None else offer(conversation, options, readers, settings)
    if options.json:
        said = [{"text": one.text, "turns": [place + 1 for place in one.turns]} for one in summarise(conversation)]
        left_out = {str(path): reason for path, reason in failed.items()}
        answer = {**conversation.as_dict(name), "summary": said, "left_out": left_out}
        print(json.dumps({**answer, **({"reply": reply.as_dict()} if reply else {})}, ensure_ascii=False))
    else:
        print(describe(conversation, name) + (describe_reply(reply) if reply else ""))
    if failed:
        print(f"Recordings left out: {len(failed)} of {len(paths)}.", file=sys.stderr)
    return 1 if failed else 0


def offer(conversation: Conversation, options: argparse.Namespace, readers: Readers, settings: Settings) -> Reply:
    """The reply to the turn that was asked for: written by a language model if there is one, else from the sentences.

    Raises:
        SerError: if there is no such turn or language, or the language model cannot be loaded.
    """
    place = (options.reply or len(conversation.turns)) - 1
    guard = load_guard()
    plain = compose_reply(conversation, place, readers, guard, options.language)
    model = (
        None if plain.source == GUARD else load_language_model(settings.language_model, pick_device(settings.device))
    )
    if model is None:
        return plain
    *_, written = write_reply(conversation, plain, model, guard)
    return written


def describe_reply(reply: Reply) -> str:
    """An offered reply as lines for a person."""
    lines = [
        f"  You could say to turn {reply.turn + 1}: {reply.text}",
        f"  ({reply.strategy or GUARD}: {reply.reason})",
    ]
    lines += [f"  {line.region}: {line.name} {line.number} (emergency {line.emergency})" for line in reply.help_lines]
    return "\n".join([*lines, *([f"  {reply.note}"] if reply.note else [])]) + "\n"


def describe(conversation: Conversation, name: str) -> str:
    """A conversation as lines for a person."""
    lines = [name]
    for place, one in enumerate(conversation.turns):
        felt = "no answer" if one.feeling is None else f"{one.label:<10}{one.feeling.confidence:>4.0%}"
        time = "" if one.turn.start is None else f"{one.turn.start:8.2f}  "
        doubt = "  not sure" if one.unsure else ""
        lines.append(f"{place + 1:4}  {time}{one.turn.speaker}: {felt}{doubt}  “{one.turn.words}”")
        for cause in conversation.causes_of(place):
            source = "itself" if cause.source == place else f"turn {cause.source + 1}"
            lines.append(f"          may come from {source} ({cause.probability:.0%})")
    lines += [f"  {one.text} ({name_turns(one.turns)})" for one in summarise(conversation)]
    lines += [f"  {note}" for note in conversation.notes]
    return "\n".join(lines) + "\n"
