"""Replies: what kind fits, whose words they mirror, what the guard says, and what is kept of them."""

import csv
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import pytest

from annotations.cli import main
from annotations.errors import ConsentRequiredError, StoreError
from annotations.maintenance.erasure.erase import erase_rater
from annotations.raters.replies import RatedReply, forget_reply, list_replies, preference_pairs, save_reply
from annotations.store import AnnotationStore
from ser.conversation.conversation import Cause, Conversation, FeltTurn, Readers, build_conversation
from ser.conversation.guard.guard import KINDS, WEIGHTS_FILE, find_plain, load_guard
from ser.conversation.model.dialogue import load_dialogue_model
from ser.conversation.reply.reply import GUARD, SENTENCES, compose_reply, languages, read_help, read_sentences
from ser.conversation.reply.strategies import STRATEGIES, find_situation
from ser.conversation.reply.written import PATIENCE, build_prompt, write_reply
from ser.conversation.turns import Turn, parse_turns
from ser.errors import LanguageModelError, SerError, SettingsError
from ser.fusion.rule import FusionRule
from ser.language_model.client import Message, Reply
from ser.testing import WordListModel
from ser.types import EmotionScores
from ui.backend.services import Services
from ui.conversation.endpoint import OWN_WORDS, Rating, ReplyHandlers
from ui.conversation.tab import ConversationHandlers

ANN = gr.Request(session_hash="ann")
WHO = {"name": "ann", "key": "a key of twenty chars"}
TURNS = (("Ann", "I lost my keys."), ("Bo", "Oh no."))


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers(load_dialogue_model(), WordListModel(), FusionRule())


def conversation(*turns: tuple[str, str, str, int | None], unsure: bool = False) -> Conversation:
    """Turns of (who, words, feeling, place of its cause)."""
    felt = []
    for who, words, label, _ in turns:
        scores = EmotionScores.from_dict({label: 1.0})
        felt.append(FeltTurn(Turn(who, words), scores, scores, scores, "Not sure." if unsure else None))
    causes = tuple(Cause(at, source, 0.9) for at, (_, _, _, source) in enumerate(turns) if source is not None)
    return Conversation(tuple(felt), causes, 0.5, (), {})


@pytest.mark.parametrize(
    ("turns", "strategy"),
    [
        ([("A", "I got the job!", "happiness", 0)], "celebrate"),
        ([("A", "I lost my keys.", "sadness", 0)], "acknowledge"),
        ([("A", "I am afraid of the exam.", "fear", 0)], "reassure"),
        ([("B", "You are late again.", "neutral", None), ("A", "Leave me alone!", "anger", 0)], "give room"),
        ([("A", "It is raining.", "neutral", None)], "ask"),
        (
            [("A", "He is gone.", "sadness", 0), ("B", "Oh.", "neutral", None)] * 2 + [("A", "I cry.", "sadness", 4)],
            "offer help",
        ),
    ],
)
def test_the_strategy_follows_feeling_cause_and_dialogue(turns: list, strategy: str) -> None:
    assert find_situation(conversation(*turns), len(turns) - 1).strategy == strategy
    assert find_situation(conversation(*turns, unsure=True), len(turns) - 1).strategy == "ask"


def test_replies_mirror_the_speaker_and_ask_when_unsure(readers: Readers) -> None:
    guard = load_guard()
    talk = conversation(("Ann", "Well, they gave my job to somebody else! Why?", "sadness", 0))
    said = compose_reply(talk, 0, readers, guard)
    assert said.text == "They gave your job to somebody else – it sounds as if that makes you sad."
    assert (said.strategy, said.source) == ("acknowledge", SENTENCES)
    assert "sounds as if" not in compose_reply(talk, 0, readers, guard, "zh").text
    unsure = compose_reply(conversation(("Ann", "Hm.", "fear", None), unsure=True), 0, readers, guard)
    assert unsure.text.endswith("?") and unsure.strategy == "ask"
    with pytest.raises(SettingsError, match="no sentences in 'xx'"):
        compose_reply(talk, 0, readers, guard, "xx")
    whole = build_conversation(parse_turns("A: I passed the exam!\nB: I am so happy for you."), readers)
    assert all(compose_reply(whole, place, readers, guard, one).text for place in (0, 1) for one in languages())


