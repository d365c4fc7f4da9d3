"""The first minute of a visitor: examples, drop zone, microphone with its limit, files that are too long or broken."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, expect

from ser.recognizer import Recognizer
from ser.testing import synthetic_speech
from tests.ui.test_recognize_page import UPLOAD, choose, in_cache, wait_for_answer
from tests.unit.stored import list_clips
from ui.backend.services import Services
from ui.recognize.examples import EXAMPLES

ANSWERED = "#answer-card .answer:not(.empty)"
PHONE = {"width": 390, "height": 844}


def record(page: Page) -> None:
    page.click("#recognize-audio button[aria-label='Record audio']")


def test_an_example_is_one_click_by_mouse_or_keys(page: Page, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buttons = page.locator("#examples [data-example]")
    assert [button.inner_text().strip() for button in buttons.all()] == list(EXAMPLES)
    buttons.first.click()
    page.wait_for_selector(ANSWERED)
    expect(page.locator("#clip-line")).to_contain_text("Example: anger, acted, in German")
    page.wait_for_selector("#recognize-audio button[aria-label=Pause]")  # It plays.
    expect(page.locator("#recognize-vote input:checked")).to_have_count(1)

    counted: list[int] = []
    steps = Recognizer.recognize_steps
    monkeypatch.setattr(Recognizer, "recognize_steps", lambda *given: counted.append(1) or steps(*given))
    page.locator("[data-example=sadness]").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#clip-line")).to_contain_text("Example: sadness")
    assert len(counted) == 1
    page.locator("[data-example=anger]").click()
    expect(page.locator("#clip-line")).to_contain_text("Example: anger")
    assert len(counted) == 1, "the answer was kept"
    assert in_cache(cache) == []


def test_an_example_is_not_saved(page: Page, services: Services) -> None:
    page.click("[data-example=fear]")
    page.wait_for_selector(ANSWERED)
    expect(page.locator("#save-status")).to_contain_text("nothing of it is saved")
    page.get_by_label("research").check()
    expect(page.locator("#save")).to_be_disabled()
    page.locator("h1").click()
    page.keyboard.press("Enter")
    page.fill("#recognize-transcript textarea", "x")
    page.press("#recognize-transcript textarea", "Enter")
    expect(page.locator("#save-status")).to_contain_text("nothing of it is saved")
    assert list_clips(services.store) == []
    page.click("#recognize-clear")
    expect(page.locator("#answer-card .empty")).to_be_visible()


WIDE, ZOOMED = {"width": 1280, "height": 800}, {"width": 640, "height": 400}


@pytest.mark.parametrize(
    "viewport", [pytest.param(WIDE, marks=pytest.mark.slow), PHONE, pytest.param(ZOOMED, marks=pytest.mark.slow)]
)
def test_what_to_do_first_can_be_seen_and_touched(open_page: Callable[..., Page], viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    zone = page.locator("#recognize-audio .upload-container")
    box = zone.bounding_box()
    assert box is not None and box["width"] > 0.8 * min(viewport["width"], 520) and box["height"] >= 100
    assert zone.evaluate("(part) => getComputedStyle(part).borderTopStyle") == "dashed"
    for button in page.locator("#examples button, #recognize-audio .source-selection button >> visible=true").all():
        size = button.bounding_box()
        assert size is not None and size["height"] >= 44 and size["width"] >= 44, button.inner_html()
    expect(page.locator(".record-clock")).to_contain_text("up to 1:00")
    expect(page.locator("#rater")).to_be_hidden()


def test_recording_ends_by_itself_at_the_limit_and_is_analysed(
    open_page: Callable[..., Page], services: Services, cache: Path
) -> None:
    services.recognizer.max_duration = 2.0
    page = open_page(viewport={"width": 1280, "height": 900})
    page.evaluate("document.querySelector('.record-clock').dataset.limit = '2'")
    record(page)
    expect(page.locator(".record-clock")).to_have_class(re.compile("recording"))
    expect(page.locator(".record-clock .now")).to_have_text("0:01")
    wait_for_answer(page)
    (recording,) = [path for path in cache.rglob("*") if path.is_file()]
    assert 0.8 < soundfile.info(str(recording)).duration <= 2.1
    expect(page.locator(".record-clock .now")).to_have_text("0:00")
    expect(page.locator("#rater")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "may not use the microphone"),
        pytest.param("NotFoundError", "No microphone was found", marks=pytest.mark.slow),
    ],
)
def test_a_microphone_that_is_refused_or_missing_is_explained(
    open_page: Callable[..., Page], name: str, sentence: str
) -> None:
    page = open_page(viewport=PHONE)
    # As the browser itself refuses: before the scripts of the page.
    page.add_init_script(
        f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('refused', '{name}'))"
    )
    page.reload()
    record(page)
    expect(page.locator(".microphone-trouble")).to_contain_text(sentence)
    page.click("#recognize-audio button[aria-label='Upload file']")
    expect(page.locator(".microphone-trouble")).to_be_hidden()
    page.wait_for_selector(UPLOAD, state="attached")


def test_of_a_longer_file_the_beginning_is_offered(page: Page, services: Services, cache: Path, tmp_path: Path) -> None:
    services.recognizer.max_duration = 2.0
    long = tmp_path / "long.wav"
    soundfile.write(long, synthetic_speech(5.0, seed=3).signal, 16_000)
    choose(page, long)
    expect(page.locator("#answer-card [role=alert]")).to_contain_text("longer than 2 s")
    page.click("#use-beginning")
    wait_for_answer(page)
    expect(page.locator("#clip-line")).to_contain_text("0:02.0")
    expect(page.locator("#use-beginning")).to_be_hidden()
    page.get_by_label("research").check()
    page.click("#save")
    expect(page.locator("#save-status")).to_contain_text("Saved as clip 1")
    assert list_clips(services.store)[0].duration == 2.0
    assert in_cache(cache) == []


def test_consent_is_asked_anew_for_each_clip(page: Page, speech: Path, tmp_path: Path) -> None:
    choose(page, speech)
    wait_for_answer(page)
    page.get_by_label("research").check()
    page.click("#recognize-clear")
    expect(page.get_by_label("research")).not_to_be_checked()
    page.get_by_label("research").check()
    choose(page, speech)
    wait_for_answer(page)
    expect(page.get_by_label("research")).not_to_be_checked()


def test_a_broken_file_leaves_no_broken_player(page: Page, tmp_path: Path, speech: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF" + bytes(2000))
    choose(page, bad)
    expect(page.locator("#answer-card [role=alert]")).not_to_be_empty()
    expect(page.locator("#recognize-audio .upload-container")).to_be_visible()
    choose(page, speech)
    wait_for_answer(page)


@pytest.mark.slow
def test_details_stand_below_the_form(page: Page) -> None:
    form, details = (
        page.locator("#recognize-form").first.bounding_box(),
        page.locator("#recognize-details").bounding_box(),
    )
    assert form is not None and details is not None and details["y"] >= form["y"] + form["height"]
    expect(page.locator("#trained-on")).to_contain_text("Trained on acted speech")
