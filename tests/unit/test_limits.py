"""Limits on what strangers may use up: each one, its message, and that nobody else notices."""

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import httpx
import pytest
import soundfile
from fastapi import Request

from annotations.raters.people import Access
from ser.testing import synthetic_speech
from ui.api.answers import AnswerHandlers
from ui.api.votes import VoteHandlers
from ui.app import build_app, launch_options
from ui.backend.boundary import Network
from ui.backend.identity import person, voter
from ui.backend.limits import LIMITS, Limits, TooMuchError
from ui.backend.services import Services
from ui.backend.uploads import HELD, Uploads
from ui.review.tab import ReviewHandlers


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def shared(page_services: Services, clock: list[float]) -> Services:
    """A page that a network reaches, with a clock that stands still."""
    return replace(page_services, access=Access(role_without_login="annotator"), limits=Limits(clock=lambda: clock[0]))


def key(number: int) -> str:
    return f"key of person {number:09}"


def sent(address: str, rater_key: str = "") -> gr.Request:
    headers = [(b"x-rater-key", rater_key.encode())] if rater_key else []
    scope = {"type": "http", "headers": headers, "client": (address, 1), "query_string": b"", "path": "/"}
    return gr.Request(Request(scope), session_hash="s")


def test_what_was_used_comes_back_little_by_little(clock: list[float]) -> None:
    limits = Limits(clock=lambda: clock[0])
    most = LIMITS["recognitions"].person
    for _ in range(int(most)):
        limits.spend("recognitions", person="ann", address="1.2.3.4")
    with pytest.raises(TooMuchError, match="more than 30 recognitions a minute, which is all that you may use here"):
        limits.spend("recognitions", person="ann", address="1.2.3.4")
    limits.spend("recognitions", person="bob", address="1.2.3.4")
    clock[0] += 2.0
    limits.spend("recognitions", person="ann", address="1.2.3.4")
    with pytest.raises(TooMuchError, match=r"Try again in \d s"):
        limits.spend("recognitions", person="ann", address="1.2.3.4")


def test_an_address_is_limited_whoever_asks_from_it(clock: list[float]) -> None:
    limits = Limits(clock=lambda: clock[0])
    for number in range(int(LIMITS["recognitions"].address)):
        limits.spend("recognitions", person=f"person {number}", address="1.2.3.4")
    with pytest.raises(TooMuchError, match="more than 90 recognitions a minute, which is all that your network"):
        limits.spend("recognitions", person="newcomer", address="1.2.3.4")
    limits.spend("recognitions", person="newcomer", address="5.6.7.8")


def test_the_addresses_of_one_subscriber_are_one(shared: Services) -> None:
    handlers = VoteHandlers(shared)
    for number in range(int(LIMITS["names"].address)):
        handlers.register(f"rater {number}", sent(f"2001:db8:1:2::{number + 1:x}"))
    with pytest.raises(TooMuchError, match="all that your network"):
        handlers.register("one more", sent("2001:db8:1:2:ffff::1"))
    assert handlers.register("one more", sent("2001:db8:1:3::1"))["rater"] == "one more"


def test_bytes_are_counted_together(clock: list[float]) -> None:
    limits = Limits(clock=lambda: clock[0])
    limits.spend("bytes", person="ann", amount=400e6)
    with pytest.raises(TooMuchError, match="more than 500 MB of uploads an hour.* Try again in 12 min"):
        limits.spend("bytes", person="ann", amount=200e6)
    limits.spend("bytes", person="ann", amount=100e6)


def test_votes_by_keys_are_fast_enough_and_floods_are_not(
    shared: Services, clock: list[float], page_fill: Callable[[int], None]
) -> None:
    page_fill(1)
    ann = sent("1.2.3.4", key(1))
    vote = {"who": {"name": "ann", "key": key(1)}, "clip": 1, "vote": "fear"}
    acts = ReviewHandlers(shared)
    # Nearly all is used up: at two hundred a minute votes live on what comes back.
    shared.limits.spend("votes", person="ann", address="1.2.3.4", amount=LIMITS["votes"].person - 1)
    for _ in range(20):
        clock[0] += 60 / 200
        acts.on_vote(vote, ann)
    with pytest.raises(TooMuchError, match="more than 400 votes a minute"):
        for _ in range(23):  # the first vote of all is not yet anybody's
            acts.on_vote(vote, ann)


