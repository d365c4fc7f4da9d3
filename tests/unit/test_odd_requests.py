"""Odd payloads at the page's acts and the public endpoints: refused in a sentence, never a mistake of the program."""

import json
import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import httpx
import pytest

from annotations.raters.votes import effective_corrections
from tests.unit.test_endpoint_roles import endpoints
from ui.app import build_app, launch_options
from ui.backend.services import Services
from ui.parts.calls import run_act
from ui.review.guidelines import GuidelinesHandlers
from ui.review.tab import ReviewHandlers

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2.5, 10**30, float("inf"), float("nan"), "", "x", "1", "\u0000", "\ud800", "😀" * 3000,
    [], [None], [[]], ["x"], [1], [{}], {}, {"": None}, {"text": []}, {"name": {}}, {"name": "ann", "key": 7},
    {"name": "ann", "key": "\ud800" * 20},
    {"fear": "a", "anger": []}, {"min_duration": "nan"}, {"version_id": 10**30}, {"version_id": "99999999999999999999"},
)  # fmt: skip
NAMES = (
    "who", "exclude", "order", "filters", "nonce", "vote", "clip", "prediction", "transcript", "distribution",
    "intensity", "valence", "arousal", "comment", "seconds", "answer_shown", "clips", "version", "text", "replaces",
)  # fmt: skip
ACTS = ("open", "next", "vote", "undo", "release", "renew", "guidelines", "write_guidelines")
WHO = {"name": "ann", "key": "0123456789abcdef"}


def payloads(seed: int, count: int) -> list[tuple[object, object]]:
    chance = random.Random(seed)
    made: list[tuple[object, object]] = []
    for _ in range(count):
        given: Any = {"who": WHO, "vote": "fear", "clip": 1}
        given |= {name: chance.choice(ODD) for name in chance.sample(NAMES, chance.randint(1, 3))}
        act: Any = chance.choice(ACTS)
        if chance.random() < 0.1:
            act, given = chance.choice([(chance.choice(ODD), given), (act, chance.choice(ODD))])
        made.append((act, given))
    return made


def test_page_acts_of_odd_types_are_refused_with_a_sentence(
    page_services: Services, page_fill: Callable[[int], None], caplog: pytest.LogCaptureFixture
) -> None:
    page_fill(3)
    acts = {**ReviewHandlers(page_services).acts(), **GuidelinesHandlers(page_services).acts()}
    refused = 0
    with caplog.at_level(logging.ERROR, logger="page"):
        for act, given in payloads(seed=11, count=300):
            answer = run_act(acts, act, given, gr.Request(session_hash="s"))
            json.dumps(answer)
            refused += "error" in answer
            assert "made a mistake" not in str(answer.get("error")), (act, given)
            assert not caplog.records, (act, given, caplog.text[-800:])
    assert refused > 100
    for vote in effective_corrections(page_services.store):
        assert vote.label in (None, "fear")


@pytest.fixture
def page(page_services: Services, page_fill: Callable[[int], None]) -> Iterator[httpx.Client]:
    page_fill(2)
    demo = build_app(page_services)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(page_services))
    with httpx.Client(base_url=url, timeout=60) as client:
        client.demo = demo  # type: ignore[attr-defined]
        yield client
    demo.close()


