"""Language models: probabilities of words and free text, from a checkpoint and over HTTP; opinions on emotion."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoTokenizer

from ser.errors import LanguageModelError, ModelUnavailableError
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.language_model.client import Message, load_language_model, within
from ser.language_model.opinion import AnsweredText, SecondOpinion, Turn, build_prompt
from ser.serialization import recognition_to_dict
from ser.testing import fake_recognizer, synthetic_speech
from ser.types import SAMPLING_RATE
from tests.unit.language_models import TEMPLATE, chat_server, write_language_model

ASKED = [Message("system", "Name it."), Message("user", "I lost it all.")]


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_choices_have_the_probabilities_of_all_their_tokens(tmp_path: Path, template: str | None) -> None:
    folder = write_language_model(tmp_path / "m", template=template)
    shares, usage = load_language_model(str(folder)).choose(ASKED, EMOTIONS, seconds=60)
    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    if template:
        prompt = "<system>Name it.</s><user>I lost it all.</s><assistant>"
    else:
        prompt = "Instructions: Name it.\n\nQuestion: I lost it all.\n\nAnswer: "
    logs = []
    for label in EMOTIONS:
        ids = tokenizer(prompt + label, return_tensors="pt", add_special_tokens=False)["input_ids"]
        # What all rows begin with adds the same to each.
        logs.append(network(ids).logits.log_softmax(2)[0, :-1].gather(1, ids[0, 1:, None]).sum())
    expected = torch.stack(logs).softmax(0).tolist()
    assert list(shares.values()) == pytest.approx(expected, abs=1e-4)
    assert max(expected) > 0.2 and usage.prompt_tokens > 20 and usage.seconds > 0


def test_text_is_written_piece_by_piece_and_ends_with_its_cost(tmp_path: Path) -> None:
    model = load_language_model(str(write_language_model(tmp_path / "m")))
    reply = model.stream(ASKED, max_tokens=12, seconds=60)
    pieces = list(reply)
    assert reply.text == "".join(pieces) and reply.text
    assert 0 < reply.usage.answer_tokens <= 12 and reply.usage.prompt_tokens > 20


def test_a_text_that_takes_too_long_is_given_up_and_so_is_its_writing(tmp_path: Path) -> None:
    model = load_language_model(str(write_language_model(tmp_path / "m")))
    reply = model.stream(ASKED, max_tokens=8000, seconds=0.3)
    with pytest.raises(LanguageModelError, match=r"not done after 0\.3 s"):
        list(reply)
    deadline = time.monotonic() + 20
    while any(thread.name.startswith("language model") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_prompts_beyond_the_models_reach_are_refused(tmp_path: Path) -> None:
    model = load_language_model(str(write_language_model(tmp_path / "m", positions=30)))
    with pytest.raises(LanguageModelError, match="reads 30 tokens"):
        model.choose(ASKED, EMOTIONS, seconds=60)
    with pytest.raises(LanguageModelError, match="reads 30 tokens"):
        list(model.stream(ASKED, seconds=60))


def test_what_is_no_causal_language_model_is_refused(tmp_path: Path) -> None:
    assert load_language_model("none") is None
    with pytest.raises(ModelUnavailableError, match="no folder"):
        load_language_model(str(tmp_path / "absent"))
    folder = write_language_model(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelUnavailableError, match="foreign code"):
        load_language_model(str(folder))


def test_an_endpoint_tells_the_probabilities_of_tokens_without_a_connection_to_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with chat_server() as server:
        shares, usage = load_language_model(f"{server.url}#some/model").choose(ASKED, EMOTIONS, seconds=20)
        # "s" begins two labels, and counts for none.
        assert shares["sadness"] == pytest.approx(0.6 / 0.9, abs=1e-6) and shares["surprise"] == 0
        assert (usage.prompt_tokens, usage.answer_tokens) == (50, 1)
        assert server.requests[0]["model"] == "some/model" and server.requests[0]["messages"][0]["role"] == "system"
        assert "hf_secret" not in str(server.authorizations)
        monkeypatch.setenv("SER_LANGUAGE_MODEL_TOKEN", "its own")
        load_language_model(server.url).choose(ASKED, EMOTIONS, seconds=20)
        assert server.authorizations[-1] == "Bearer its own"


@pytest.mark.parametrize("mode", ["percentages", "silent"])
def test_a_server_that_tells_no_tokens_is_asked_for_percentages(mode: str) -> None:
    with chat_server() as server:
        server.mode = mode
        model = load_language_model(server.url)
        shares, _ = model.choose(ASKED, EMOTIONS, seconds=20, percentages="Percentages, please.")
        assert shares["sadness"] == 0.75 and shares["neutral"] == 0.25
        assert server.requests[-1]["messages"][-1]["content"].endswith("Percentages, please.")
        server.text = "It is Sadness."
        assert model.choose(ASKED, EMOTIONS, seconds=20)[0]["sadness"] == 1
        assert len(server.requests) == 3, "what it cannot tell is not asked again"


@pytest.mark.parametrize(
    ("mode", "said"), [("odd", "I would rather not"), ("broken", "500"), ("hanging", "not done after 1 s|timed out")]
)
def test_trouble_with_an_endpoint_is_told(mode: str, said: str) -> None:
    with chat_server() as server:
        server.mode = mode
        model = load_language_model(server.url)
        with pytest.raises(LanguageModelError, match=said):
            model.choose(ASKED, EMOTIONS, seconds=1)
        if mode != "odd":
            with pytest.raises(LanguageModelError, match=said):
                list(model.stream(ASKED, seconds=1))


def test_an_endpoint_out_of_reach_is_told() -> None:
    with chat_server() as server:
        url = server.url
    with pytest.raises(LanguageModelError, match="gave no answer"):
        load_language_model(url).choose(ASKED, EMOTIONS, seconds=5)


def test_text_of_an_endpoint_is_passed_on_as_it_comes() -> None:
    with chat_server() as server:
        server.text = "That sounds hard. Tell me more."
        reply = load_language_model(server.url).stream(ASKED, seconds=20)
        assert list(reply) == [f"{word} " for word in server.text.split()]
        assert (reply.usage.prompt_tokens, reply.usage.answer_tokens) == (40, 7)


def test_a_time_limit_holds_for_all_pieces_together() -> None:
    def slow(stop: threading.Event):
        while not stop.wait(0.05):
            yield "word"

    pieces = []
    with pytest.raises(LanguageModelError):
        for piece in within(0.4, "slow", slow):
            pieces.append(piece)
    assert 1 <= len(pieces) <= 8


def test_an_opinion_is_freed_from_the_models_liking_for_a_label() -> None:
    with chat_server() as server:
        opinion = SecondOpinion(load_language_model(server.url))
        same = opinion.read("I lost it all.")
        # With and without words the server answers the same: the words told it nothing.
        known = [same.scores.as_dict()[label] for label in ("sadness", "anger", "happiness")]
        assert known == pytest.approx([known[0]] * 3)
        server.tokens = {"sad": 0.9, "ang": 0.05, "hap": 0.05}
        assert opinion.read("I lost it all.").scores.label == "sadness"
        assert len(server.requests) == 3, "the prompt without words is asked once"


def test_the_prompt_shows_examples_and_the_turns_before() -> None:
    with chat_server() as server:
        examples = [AnsweredText("Get out!", "anger"), AnsweredText("I lost it all.", "fear")]
        opinion = SecondOpinion(load_language_model(server.url), lambda: examples)
        found = opinion.read("I lost it all.", [Turn("What happened?", "Ann"), Turn('They said "no".')])
        asked = server.requests[-1]["messages"]
        assert [message["role"] for message in asked] == ["system", "user", "assistant", "user"]
        assert asked[2]["content"] == "anger", "a clip is no example of itself"
        assert 'Ann: "What happened?"\nSomebody: "They said \'no\'."' in asked[-1]["content"]
        assert (found.examples, found.turns) == (1, 2)


def test_a_tiny_checkpoint_gives_an_opinion(tmp_path: Path) -> None:
    opinion = SecondOpinion(load_language_model(str(write_language_model(tmp_path / "m"))))
    found = opinion.read("I am so glad you came.", [Turn("Hello.")])
    assert sum(found.scores.probabilities) == pytest.approx(1)
    assert found.usage.prompt_tokens > len(build_prompt("I am so glad you came.")[1].text)


def test_the_answer_comes_first_and_the_opinion_after_it() -> None:
    with chat_server() as server:
        server.text, server.mode = '{"sadness": 100}', "percentages"
        recognizer = fake_recognizer("what a wonderful day")
        recognizer.opinion = SecondOpinion(load_language_model(server.url))
        recognizer.replace_fusion(FusionRule(opinion_weight=0.5))
        *_, both, last = recognizer.recognize_steps(synthetic_speech(2.0), turns=[Turn("How was it?")])
        assert (both.complete, last.complete, both.opinion) == (False, True, None)
        assert "How was it?" in server.requests[-1]["messages"][-1]["content"]
        # Both prompts get the same percentages: the words told the model nothing, and weigh nothing.
        assert last.opinion is not None and last.opinion.weight == 0 and last.fused == both.fused
        server.text = '{"fear": 90, "sadness": 10}'
        swayed = recognizer.recognize(synthetic_speech(2.0))
        assert swayed.opinion is not None and swayed.opinion.weight > 0.1
        assert swayed.fused.as_dict()["fear"] > both.fused.as_dict()["fear"]
        assert swayed.text_weight < both.text_weight
        assert f"The language model says fear 100 %, weight {swayed.opinion.weight * 100:.0f} %" in swayed.notes[-1]
        told = recognition_to_dict(swayed)["opinion"]
        assert told["label"] == "fear" and told["prompt_tokens"] == 50 and told["model"] == server.url
        server.mode = "broken"
        without = recognizer.recognize(synthetic_speech(2.0))
        assert without.fused == both.fused and "gave no answer" in without.notes[-1] and without.complete


def test_a_timeline_shows_each_region_with_those_before_and_stops_asking_after_a_failure(
    tmp_path: Path,
) -> None:
    with chat_server() as server:
        recognizer = fake_recognizer("what a wonderful day")
        recognizer.opinion = SecondOpinion(load_language_model(server.url))
        one, other = synthetic_speech(2.0, seed=1).signal, synthetic_speech(2.0, seed=2).signal
        silence = np.zeros_like(one)
        call = np.stack([np.concatenate([one, silence]), np.concatenate([silence, other])], 1)
        soundfile.write(tmp_path / "call.wav", call, SAMPLING_RATE)
        timeline = recognizer.timeline(tmp_path / "call.wav")
        count = len(timeline.regions)
        read = f"A language model read {count} of {count} regions: {51 * (count + 1)} tokens."
        assert count == 2 and timeline.notes[-1] == read
        asked = server.requests[-1]["messages"][-1]["content"]
        assert asked.count("what a wonderful day") == 2 and 'channel 1: "what a wonderful day"' in asked
        server.mode = "broken"
        before = len(server.requests)
        failed = recognizer.timeline(tmp_path / "call.wav")
        assert len(server.requests) == before + 1 and "gave no answer" in failed.notes[-1]
        assert [region.scores for region in failed.regions] == [region.scores for region in timeline.regions]
