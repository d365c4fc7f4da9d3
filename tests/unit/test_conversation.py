"""Conversations from text, calls and clips: what is read, what is felt in it, and what caused it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser.audio.long_recordings import read_long
from ser.cli import main
from ser.conversation.conversation import Readers, build_conversation, explain_cause
from ser.conversation.model.dialogue import DialogueModel, load_dialogue_model
from ser.conversation.model.dialogues import read_dialogues
from ser.conversation.model.network import DialogueNetwork
from ser.conversation.model.recipe import calibrated
from ser.conversation.model.task import DialogueTask, DialogueTrainConfig, answer, make_examples
from ser.conversation.model.tokens import MAX_TOKENS, cut_windows
from ser.conversation.recordings import turns_of_clips, turns_of_recording
from ser.conversation.summary import summarise
from ser.conversation.turns import TranscriptError, Turn, parse_turns
from ser.errors import SettingsError
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.language_model.client import load_language_model
from ser.language_model.opinion import SecondOpinion
from ser.testing import WordListModel, fake_recognizer, synthetic_speech
from ser.text.embedded import TrainedText
from ser.training.gradients.engine import optimise
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.types import SAMPLING_RATE, Audio, EmotionScores, SpeechRegion
from tests.unit.language_models import chat_server

TALK = """Tom: Guess what, I passed the final exam!
Eve: Congratulations! I am so happy for you.
Tom: Thank you! Let's celebrate tonight.
Eve: My dog died this morning, so I don't feel like going out.
Tom: Oh no, I am so sorry to hear that.
Eve: I miss him so much. I can't stop crying, I am sad."""

CORPUS = """dialogue,turn,speaker,text,label,cause_turns,cause_spans
d1,1,A,I lost my keys !,sadness,1 b,I lost my keys
d1,2,B,"Oh , that is bad .",sadness,1 3,I lost my keys
d1,3,A,Here they are .,happiness,3,Here they are
d2,1,A,Good morning .,neutral,,
d2,2,B,"You broke my cup , you fool !",anger,2,You broke my cup
"""


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers(load_dialogue_model(), WordListModel(), FusionRule())


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("A: Hi, Bo!\n\n[00:12] Bo Li： Good morning,\nmy friend.", ""),
        ('speaker,text\nA,"Hi, Bo!"\nBo Li,"Good morning,\nmy friend."\nA,\n', ".csv"),
        ("Who;Words\nA;Hi, Bo!\nBo Li;Good morning, my friend.\n", ""),
        ('[{"speaker": "A", "text": "Hi, Bo!"}, {"role": "Bo Li", "content": "Good morning, my friend."}]', ""),
        (
            '{"regions": [{"speaker": "A", "transcript": "Hi, Bo!"}, '
            '{"who": "Bo Li", "words": "Good morning, my friend."}]}',
            "",
        ),
        ('{"speaker": "A", "text": "Hi, Bo!"}\n{"speaker": "Bo Li", "text": "Good morning, my friend."}\n', ".jsonl"),
    ],
)
def test_transcripts_are_read_in_every_form(text: str, ending: str) -> None:
    turns = parse_turns(text, ending)
    assert [(turn.speaker, turn.words) for turn in turns] == [("A", "Hi, Bo!"), ("Bo Li", "Good morning, my friend.")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No turns"),
        ("just some words", "Line 1 names nobody"),
        ("[{]", "no JSON"),
        ('{"a": 1}', "no list of turns"),
        ("[3]", "Turn 1 is of type int"),
        ('[{"speaker": "A"}]', "Turn 1 has speaker, and no text"),
        ('[{"text": "hi"}]', "names no speaker"),
        ('[{"speaker": "A", "text": "hi", "start": "soon"}]', "“soon”; expected seconds"),
        ('[{"speaker": "A", "text": "hi", "start": 3, "end": 2}]', "before it starts"),
        ("A: " + "x" * 5000, "Turn 1 has 5000 characters"),
        ("A: hi\n" * 2001, "has 2001 turns"),
    ],
)
def test_what_is_no_transcript_is_refused(text: str, said: str) -> None:
    with pytest.raises(TranscriptError, match=said):
        parse_turns(text)