def odd_calls(demo: gr.Blocks, seed: int, count: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Calls of every endpoint of a running page, private ones included, with odd values among usual ones."""
    chance = random.Random(seed)
    found = sorted(endpoints(demo).items())
    for number in range(count):
        name, (function, act) = found[number % len(found)]
        given: list[Any] = [getattr(block, "value", None) for block in function.inputs]
        given = [value if isinstance(value, str | int | float | list | dict) else None for value in given]
        for place in chance.sample(range(len(given)), chance.randint(min(1, len(given)), len(given))):
            given[place] = chance.choice(ODD)
        if act is not None:
            given = [act, {"who": WHO, **{key: chance.choice(ODD) for key in chance.sample(NAMES, 3)}}]
        yield name, {"fn_index": function._id, "data": given, "session_hash": chance.choice(["s", "t", "\u0000", "😀"])}


def fuzz_endpoints(page: httpx.Client, demo: gr.Blocks, seed: int, count: int) -> int:
    """Call endpoints with odd values; returns how many calls were refused."""
    refused = 0
    for name, body in odd_calls(demo, seed, count):
        text = json.dumps(body)
        answer = page.post("/gradio_api/run/predict", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 422), (name, text[:300], answer.text[:300])
        assert "made a mistake" not in answer.text, (name, text[:300])
        if answer.status_code == 422:
            refused += 1
            said = answer.json().get("error") if answer.text.startswith("{") else answer.text
            assert said and len(str(said)) > 20, (name, text[:300], answer.text)
    return refused


def test_odd_values_at_every_endpoint_are_refused_with_a_sentence(
    page: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, logger="page"):
        assert fuzz_endpoints(page, page.demo, seed=23, count=300) > 60  # type: ignore[attr-defined]
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_more_odd_values_at_every_endpoint(page: httpx.Client, seed: int) -> None:
    assert fuzz_endpoints(page, page.demo, seed, count=1500) > 300  # type: ignore[attr-defined]


def test_over_the_network_no_act_is_a_server_error(page: httpx.Client) -> None:
    for act, given in payloads(seed=23, count=120):
        try:
            body = json.dumps({"data": [act, given]}, allow_nan=False)
        except ValueError:
            continue
        answer = page.post("/gradio_api/run/page", content=body.encode("utf-8", "surrogatepass"))
        assert answer.status_code < 500, (act, given, answer.text)


REFUSED = (
    ("run/page", {"data": []}, "takes 2 values"),
    ("run/page/", {"data": ["next"]}, "takes 2 values"),
    ("api/page", {"data": ["next"]}, "takes 2 values"),
    ("run/recognize", {"data": []}, "takes 2 values"),
    ("run/page", {"data": [], "fn_index": 9999}, "no endpoint '9999'"),
    ("run/predict", {"data": [], "fn_index": -1}, "no endpoint '-1'"),
    ("run/nothing", {"data": []}, "no endpoint 'nothing'"),
    ("call/nothing", {"data": []}, "no endpoint 'nothing'"),
    ("call/v2/nothing", {}, "no endpoint 'nothing'"),
    ("call/v2/page", {}, "no endpoint 'page'"),
    ("queue/join", {"data": [], "fn_index": 9999, "session_hash": "s"}, "no endpoint '9999'"),
    ("run/page", {"data": [["next"], [{}]], "batched": True}, "takes batches"),
)

CLOSED = (
    "gradio_api/dev/reload",
    "gradio_api//dev/reload",
    "gradio_api/deep_link?session_hash=s",
    "gradio_api/proxy=https://example.org/",
    "gradio_api/file=https://example.org/",
    "gradio_api/vibe-code",
    "monitoring",
    "monitoring/summary",
)


def test_what_gradio_would_fail_at_is_refused_and_what_the_page_has_no_use_for_is_closed(page: httpx.Client) -> None:
    for path, body, sentence in REFUSED:
        answer = page.post(f"/gradio_api/{path}", json=body)
        assert answer.status_code == 422 and sentence in answer.text, (path, body)
    for path in CLOSED:
        assert page.get(f"/{path}").status_code == 404, path
    assert page.post("/gradio_api/component_server", json={}).status_code == 404


def test_calls_that_are_right_pass_the_guard(page: httpx.Client) -> None:
    assert page.post("/gradio_api/run/page", json={"data": ["next", {"who": WHO}]}).json()["data"][0]["item"]
    for path, body in (("call/register", {"data": ["zoe"]}), ("call/v2/register", {"rater": "max"})):
        event = page.post(f"/gradio_api/{path}", json=body).json()["event_id"]
        assert "event: complete" in page.get(f"/gradio_api/call/register/{event}").text
    for broken in (b"", b"{", b"[1]", b"\xff", b"null", b"[" * 100_000):
        answer = page.post("/gradio_api/run/page", content=broken)
        assert answer.status_code == 422 and "of the request" in answer.text