def test_one_address_gets_few_new_names_a_day(shared: Services, clock: list[float]) -> None:
    handlers = VoteHandlers(shared)
    for number in range(int(LIMITS["names"].address)):
        assert handlers.register(f"rater {number}", sent("1.2.3.4"))["key"]
    with pytest.raises(TooMuchError, match="more than 40 new names a day, which is all that your network"):
        handlers.register("one more", sent("1.2.3.4"))
    with pytest.raises(TooMuchError, match="new names a day"):
        voter(shared, sent("1.2.3.4"), {"name": "another", "key": key(2)})
    assert handlers.register("one more", sent("5.6.7.8"))["rater"] == "one more"
    for number in range(int(LIMITS["names"].person)):
        voter(shared, sent(f"9.9.9.{number}"), {"name": f"name {number}", "key": key(3)})
    with pytest.raises(TooMuchError, match="more than 5 new names a day, which is all that you may use"):
        voter(shared, sent("9.9.9.9"), {"name": "one more name", "key": key(3)})
    clock[0] += 86_400 / 40 + 1
    assert handlers.register("and one", sent("1.2.3.4"))["rater"] == "and one"


def test_recognitions_are_limited_for_strangers_and_not_at_ones_own_machine(
    shared: Services, page_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("elsewhere") / "clip.wav"
    soundfile.write(path, synthetic_speech(0.5, seed=1).signal, 16_000)
    own = str(VoteHandlers(shared).register("ann", sent("1.1.1.1"))["key"])
    for number in range(int(LIMITS["recognitions"].person)):
        AnswerHandlers(shared).recognize(str(path), request=sent(f"2.2.2.{number}", own))
    with pytest.raises(TooMuchError, match="more than 30 recognitions a minute, which is all that you may use"):
        AnswerHandlers(shared).recognize(str(path), request=sent("3.3.3.3", own))
    for _ in range(int(LIMITS["recognitions"].address)):
        AnswerHandlers(shared).recognize(str(path), request=sent("1.2.3.4"))
    with pytest.raises(TooMuchError, match="more than 90 recognitions a minute, which is all that your network"):
        AnswerHandlers(shared).recognize(str(path), request=sent("1.2.3.4"))
    alone = AnswerHandlers(page_services)
    for _ in range(int(LIMITS["recognitions"].address) + 1):
        alone.recognize(str(path), request=sent("127.0.0.1"))
    assert person(page_services, sent("127.0.0.1"), "ann").role == "maintainer"


@pytest.fixture
def page(shared: Services) -> Iterator[httpx.Client]:
    demo = build_app(shared)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(shared, Network(proxy=True)))
    with httpx.Client(base_url=url, timeout=60, headers={"X-Forwarded-For": "93.184.216.34"}) as client:
        yield client
    demo.close()


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, synthetic_speech(0.5, seed=1).signal, 16_000, format="wav")
    return file.getvalue()


def test_uploads_are_limited_in_size_and_number(page: httpx.Client) -> None:
    too_large = page.post("/gradio_api/upload", content=bytes(60_000_000))
    assert too_large.status_code == 413 and "The upload has 60 MB; at most 48 MB are taken" in too_large.text
    unsaid = page.post("/gradio_api/upload", content=iter([b"voice"]))
    assert unsaid.status_code == 413 and "does not say how large it is" in unsaid.text
    values = page.post("/gradio_api/run/page", json={"data": ["open", {"text": "x" * 5_000_000}]})
    assert values.status_code == 413 and "The request has 5 MB; at most 4 MB are taken" in values.text
    codes = [page.post("/gradio_api/upload", files={"files": ("a.wav", wav())}) for _ in range(121)]
    assert [answer.status_code for answer in codes] == [200] * 120 + [413]
    assert "more than 120 uploads a minute, which is all that your network may use" in codes[-1].text
    other = page.post(
        "/gradio_api/upload", files={"files": ("a.wav", wav())}, headers={"X-Forwarded-For": "93.184.216.35"}
    )
    assert other.status_code == 200


def test_uploads_of_sessions_that_never_ended_are_deleted(page_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads, folder = Uploads(), page_cache / "hash"
    folder.mkdir()
    path = folder / "clip.wav"
    path.write_bytes(b"voice")
    uploads.hold("s", path)
    assert uploads.sweep() == 0 and path.exists()
    later = time.time() + HELD + 1
    monkeypatch.setattr("ui.backend.uploads.time.time", lambda: later)
    uploads.sweep()
    assert not path.exists()


def test_an_upload_waits_for_its_first_use_and_no_longer(page_cache: Path) -> None:
    uploads, path = Uploads(), page_cache / "hash" / "clip.wav"

    def came() -> None:
        with uploads.arriving() as tell:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"RIFF")
            tell([str(path)])

    came()
    came()
    with uploads.borrow(path):
        pass
    assert path.exists(), "the second sender has not come for it yet"
    with uploads.arriving():
        with uploads.borrow(path):
            pass
        assert path.exists(), "nothing is deleted while an upload finds its place"
    assert not path.exists()
    came()
    uploads.sweep(age=-1.0)
    assert not path.exists(), "nobody came for it"
    with uploads.arriving():
        pass