def test_every_language_has_every_sentence() -> None:
    for texts in read_sentences().values():
        assert set(texts["strategies"]) == set(texts["reasons"]) == set(STRATEGIES)
        assert all(forms["mirror"] and forms["plain"] for forms in texts["strategies"].values()) and texts["unsure"]
    assert set(languages()) <= set(read_help()) and all(set(KINDS) <= set(read_help()[one]) for one in languages())


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("I can't take it any longer. I want to kill myself.", "self-harm"),
        ("He said he will stab my brother.", "violence"),
        ("My husband beats me when he is drunk.", "abuse"),
        ("我不想活了。", "self-harm"),
    ],
)
def test_the_guard_answers_with_fixed_words_and_help_lines(readers: Readers, words: str, kind: str) -> None:
    class Forbidden:
        name = "must not be asked"

        def stream(self, *args: object, **kwargs: object) -> Reply:
            raise AssertionError("a language model was asked")

    talk = conversation(("A", words, "sadness", 0), ("B", "Oh.", "neutral", None))
    for place in (0, 1):
        plain = compose_reply(talk, place, readers, load_guard())
        assert plain.source == GUARD and plain.alarm is not None and plain.alarm.kind == kind
        assert plain.text == read_help()["en"][kind] and {line.region for line in plain.help_lines} >= {"United States"}
        assert list(write_reply(talk, plain, Forbidden(), load_guard())) == [plain]  # type: ignore[arg-type]


class Writer:
    """A language model that writes pieces, and then may fail."""

    name = "writer"

    def __init__(self, *pieces: str, late: bool = False) -> None:
        self.pieces, self.late = pieces, late
        self.asked: Sequence[Message] = ()

    def stream(self, messages: Sequence[Message], *, max_tokens: int = 200, seconds: float = 30.0) -> Reply:
        self.asked = messages
        assert seconds == PATIENCE

        def write():  # type: ignore[no-untyped-def]
            yield from self.pieces
            if self.late:
                raise LanguageModelError("The language model 'writer' was not done after 5 s.")

        return Reply(write())


def test_a_language_model_is_told_all_and_replaced_if_late_or_unsafe(readers: Readers) -> None:
    guard = load_guard()
    talk = conversation(("Ann", "I lost my keys.", "sadness", 0), ("Bo", "Oh no.", "neutral", None))
    plain = compose_reply(talk, 0, readers, guard)
    model = Writer("It sounds as if ", "that is hard. ", "Where did you last see them?")
    found = list(write_reply(talk, plain, model, guard))  # type: ignore[arg-type]
    assert len(found) == 4 and found[-1].source == "writer"
    assert found[-1].text == "It sounds as if that is hard. Where did you last see them?"
    told = " ".join(message.text for message in model.asked)
    assert all(part in told for part in ("I lost my keys.", "sadness 100%", "acknowledge", "turn 1 (90%)"))
    assert "Oh no." not in " ".join(message.text for message in build_prompt(talk, 0, "en"))
    for bad in (Writer("It", late=True), Writer("Then go and kill yourself."), Writer(" ")):
        last = list(write_reply(talk, plain, bad, guard))[-1]  # type: ignore[arg-type]
        assert (last.text, last.source) == (plain.text, SENTENCES) and last.note


def rated(rating: str, reply: str, edited: str | None = None) -> RatedReply:
    return RatedReply(rating, TURNS, reply, edited, "ask", "sadness", "sentences", "en")


