"""The way of a live microphone's sound to the server: nothing lost, nothing twice, nothing of anybody else's."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from annotations.raters.people import Access
from ser.testing import synthetic_speech
from ui.app import build_app, launch_options
from ui.backend.limits import MAX_TIMELINE_DURATION, Limit, Limits
from ui.backend.logins import HASHER, Logins
from ui.backend.services import Services
from ui.live.routes import LARGEST
from ui.live.streams import LiveStreams

SOUND = np.rint(synthetic_speech(6.0, seed=2).signal * 32767).astype("<i2")
KEY = "the key of a browser"


@pytest.fixture
def serve(page_services: Services) -> Iterator[Callable[..., tuple[str, Services]]]:
    """Serves the page; returns its address and services."""
    demos = []

    def start(*, logins: bool = False, **changes: object) -> tuple[str, Services]:
        services = replace(page_services, **changes)  # type: ignore[arg-type]
        demos.append(build_app(services))
        auth = Logins({name: HASHER.hash("a password") for name in ("ann", "bob")}).check if logins else None
        _, url, _ = demos[-1].launch(prevent_thread_lock=True, quiet=True, auth=auth, **launch_options(services))
        return url, services

    yield start
    for demo in demos:
        demo.close()


class Microphone:
    """A page's way to the server, over HTTP."""

    def __init__(self, url: str, key: str = KEY, headers: dict[str, str] | None = None) -> None:
        self.url, self.number = url, ""
        self.web = httpx.Client(headers={"X-Rater-Key": key, **(headers or {})}, timeout=60)

    def begin(self, rate: int | str = 16_000) -> httpx.Response:
        answer = self.web.post(f"{self.url}studio/live", params={"rate": rate})
        if answer.status_code == 200:
            self.number = answer.json()["number"]
        return answer

    def send(self, at: int | str, samples: np.ndarray | bytes, drawn: int | str = 0) -> httpx.Response:
        body = samples if isinstance(samples, bytes) else samples.tobytes()
        address = f"{self.url}studio/live/{self.number}"
        return self.web.post(address, params={"at": at, "drawn": drawn}, content=body)

    def leave(self) -> httpx.Response:
        return self.web.delete(f"{self.url}studio/live/{self.number}")


def kept(services: Services, microphone: Microphone) -> np.ndarray:
    """Return the sound kept at the end of a microphone's stream."""
    return services.live.end(microphone.number, KEY).recording()