def test_a_turn_follows_from_those_before_it_only(readers: Readers) -> None:
    turns = parse_turns(TALK)
    words, names = [turn.words for turn in turns], [turn.speaker for turn in turns]
    whole = readers.dialogue.read(words, names)
    for count in range(1, len(turns)):
        part = readers.dialogue.read(words[:count], names[:count])
        np.testing.assert_allclose(part.feelings, whole.feelings[:count], atol=1e-6)
        np.testing.assert_allclose(
            readers.dialogue.causes(part), readers.dialogue.causes(whole)[:count, :count], atol=1e-5
        )
    alone = readers.dialogue.read(words[3:4], names[3:4]).feelings[0]
    assert np.abs(alone - whole.feelings[3]).max() > 0.01


def test_long_dialogues_are_read_in_windows_with_a_history(readers: Readers) -> None:
    words = [f"This is what I have to say number {number}, and it is a long story." for number in range(90)]
    reading = readers.dialogue.read(words, ["A", "B"] * 45)
    assert reading.feelings.shape == (90, 7) and len(reading.windows) > 2
    assert [place for w in reading.windows for place in range(w.answered, w.end)] == list(range(90))
    assert all(window.answered - window.first >= 5 for window in reading.windows[1:])
    chances = readers.dialogue.causes(reading)
    assert chances.shape == (90, 90) and not np.triu(chances, 1).any() and (chances.diagonal() > 0).all()
    sizes = [[20] * 3, [MAX_TOKENS] * 2, [1, 300, 300]]
    assert all(sum(w.end - w.answered for w in cut_windows(lengths)) == len(lengths) for lengths in sizes)


def test_a_conversation_says_what_is_felt_and_why(readers: Readers) -> None:
    conversation = build_conversation(parse_turns(TALK), readers)
    assert conversation.speakers == ["Tom", "Eve"]
    assert [conversation.turns[place].label for place in (1, 2, 5)] == ["happiness", "happiness", "sadness"]
    assert 0 in [cause.source for cause in conversation.causes_of(1)]
    assert all(cause.probability > conversation.threshold for cause in conversation.causes)
    assert all(cause.source <= cause.turn and conversation.turns[cause.turn].felt for cause in conversation.causes)
    chain = next(chain for chain in conversation.chains if chain.turn == 1)
    assert (chain.cause, chain.response) == (0, 2) and conversation.response_to(5) is None
    cause = next(cause for cause in conversation.causes_of(1) if cause.source == 0)
    words = explain_cause(conversation, cause, readers)
    assert [word for word, _ in words] == conversation.turns[0].turn.words.split()
    assert max(effect for _, effect in words) > 0
    with pytest.raises(SettingsError, match="cannot have caused"):
        explain_cause(conversation, type(cause)(2, 4, 0.5), readers)
    sentences = summarise(conversation)
    assert any("sadness" in one.text and 5 in one.turns for one in sentences)
    plain = json.loads(json.dumps(conversation.as_dict("talk.txt")))
    assert plain["turns"][5]["label"] == "sadness"
    assert (2, 1) in [(one["turn"], one["cause"]) for one in plain["causes"]]
    assert sum(plain["shares"]["Tom"].values()) == pytest.approx(1.0, abs=1e-3)


def test_voice_counts_and_words_of_another_script_do_not(readers: Readers) -> None:
    angry = EmotionScores.from_dict({"anger": 0.97, "neutral": 0.03})
    turns = [
        Turn("A", "Well, that is how it is.", 0.0, 2.0, angry),
        Turn("B", "我今天很高兴。", 2.0, 4.0, angry),
        Turn("A", "很好。"),
    ]
    conversation = build_conversation(turns, readers)
    assert [one.label for one in conversation.turns] == ["anger", "anger", None]
    assert conversation.turns[1].context is None and all(cause.source != 1 for cause in conversation.causes)
    assert any("script" in note for note in conversation.notes) and any("no answer" in n for n in conversation.notes)


def test_a_language_model_reads_each_turn_after_those_before_and_is_asked_no_more_after_a_failure(
    readers: Readers,
) -> None:
    turns = parse_turns(TALK)
    with chat_server() as server:
        asking = replace(readers, opinion=SecondOpinion(load_language_model(server.url)))
        conversation = build_conversation(turns, asking)
        asked = server.requests[-1]["messages"][-1]["content"]
        assert "Eve: " in asked and "My dog died" in asked and len(server.requests) == len(turns) + 1
        rows = conversation.as_dict()["turns"]
        assert all("language_model" in row for row in rows)  # type: ignore[attr-defined]
        assert conversation.notes[-1].startswith(f"A language model read 6 of 6 turns: {51 * 7} tokens")
        plain = build_conversation(turns, readers)
        # Its weight is none until it is fitted.
        assert [one.feeling for one in conversation.turns] == [one.feeling for one in plain.turns]
        assert "language_model" not in plain.as_dict()["turns"][0]  # type: ignore[index]
        server.mode = "broken"
        before = len(server.requests)
        failed = build_conversation(turns, asking)
        assert len(server.requests) == before + 1 and "gave no answer" in failed.notes[-1]