def test_rated_replies_become_pairs_and_are_erased_with_their_rater(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = AnnotationStore(tmp_path / "studio")
    with pytest.raises(ConsentRequiredError):
        save_reply(store, rated("off", "a"), "ann", [])
    with pytest.raises(StoreError, match="expected one of helpful"):
        save_reply(store, rated("good", "a"), "ann", ["training"])
    save_reply(store, rated("off", "a", "a better one"), "ann", ["training"])
    save_reply(store, rated("helpful", "b"), "bob", ["training", "research"])
    save_reply(store, rated("unsafe", "c"), "bob", ["research"])
    number = save_reply(store, rated("helpful", "d"), "bob", ["training"])
    pairs, alone = preference_pairs(store, "training")
    assert [(pair["chosen"], pair["rejected"]) for pair in pairs] == [("a better one", "a"), ("b", "a"), ("d", "a")]
    assert pairs[0]["prompt"] == "Ann: I lost my keys.\nBo: Oh no." and alone == 0
    with pytest.raises(StoreError, match="of yours"):
        forget_reply(store, number, "ann")
    forget_reply(store, number, "bob")
    data, out = str(tmp_path / "studio"), tmp_path / "pairs.jsonl"
    assert main(["--data-dir", data, "replies", "--out", str(out)]) == 0
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 2
    assert main(["--data-dir", data, "replies", "--out", str(out)]) == 2
    assert main(["--data-dir", data, "replies", "--purpose", "research", "--out", str(tmp_path / "r.jsonl")]) == 0
    capsys.readouterr()
    erase_rater(store, "ann", by="boss")
    assert preference_pairs(store, "training") == ([], 1)


def test_replies_on_the_page(page_services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    handlers = ConversationHandlers(page_services)
    *_, drawn = handlers.on_read(None, "Ann: I lost my keys.\nBo: I want to kill myself.", "", "auto", "off", ANN)
    token = drawn.split('data-token="')[1].split('"')[0]
    acts, given = handlers.acts(), {"token": token, "turn": 1, "who": WHO}
    with pytest.raises(SerError, match="No reply was offered"):
        acts["conversation_rate"]({**given, "rating": "off", "consent": ["training"]}, ANN)
    found = acts["conversation_reply"]({**given, "language": "en"}, ANN)
    assert "<textarea" in str(found["html"]) and found["writing"] is False
    with pytest.raises(SerError, match="tick"):
        acts["conversation_rate"]({**given, "rating": "off", "consent": []}, ANN)
    kept = acts["conversation_rate"]({**given, "rating": "off", "edited": "Mine.", "consent": ["training"]}, ANN)
    assert preference_pairs(page_services.store, "training")[0][0]["chosen"] == "Mine."
    acts["conversation_forget"]({"id": kept["id"], "who": WHO}, ANN)
    assert preference_pairs(page_services.store, "training") == ([], 0)
    care = str(acts["conversation_reply"]({**given, "turn": 2, "language": "zh"}, ANN)["html"])
    assert "cv-care" in care and "<textarea" not in care and "12356" in care

    monkeypatch.setattr("ui.conversation.replies.find_language_model", lambda name, device: Writer("How ", "sad."))
    acts["conversation_reply"]({**given, "language": "en"}, ANN)
    deadline = time.monotonic() + 10
    while (written := acts["conversation_written"](given, ANN))["writing"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert written["text"] == "How sad." and "writer" in str(written["html"])


def test_programs_are_offered_replies_rate_them_and_take_them_back(page_services: Services) -> None:
    api, said = ReplyHandlers(page_services), "Ann: I lost my keys.\nBo: Oh no.\nAnn: They were new."
    offered = api.reply(said, 1)
    assert offered["source"] == SENTENCES and offered["turn"] == 1 and api.reply(said)["turn"] == 3
    assert api.reply("Ann: I want to kill myself.", 1, "zh")["guard"] == {
        "kind": "self-harm",
        "phrase": "I want to kill myself.",
    }
    for wrong, message in (((said, 4), "no turn 4; the conversation has 3"), ((" ", 1), "No transcript was given")):
        with pytest.raises(SerError, match=message):
            api.reply(*wrong)
    text = str(offered["text"])
    with pytest.raises(ConsentRequiredError):
        api.rate_reply(Rating(said, 1, text, "off", "Mine.", [], "ann"))
    number = api.rate_reply(Rating(said, 1, text, "off", "Mine.", ["training"], "ann"))["id"]
    api.rate_reply(Rating(said, 1, "Of my own.", "helpful", "", ["training"], "ann"))
    kept = list_replies(page_services.store)
    assert [(one["transcript"], one["edited"], one["source"]) for one in kept] == [
        ("Ann: I lost my keys.", "Mine.", SENTENCES),
        ("Ann: I lost my keys.", None, OWN_WORDS),
    ]
    assert kept[0]["strategy"] == offered["strategy"] and kept[1]["strategy"] is None
    assert api.forget_reply(number, "ann") == {"forgotten": number}
    with pytest.raises(StoreError, match="of yours"):
        api.forget_reply(number, "ann")


def test_rated_replies_come_in_and_are_listed_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, file = str(tmp_path / "studio"), tmp_path / "rated.jsonl"
    AnnotationStore(tmp_path / "studio").close()
    good = {
        "rating": "off",
        "turns": [["Ann", "I lost my keys."]],
        "reply": "So?",
        "edited": "Oh!",
        "consent": ["training"],
    }
    lines = [json.dumps(good), "{", json.dumps({**good, "turns": 3}), json.dumps({**good, "consent": []})]
    file.write_text("\n".join(lines), encoding="utf-8")
    assert main(["--data-dir", data, "replies", "--add", str(file)]) == 2
    assert "Name the rater" in capsys.readouterr().err
    assert main(["--data-dir", data, "replies", "--add", str(file), "--rater", "ann"]) == 1
    said = capsys.readouterr()
    assert "Rated replies kept: 1; left out: 3." in said.out
    assert all(f"line {place} is left out" in said.err for place in (2, 3, 4))
    assert main(["--data-dir", data, "replies", "--list"]) == 0
    (listed,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (listed["rater"], listed["edited"], listed["consent"]) == ("ann", "Oh!", ["training"])
    assert main(["--data-dir", data, "replies", "--forget", str(listed["id"]), "--rater", "ann"]) == 0
    assert main(["--data-dir", data, "replies", "--forget", "7", "--rater", "ann"]) == 2


def words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z']+|[一-鿿]", text.lower()))


def test_the_guard_was_not_trained_on_what_tests_it_last() -> None:
    written = []
    for name in ("phrases.csv", "harmless.csv"):
        rows = csv.DictReader((WEIGHTS_FILE.parent / name).open(encoding="utf-8", newline=""))
        written += [words_of(row["text"]) for row in rows]
    third = Path("benchmarks/words/crisis_third.csv")
    tested = [row["text"] for row in csv.DictReader(third.open(encoding="utf-8", newline=""))]
    assert len(tested) == 160 and len(written) > 4000
    near = [
        text
        for text in tested
        if any(len(words_of(text) & other) > 0.6 * len(words_of(text) | other) for other in written)
    ]
    assert not near


def test_the_guard_is_small_and_finds_what_no_rule_names() -> None:
    assert WEIGHTS_FILE.stat().st_size < 1_500_000
    guard = load_guard()
    found = guard.check("So we moved house. i keep walking up to the edge of the platform and wanting to let go.")
    assert found is not None and found.kind == "self-harm" and "platform" in found.phrase
    assert find_plain(found.phrase) is None and guard.threshold < found.probability < 1
    for words in (
        "The train to Leeds was on time.",
        "My battery died on the way home.",
        "I killed it on stage last night.",
        "我快饿死了",
    ):
        assert guard.check(words) is None, words