def test_blocks_in_order_twice_and_too_early_are_kept_to_the_byte(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve()
    one = Microphone(url)
    assert one.begin().status_code == 200 and len(one.number) == 32
    assert one.send(0, SOUND[:4000]).json()["have"] == 4000
    assert one.send(0, SOUND[:4000]).json()["have"] == 4000, "the answer was lost, so it came twice"
    assert one.send(2000, SOUND[2000:9001]).json()["have"] == 9001, "the second try brings more than the first"
    gap = one.send(9002, SOUND[9002:10_000])
    assert gap.status_code == 409 and "begins at sample 9002, and 9001 have come" in gap.text
    answer = one.send(9001, SOUND[9001:64_000]).json()
    assert answer["have"] == 64_000 and answer["seconds"] == 4.0 and "number" in answer["now"]
    assert one.send(64_000, SOUND[64_000:]).json()["have"] == len(SOUND)
    assert one.send(len(SOUND), b"").json()["have"] == len(SOUND)
    found = kept(services, one)
    assert found.dtype == np.int16 and np.array_equal(found, SOUND)
    assert one.send(len(SOUND), SOUND).status_code == 404 and one.leave().status_code == 404


def test_regions_are_drawn_once_each(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve()
    one, drawn, lines, at = Microphone(url), 0, "", 0
    one.begin()
    sound = np.concatenate([SOUND, np.zeros(40_000, np.int16)] * 2)
    deadline = time.monotonic() + 60
    while (at < len(sound) or not drawn) and time.monotonic() < deadline:
        answer = one.send(at, sound[at : at + 16_000], drawn).json()
        at, drawn, lines = answer["have"], answer["drawn"], lines + answer["lines"]
    live = services.live.get(one.number, KEY)
    assert drawn and lines.count("<li>") == drawn == lines.count("wonderful")
    assert len(live.timeline.finish().regions) >= drawn


def test_other_rates_are_kept_to_their_end(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve()
    one, rate = Microphone(url), 44_100
    time_axis = np.arange(0, 3.0, 1 / rate)
    wave = np.rint(8000 * np.sin(2 * np.pi * 440 * time_axis)).astype("<i2")
    one.begin(rate)
    for at in range(0, len(wave), 10_007):
        assert one.send(at, wave[at : at + 10_007]).status_code == 200
    found = kept(services, one).astype(float)
    wanted = 8000 * np.sin(2 * np.pi * 440 * np.arange(0, 3.0, 1 / 16_000))
    assert abs(len(found) - len(wanted)) <= 1
    assert np.abs(found[200:47_800] - wanted[200:47_800]).max() < 40


@pytest.mark.parametrize("rate", ["7999", "192001", "a", "", "-16000"])
def test_rates_that_no_microphone_has_are_refused(serve: Callable[..., tuple[str, Services]], rate: str) -> None:
    url, services = serve()
    assert Microphone(url).begin(rate).status_code == 422
    assert services.live.open(KEY, 8_000, services.recognizer.live)


def test_what_is_no_block_is_refused_and_changes_nothing(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve()
    one = Microphone(url)
    one.begin()
    one.send(0, SOUND[:100])
    for at, body, status in (
        (100, b"odd", 422),
        (100, bytes(LARGEST + 2), 422),
        (100, bytes(4_000_002), 413),
        ("x", b"ab", 422),
        (-1, b"ab", 422),
        (round(MAX_TIMELINE_DURATION * 16_000), b"ab", 422),
    ):
        answer = one.send(at, body)
        assert answer.status_code == status, (at, len(body), answer.text)
    assert one.send(0, b"ab", "x").status_code == 422
    assert np.array_equal(kept(services, one), SOUND[:100])


def test_nobody_else_sends_to_a_stream_or_ends_it(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve()
    one, other = Microphone(url), Microphone(url, key="the key of another browser")
    one.begin()
    one.send(0, SOUND[:100])
    other.number = one.number
    assert other.send(100, SOUND[100:200]).status_code == 404 and other.leave().status_code == 404
    foreign = Microphone(url, headers={"Origin": "https://elsewhere.example"})
    foreign.number = one.number
    assert [foreign.begin().status_code, foreign.send(100, SOUND).status_code, foreign.leave().status_code] == [403] * 3
    one.number = ""
    assert other.begin().status_code == 200
    assert np.array_equal(services.live.end(foreign.number, KEY).recording(), SOUND[:100])


def test_the_fourth_waits_until_one_ends_or_was_left(serve: Callable[..., tuple[str, Services]]) -> None:
    url, services = serve(live=LiveStreams(silent=1000.0))
    ones = [Microphone(url) for _ in range(4)]
    assert [one.begin().status_code for one in ones] == [200, 200, 200, 503]
    assert "3 people are live already" in ones[3].begin().text
    assert ones[1].leave().status_code == 204
    assert ones[3].begin().status_code == 200 and ones[1].begin().status_code == 503
    services.live.get(ones[0].number, KEY).last_block -= 2000.0
    assert ones[1].begin().status_code == 200, "nothing came from the first one for long"
    assert ones[0].send(0, SOUND).status_code == 404
    services.live.get(ones[2].number, KEY).last_block -= 2000.0
    services.live.sweep()
    assert ones[2].send(0, SOUND).status_code == 404, "what was recorded does not stay in memory"


def test_a_minute_counts_as_a_recognition(serve: Callable[..., tuple[str, Services]]) -> None:
    limits = Limits({"recognitions": Limit(2, 2, 1e9, "{:.0f} recognitions a minute")})
    url, services = serve(access=Access(role_without_login="visitor"), limits=limits)
    one = Microphone(url)
    one.begin(8_000)
    minute = np.zeros(59 * 8_000, np.int16)
    for at in range(0, len(minute), 80_000):
        assert one.send(at, minute[at : at + 80_000]).status_code == 200
    assert one.send(len(minute), bytes(32_000)).status_code == 200
    have = services.live.get(one.number, KEY).received
    for at in range(have, 119 * 8_000, 80_000):
        assert one.send(at, bytes(2 * min(80_000, 119 * 8_000 - at))).status_code == 200
    refused = one.send(119 * 8_000, bytes(32_000))
    assert refused.status_code == 429 and "recognitions a minute" in refused.text
    assert services.live.get(one.number, KEY).received == 119 * 8_000, "the browser keeps it, and tries again"


def test_with_a_login_list_only_who_is_on_it_is_live(serve: Callable[..., tuple[str, Services]]) -> None:
    url, _ = serve(logins=True)
    stranger, ann, bob = Microphone(url), Microphone(url), Microphone(url)
    assert stranger.begin().status_code == 401
    for name, one in (("ann", ann), ("bob", bob)):
        one.web.post(f"{url}login", data={"username": name, "password": "a password"}).raise_for_status()
    assert ann.begin().status_code == 200
    for other in (stranger, bob):
        other.number = ann.number
    assert stranger.send(0, SOUND).status_code == 401 and bob.send(0, SOUND).status_code == 404
    assert ann.send(0, SOUND).json()["have"] == len(SOUND)
