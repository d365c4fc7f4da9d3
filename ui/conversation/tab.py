"""The conversation tab: files or a transcript in, turns with their feelings and causes out.

Nothing of it is stored but the replies that people rate.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import gradio as gr

from ser.audio.formats import AUDIO_SUFFIXES
from ser.audio.long_recordings import read_long
from ser.conversation.conversation import Conversation, Readers, build_conversation, explain_cause
from ser.conversation.model.dialogue import load_dialogue_model
from ser.conversation.recordings import turns_of_clips, turns_of_recording
from ser.conversation.summary import summarise
from ser.conversation.turns import TRANSCRIPTS, Turn, parse_turns, read_turns
from ser.errors import AudioError, SerError, SettingsError
from ser.recognizer import Recognizer
from ser.serialization import printable
from ser.timeline.speakers import OFF
from ser.timeline.timeline import AUTO
from ui.backend.identity import charge
from ui.backend.limits import MAX_TIMELINE_DURATION, TIMELINE_BUDGET
from ui.backend.services import Services
from ui.backend.turns import PRESSED, Waiting
from ui.conversation.drawing import conversation_html, limits_html, why_html
from ui.conversation.endpoint import build_endpoints
from ui.conversation.replies import Kept, forget, offer, rate, reply_html
from ui.conversation.speaking import speak_reply
from ui.parts.calls import Act, Given, whole_number
from ui.parts.errors import shows_errors
from ui.parts.presentation import clock, escape, status_line
from ui.timeline.panel import CHANNELS, SPEAKERS

SETTING = "SER_CONVERSATION"
"""`off` leaves out the tab and its endpoint."""

MOST_KEPT, MOST_CLIPS = 64, 60
LETTERS_A_CHARGE = 20_000
"""Letters of a transcript that count as one answer."""

EXAMPLE = (
    "Anna: I finally heard back from the company.\n"
    "Ben: And? What did they say?\n"
    "Anna: They gave the job to somebody else. After four interviews!\n"
    "Ben: Oh no. You prepared so hard for it.\n"
    "Anna: I know. I really thought I had it this time.\n"
    "Ben: Well, my sister's firm is looking for someone just like you.\n"
    "Anna: Really? That would be wonderful!"
)


def is_on(environ: Mapping[str, str]) -> bool:
    """Tell if the tab is to be there.

    Raises:
        SettingsError: if the setting is neither on nor off.
    """
    said = environ.get(SETTING, "on").strip().lower() or "on"
    if said not in ("on", "off"):
        raise SettingsError(f"{SETTING} is '{said}'; expected on or off.")
    return said == "on"


class ConversationHandlers:
    """The event, the acts of the script, and the endpoint."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def acts(self) -> dict[str, Act]:
        """{name: function} of what the script asks for."""
        return {
            "conversation_why": self.why,
            "conversation_reply": self.reply,
            "conversation_written": self.written,
            "conversation_speak": self.speak,
            "conversation_rate": self.rate,
            "conversation_forget": self.forget,
        }

    def on_read(
        self, files: list[str] | None, text: str, speakers: str, channels: str, voices: str, request: gr.Request
    ) -> Iterator[str]:
        """Read files or, without any, the text that was typed."""
        session = str(request.session_hash)
        paths = [Path(name) for name in files or ()]
        if not paths and not text.strip():
            yield status_line("Choose a recording or a transcript, or write one.", "gentle") + limits_html()
            return
        yield status_line("Reading the conversation …", "quiet")
        for step in self._steps(paths, text, speakers, (channels, voices), request):
            if isinstance(step, Waiting):
                yield status_line(f"Place {step.place} in the queue.", "quiet")
            else:
                conversation, readers, left_out = step
                sound = paths[0] if len(paths) == 1 and conversation.turns[0].turn.voice is not None else None
                if sound is not None:
                    self.services.uploads.hold(held(session), sound)
                yield self._draw(Kept(conversation, readers, session), sound, left_out)

    def converse(
        self,
        transcript: str = "",
        audio: str | None = None,
        channels: str = AUTO,
        speakers: str = OFF,
        request: gr.Request | None = None,
    ) -> dict[str, object]:
        """Find what is felt in a conversation and what caused it, of a transcript or a recording; nothing is stored."""
        if audio is None:
            if not transcript.strip():
                raise SerError("Neither transcript nor audio was given. Send one of them.")
            return self._plain([], transcript, (channels, speakers), request)
        with self.services.uploads.borrow(audio) as path:
            return self._plain([path], "", (channels, speakers), request)

    def why(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Explain a turn: what voice and words say, and the words of its causes."""
        kept, place = self.get(given)
        conversation = kept.conversation
        charge(self.services, request, "recognitions")
        causes = [
            (cause.source, cause.probability, explain_cause(conversation, cause, kept.readers))
            for cause in conversation.causes_of(place)[:3]
        ]
        return {"html": why_html(conversation.turns[place], causes)}

    def reply(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Offer a reply to a turn."""
        kept, place = self.get(given)
        charge(self.services, request, "recognitions")
        offered = offer(kept, place, str(given.get("language") or "en"))
        return {"html": reply_html(offered, writing=place in kept.writing), "writing": place in kept.writing}

    def written(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Return what a language model has written of a reply so far."""
        kept, place = self.get(given)
        writing, offered = place in kept.writing, kept.replies.get(place)
        if offered is None:
            raise SerError("No reply was offered for this turn yet.")
        return {"text": offered.text, "writing": writing, "html": "" if writing else reply_html(offered, writing=False)}

    def speak(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Speak a sentence of an offered reply."""
        kept, place = self.get(given)
        return speak_reply(self.services, kept, place, given, request)

    def rate(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Keep what somebody thinks of a reply."""
        kept, place = self.get(given)
        return rate(self.services, kept, place, given, request)

    def forget(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Take a rating back."""
        return forget(self.services, given, request)

    def get(self, given: Given) -> tuple[Kept, int]:
        """The conversation and the turn, counted from 0, that the browser names.

        Raises:
            SerError: if it is not remembered, or has no such turn.
        """
        with self._lock:
            kept = self._kept.get(str(given.get("token")))
        if kept is None:
            raise SerError("This conversation is not remembered any more. Read it again.")
        place = whole_number(given, "turn") - 1
        if not 0 <= place < len(kept.conversation.turns):
            raise SerError(f"There is no turn {place + 1}; the conversation has {len(kept.conversation.turns)}.")
        return kept, place

    def _plain(
        self, paths: list[Path], text: str, ways: tuple[str, str], request: gr.Request | None
    ) -> dict[str, object]:
        steps = self._steps(paths, text, "", ways, request)
        ((conversation, _, _),) = (step for step in steps if not isinstance(step, Waiting))
        said = [{"text": one.text, "turns": [place + 1 for place in one.turns]} for one in summarise(conversation)]
        return {**conversation.as_dict(paths[0].name if paths else None), "summary": said}

    def _steps(
        self, paths: list[Path], text: str, names: str, ways: tuple[str, str], request: gr.Request | None
    ) -> Iterator["tuple[Conversation, Readers, list[str]] | Waiting"]:
        """Read a conversation in its turn; yields places in the queue, then the conversation.

        Args:
            paths: of one transcript or recording, or of clips.
            text: read if there are none.
            names: of who speaks in turn in clips.
            ways: with the channels of a recording, and with the speakers of one channel.
            request: says whose it is.
        """
        recognizer = self.services.active_model.serving().recognizer
        readers = Readers(load_dialogue_model(), recognizer.text, recognizer.fusion, recognizer.opinion)
        connection = str(request.session_hash) if request else ""
        written = [path for path in paths if path.suffix.lower() in TRANSCRIPTS]
        if written or not paths:
            if len(paths) > 1:
                raise SerError(f"{printable(written[0].name)} is a transcript; choose it alone, or choose recordings.")
            turns = read_turns(written[0]) if written else parse_turns(text)
            letters = sum(len(turn.words) for turn in turns)
            charge(self.services, request, "recognitions", amount=max(1.0, letters / LETTERS_A_CHARGE))

            def read() -> Iterator[tuple[Conversation, Readers, list[str]]]:
                yield build_conversation(turns, readers), readers, []

            yield from self.services.answers(connection, letters / 15.0, read, budget=TIMELINE_BUDGET)
        elif len(paths) == 1:
            yield from self._recording(paths[0], ways, recognizer, readers, request)
        else:
            yield from self._clips(paths, names, recognizer, readers, request)

    def _recording(
        self, path: Path, ways: tuple[str, str], recognizer: Recognizer, readers: Readers, request: gr.Request | None
    ) -> Iterator["tuple[Conversation, Readers, list[str]] | Waiting"]:
        recording = read_long(path)
        if recording.duration > MAX_TIMELINE_DURATION:
            raise SerError(
                f"This recording has {clock(recording.duration)}; the page takes "
                f"{clock(MAX_TIMELINE_DURATION, tenths=False)}. On the command line it may last an hour: "
                "python -m ser converse FILE"
            )
        charge(self.services, request, "recognitions", amount=max(1.0, recording.duration / 60.0))

        def read() -> Iterator[tuple[Conversation, Readers, list[str]]]:
            channels, voices = ways[0] or AUTO, ways[1] or OFF
            turns, notes = turns_of_recording(recognizer, recording, channels, speakers=voices)
            yield build_conversation(turns, readers, notes), readers, []

        connection = str(request.session_hash) if request else ""
        yield from self.services.answers(connection, recording.duration, read, budget=TIMELINE_BUDGET)

    def _clips(
        self, paths: list[Path], speakers: str, recognizer: Recognizer, readers: Readers, request: gr.Request | None
    ) -> Iterator["tuple[Conversation, Readers, list[str]] | Waiting"]:
        if len(paths) > MOST_CLIPS:
            raise SerError(f"{len(paths)} clips were chosen; at most {MOST_CLIPS} are read as one conversation.")
        names = [name.strip() for name in speakers.replace("，", ",").split(",") if name.strip()] or ["A", "B"]
        charge(self.services, request, "recognitions", amount=float(len(paths)))

        def read() -> Iterator[tuple[Conversation, Readers, list[str]]]:
            turns: list[Turn]
            turns, failed = turns_of_clips(recognizer, paths, names)
            left_out = [f"{printable(path.name)}: {reason}" for path, reason in failed.items()]
            if not turns:
                raise AudioError("No clip could be read. " + " ".join(left_out[:2]))
            yield build_conversation(turns, readers), readers, left_out

        connection = str(request.session_hash) if request else ""
        yield from self.services.answers(connection, 5.0 * len(paths), read, budget=TIMELINE_BUDGET)

    def _draw(self, kept: Kept, sound: Path | None, left_out: list[str]) -> str:
        token = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[token] = kept
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        drawn = conversation_html(
            kept.conversation, summarise(kept.conversation), token=token, playable=sound is not None
        )
        missing = "".join(status_line(f"Left out: {one}", "gentle") for one in left_out)
        path = f'<span class="cv-sound" data-path="{escape(sound)}" hidden></span>' if sound is not None else ""
        return missing + drawn + path


def held(session: str) -> str:
    """The name under which a session's recording of a conversation is kept, besides that of the first tab."""
    return f"{session}-conversation"


def build_conversation_tab(services: Services) -> dict[str, Act]:
    """Lay out the tab and its endpoint; returns the acts of its script."""
    handlers = ConversationHandlers(services)
    gr.HTML(
        "<p>Read a conversation turn by turn: what is felt, and what may have caused it.</p>",
        elem_id="conversation-intro",
        apply_default_css=False,
    )
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=1, min_width=300):
            text = gr.Textbox(
                label="Transcript: a name, a colon and words on each line",
                placeholder=EXAMPLE,
                lines=9,
                max_lines=20,
                elem_id="conversation-text",
            )
            example = gr.Button("Try an example", size="sm", elem_id="conversation-example")
        with gr.Column(scale=1, min_width=300):
            files = gr.File(
                label="Or a recording, a transcript file, or several clips in order",
                file_count="multiple",
                file_types=[*sorted(AUDIO_SUFFIXES), *TRANSCRIPTS],
                elem_id="conversation-files",
            )
            with gr.Row():
                channels = gr.Dropdown(CHANNELS, value=AUTO, label="Channels of a call", min_width=140)
                voices = gr.Dropdown(SPEAKERS, value=OFF, label="Speakers of one channel", min_width=140)
                speakers = gr.Textbox(value="A, B", label="Who speaks in turn, for several clips", min_width=140)
    button = gr.Button("Read the conversation", variant="primary", elem_id="conversation-read")
    place = gr.HTML(limits_html(), elem_id="conversation", apply_default_css=False)
    example.click(None, None, text, js=f"() => {EXAMPLE!r}", api_visibility="private")
    button.click(
        shows_errors(handlers.on_read),
        [files, text, speakers, channels, voices],
        place,
        **PRESSED,
    )
    build_endpoints(handlers.converse, services)
    return handlers.acts()
