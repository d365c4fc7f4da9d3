"""The conversation tab as functions: transcripts, calls and clips read, turns explained, the tab switched off."""

import base64
import io
import re
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import soundfile

from ser.errors import SerError, SettingsError
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE
from ui.backend.services import Services
from ui.conversation.tab import ConversationHandlers, is_on

ANN = gr.Request(session_hash="ann")
TALK = "Tom: I passed the <b>exam</b>!\nEve: Congratulations! I am so happy for you."


def read(handlers: ConversationHandlers, files: list[str] | None = None, text: str = "", speakers: str = "A, B") -> str:
    *_, drawn = handlers.on_read(files, text, speakers, "auto", "off", ANN)
    return drawn


def token(drawn: str) -> str:
    found = re.search('data-token="([^"]*)"', drawn)
    assert found is not None
    return found[1]


def test_a_transcript_is_drawn_and_explained(page_services: Services) -> None:
    handlers = ConversationHandlers(page_services)
    drawn = read(handlers, text=TALK)
    assert drawn.count('class="cv-turn ') == 2 and "&lt;b&gt;" in drawn and "<b>exam" not in drawn
    assert "cv-arrow" in drawn and 'href="#cv-turn-1"' in drawn and "cv-play" not in drawn
    given = {"token": token(drawn), "turn": 2}
    html = str(handlers.acts()["conversation_why"](given, ANN)["html"])
    assert "Words after the turns before" in html and "<mark>" in html and "<b>exam" not in html
    for wrong, said in (({**given, "turn": 9}, "no turn 9"), ({"token": "x", "turn": 1}, "not remembered")):
        with pytest.raises(SerError, match=said):
            handlers.why(wrong, ANN)
    assert "Choose a recording" in read(handlers)
    plain = handlers.converse(transcript=TALK, request=ANN)
    assert len(plain["turns"]) == 2 and plain["causes"]  # type: ignore[arg-type]
    with pytest.raises(SerError, match="Neither transcript nor audio"):
        handlers.converse(request=ANN)


def test_calls_and_clips_are_read_and_what_cannot_be_is_named(page_services: Services, page_cache: Path) -> None:
    handlers, silence = ConversationHandlers(page_services), np.zeros(2 * SAMPLING_RATE, np.float32)
    folder = page_cache / "hash"
    folder.mkdir(exist_ok=True)
    voices = [synthetic_speech(2.0, pitch=120.0 + 80 * seed, seed=seed).signal for seed in range(2)]
    call = np.stack([np.concatenate([voices[0], silence]), np.concatenate([silence, voices[1]])], axis=1)
    soundfile.write(folder / "call.wav", call, SAMPLING_RATE)
    drawn = read(handlers, [str(folder / "call.wav")])
    assert drawn.count("cv-play") == 2 and "channel 2" in drawn and 'class="cv-sound"' in drawn
    for name, voice in (("a.wav", voices[0]), ("b.wav", voices[1])):
        soundfile.write(folder / name, voice, SAMPLING_RATE)
    (folder / "c.wav").write_bytes(b"no sound")
    clips = [str(folder / name) for name in ("a.wav", "b.wav", "c.wav")]
    drawn = read(handlers, clips, speakers="Al，Bo")
    assert "Al</span>" in drawn and "Bo</span>" in drawn and "Left out: c.wav" in drawn
    (folder / "talk.csv").write_text("speaker,text\nA,hello there\n", encoding="utf-8")
    with pytest.raises(SerError, match="choose it alone"):
        read(handlers, [*clips, str(folder / "talk.csv")])
    with pytest.raises(SerError, match="at most 60"):
        read(handlers, clips * 30)


def test_the_tab_can_be_switched_off() -> None:
    assert is_on({}) and not is_on({"SER_CONVERSATION": "off"})
    with pytest.raises(SettingsError, match="expected on or off"):
        is_on({"SER_CONVERSATION": "maybe"})


def test_a_reply_is_spoken_sentence_by_sentence(page_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = ConversationHandlers(page_services)
    acts, given = handlers.acts(), {"token": token(read(handlers, text=TALK)), "turn": 1}
    with pytest.raises(SerError, match="No reply was offered"):
        acts["conversation_speak"]({**given, "text": "Well done.", "sentence": 0}, ANN)
    assert "cv-listen" in str(acts["conversation_reply"](given, ANN)["html"])
    said = {**given, "text": "Well done! How was it?"}
    first = acts["conversation_speak"]({**said, "sentence": 0, "chime": True}, ANN)
    last = acts["conversation_speak"]({**said, "sentence": 1}, ANN)
    assert (first["more"], last["more"]) == (True, False)
    kind, _, data = str(first["audio"]).partition(",")
    with soundfile.SoundFile(io.BytesIO(base64.b64decode(data))) as file:
        assert kind == "data:audio/wav;base64" and "no person" in file.comment and file.frames > 0.5 * file.samplerate
    for wrong in ({"sentence": 2}, {"sentence": -1}, {"sentence": True}, {"sentence": 0, "text": "x" * 1001}):
        with pytest.raises(SerError, match="no such sentence|at most 1000 letters"):
            acts["conversation_speak"]({**said, **wrong}, ANN)
    monkeypatch.setenv("SER_VOICE", "none")
    with pytest.raises(SerError, match="not spoken on this page"):
        acts["conversation_speak"]({**said, "sentence": 0}, ANN)
    assert "cv-listen" not in str(acts["conversation_reply"](given, ANN)["html"]), (
        "a button that cannot work is not there"
    )