class PauseDetector:
    """Finds speech between pauses of a tenth of a second."""

    name = "pauses"

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        step = SAMPLING_RATE // 10
        loud = [bool(np.abs(audio.signal[at : at + step]).max() > 0.01) for at in range(0, len(audio.signal), step)]
        edges = np.flatnonzero(np.diff([False, *loud, False])) / 10
        return tuple(SpeechRegion(*pair) for pair in edges.reshape(-1, 2).tolist())


def test_calls_and_clips_become_turns(tmp_path: Path) -> None:
    recognizer, silence = fake_recognizer(), np.zeros(2 * SAMPLING_RATE, np.float32)
    recognizer.detector = PauseDetector()
    left, right = (synthetic_speech(2.0, pitch=pitch, seed=seed).signal for seed, pitch in ((1, 120.0), (2, 220.0)))
    rows = [(left, silence), (silence, right), (left, silence)]
    call = np.stack([np.concatenate([row[side] for row in rows]) for side in (0, 1)], axis=1)
    soundfile.write(tmp_path / "call.wav", call, SAMPLING_RATE)
    turns, _ = turns_of_recording(recognizer, read_long(tmp_path / "call.wav"))
    assert [turn.speaker for turn in turns] == ["channel 1", "channel 2", "channel 1"]
    assert all(turn.voice is not None and turn.start is not None and turn.end is not None for turn in turns)
    assert [round(turn.start or 0.0) for turn in turns] == [0, 2, 4]
    for name, signal in (("a.wav", left), ("c.wav", right)):
        soundfile.write(tmp_path / name, signal, SAMPLING_RATE)
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    clips, failed = turns_of_clips(recognizer, [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")], ["Al", "Bo"])
    # The clip that cannot be read takes its turn with it: who speaks next does not change by that.
    assert [turn.speaker for turn in clips] == ["Al", "Al"] and list(failed) == [tmp_path / "b.wav"]
    assert clips[1].start == pytest.approx(2.0, abs=0.05)


def test_the_command_reads_a_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "talk.txt"
    path.write_text(TALK, encoding="utf-8")
    assert main(["converse", str(path)]) == 0
    said = capsys.readouterr().out
    assert "Eve: sadness" in said and "may come from turn" in said
    assert main(["converse", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["turns"]) == 6 and found["summary"] and found["left_out"] == {}
    assert main(["converse", str(path), str(tmp_path / "a.wav")]) == 2
    assert "read alone" in capsys.readouterr().err


def test_training_reads_causes_and_serving_equals_it(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(CORPUS, encoding="utf-8")
    dialogues = read_dialogues(tmp_path / "train.csv")
    assert dialogues[0].causes == (frozenset({0}), frozenset({0}), frozenset({2})) and dialogues[0].later == 1
    config = DialogueTrainConfig(epochs=2, batch_size=2, seed=3, threads=1, learning_rate=3e-3)
    torch.manual_seed(3)
    network = DialogueNetwork(config.lora_rank, config.dropout)
    task = DialogueTask(dialogues, dialogues, config)
    before = task.evaluate(network)
    outcome = optimise(network, task, config, Surroundings(Processes()))
    losses = [float(str(entry["loss"])) for entry in outcome.curve]
    assert losses[1] < losses[0] and 0 <= before.score <= 1
    answers = answer(network, make_examples(dialogues, 0.0))
    assert answers.causes.tolist() == [1, 1, 0, 0, 0, 1, 0, 1]
    trained: TrainedText = calibrated(network.tensors(), answers, config, {})
    model = DialogueModel(trained.tensors, trained.meta)
    network.set_tensors(trained.tensors)
    expected = answer(network, make_examples(dialogues, 0.0))
    shares = torch.from_numpy(expected.emotions / trained.meta.temperature).softmax(1).numpy()
    read = [model.read(dialogue.texts, dialogue.speakers).feelings for dialogue in dialogues]
    np.testing.assert_allclose(np.concatenate(read), shares, atol=2e-3)
    assert trained.meta.labels == EMOTIONS and sum(t.nbytes for t in trained.tensors.values()) < 4_000_000
