"""A reply spoken aloud, sentence by sentence, when somebody asks for it."""

import base64
import io
import threading
from functools import lru_cache

import gradio as gr

from ser.config import EMBEDDED, NO_MODEL, Settings
from ser.errors import ModelUnavailableError, SerError
from ser.synthesis import Voice, load_voice, speak, split_sentences, tone_for, write_speech
from ui.backend.identity import charge
from ui.backend.services import Services
from ui.conversation.replies import Kept
from ui.parts.calls import Given

LONGEST = 1000
"""Letters of a reply, as its field takes them."""

_loading = threading.Lock()


@lru_cache(maxsize=4)
def _voice(name: str, language: str, device: str) -> Voice | str:
    """The voice for a language, or a sentence that says why there is none."""
    try:
        # The installed voice speaks English; espeak-ng speaks others, too.
        chosen = "espeak" if name == EMBEDDED and language != "en" else name
        return load_voice(chosen, device, language=language)
    except ModelUnavailableError as error:
        return str(error)


def find_voice(language: str) -> Voice:
    """Find the voice of the settings, loaded when it is first asked for.

    Raises:
        ModelUnavailableError: if there is none for that language.
    """
    settings = Settings.from_env()
    if settings.voice == NO_MODEL:
        raise ModelUnavailableError("Replies are not spoken on this page.")
    with _loading:
        found = _voice(settings.voice, language, settings.device)
    if isinstance(found, str):
        raise ModelUnavailableError(found)
    return found


def speak_reply(services: Services, kept: Kept, place: int, given: Given, request: gr.Request) -> dict[str, object]:
    """Speak one sentence of a reply as it stands in its field.

    Args:
        services: of the page.
        kept: the conversation.
        place: of the turn that is answered.
        given: `text`, `sentence` (its number, from 0) and `chime`.
        request: of the browser.

    Returns:
        `audio`, a WAV file as a data address, and `more`, if a sentence follows.

    Raises:
        SerError: if there is no voice, no such sentence, or no reply was offered.
    """
    offered, text, number = kept.replies.get(place), given.get("text"), given.get("sentence")
    if offered is None:
        raise SerError("No reply was offered for this turn yet.")
    if not isinstance(text, str) or len(text) > LONGEST:
        raise SerError(f"The reply is no text of at most {LONGEST} letters. Make it shorter.")
    sentences = split_sentences(text)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(sentences):
        raise SerError("There is no such sentence in the reply. Write one, and press Listen again.")
    charge(services, request, "recognitions", amount=0.2)
    one = kept.conversation.turns[place]
    tone = tone_for("" if one.unsure else one.label or "")
    voice = find_voice(offered.language)
    file = io.BytesIO()
    chime = number == 0 and bool(given.get("chime"))
    write_speech(file, speak(voice, sentences[number], tone, chime=chime), voice)
    return {
        "audio": f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}",
        "more": number + 1 < len(sentences),
    }
