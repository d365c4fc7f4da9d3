"""The live microphone in a browser: what it plays is what is kept, whatever the network does meanwhile."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, Route, expect

from benchmarks.speed.live import arrived, recording_of
from ui.backend.services import Services

BLOCKS = "**/studio/live/*"
REFUSED = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', '{}'))"
RECORDERS = {"frames": "", "thread for sound": "delete window.MediaStreamTrackProcessor;"}


def switch_on(page: Page) -> None:
    page.locator("#recognize-live-panel > button").click()
    page.locator("#live-record").click()
    expect(page.locator("#live-record")).to_have_text("Stop")


def switch_off(page: Page, speech: Path, least: float) -> None:
    """Stop, and compare what is kept with what the microphone played."""
    page.locator("#live-record").click()
    expect(page.locator(".live-said")).to_contain_text("recorded: the answer to the whole stands above")
    expect(page.locator("#live-record")).to_have_text("Record")
    kept, (played, _) = recording_of(page), soundfile.read(speech, dtype="float32")
    assert least <= len(kept) / 16_000 < 60.0
    assert arrived(kept, played) == 1.0


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_live_microphone_answers_while_somebody_speaks_and_goes_on_as_a_recording(
    open_page: Callable[..., Page], speech: Path, recorder: str
) -> None:
    page = open_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(RECORDERS[recorder])
    page.locator("#recognize-live-panel > button").click()
    button = page.locator("#live-record")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".live-now .number")).to_be_visible()
    expect(page.locator(".live-clock")).to_have_text("0:04")
    expect(button).to_have_text("Stop")
    switch_off(page, speech, 4.0)
    expect(page.locator("#answer-card .headline .number")).to_be_visible()
    expect(page.locator("#recognize-audio")).not_to_contain_text("Drop Audio Here")
    expect(page.locator("#save")).to_be_enabled()
    assert [one for one in asked if "/studio/live." in one], "the script comes with the panel, not with the page"
    page.click("#recognize-clear")
    expect(page.locator("#answer-card .empty")).to_be_visible()


def test_a_network_that_fails_delays_sound_and_loses_none(page: Page, speech: Path) -> None:
    count = itertools.count()

    def unsteady(route: Route) -> None:
        number = next(count)
        if number % 4 == 1:
            route.abort()
        elif number % 4 == 2:
            route.fetch()  # The server takes it, and its answer is lost.
            route.abort()
        else:
            route.continue_()

    page.route(BLOCKS, unsteady)
    switch_on(page)
    expect(page.locator(".live-now .number")).to_be_visible()
    expect(page.locator(".live-clock")).to_have_text("0:06")
    switch_off(page, speech, 6.0)
    assert next(count) >= 6


def test_a_server_that_is_away_is_waited_for_and_told(page: Page, speech: Path) -> None:
    switch_on(page)
    expect(page.locator(".live-now .number")).to_be_visible()
    page.route(BLOCKS, lambda route: route.fulfill(status=503, body="The page is being stopped."))
    expect(page.locator(".live-trouble")).to_contain_text("s of sound wait in this browser")
    page.unroute(BLOCKS)
    expect(page.locator(".live-trouble")).to_be_hidden()
    switch_off(page, speech, 6.0)


def test_a_recording_that_has_ended_elsewhere_says_so(page: Page, services: Services) -> None:
    switch_on(page)
    expect(page.locator(".live-now .number")).to_be_visible()
    services.live._streams.clear()
    expect(page.locator(".live-trouble")).to_contain_text("This live recording has ended. Press Record")
    expect(page.locator("#live-record")).to_have_text("Record")


def test_who_has_to_wait_and_who_closes_the_page(open_page: Callable[..., Page], services: Services) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    numbers = [services.live.open("", 16_000, services.recognizer.live) for _ in range(3)]
    page.locator("#recognize-live-panel > button").click()
    page.locator("#live-record").click()
    expect(page.locator(".live-trouble")).to_contain_text("3 people are live already")
    expect(page.locator("#live-record")).to_have_text("Record")
    services.live.end(numbers[0], "")
    page.locator("#live-record").click()
    expect(page.locator(".live-now .number")).to_be_visible()
    assert len(services.live._streams) == 3
    page.goto("about:blank")
    page.wait_for_timeout(1000)
    assert len(services.live._streams) == 2, "the place of a page that was left is free at once"


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (REFUSED.format("NotAllowedError"), "The browser may not use the microphone."),
        pytest.param(REFUSED.format("NotFoundError"), "No microphone was found.", marks=pytest.mark.slow),
        pytest.param(
            "delete window.MediaStreamTrackProcessor; delete window.AudioWorkletNode",
            "This browser is too old for Live.",
            marks=pytest.mark.slow,
        ),
        # As in Firefox on a machine that has nothing to play sound on.
        pytest.param(
            "delete window.MediaStreamTrackProcessor; window.AudioContext = class extends AudioContext {"
            "constructor() { super(); super.suspend(); } resume() { return new Promise(() => {}); } }",
            "The microphone cannot be used (no sound output).",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_keeps_a_microphone_from_being_live_is_said(
    open_page: Callable[..., Page], services: Services, before: str, sentence: str
) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    page.add_init_script(before)
    page.reload()
    page.locator("#recognize-live-panel > button").click()
    page.locator("#live-record").click()
    expect(page.locator(".live-trouble")).to_contain_text(sentence)
    expect(page.locator("#live-record")).to_be_enabled()
    assert not services.live._streams
