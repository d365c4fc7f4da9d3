import re
from collections.abc import Callable
from pathlib import Path

import soundfile
from playwright.sync_api import Page, expect

from annotations.store import queries
from tests.unit.stored import list_clips
from ui.backend.services import Services

UPLOAD = "#recognize-audio input[type=file]"


def choose(page: Page, path: Path) -> None:
    if page.locator(UPLOAD).count() == 0:
        page.click("#recognize-audio button[aria-label='Upload file']")
    page.wait_for_selector(UPLOAD, state="attached")
    page.set_input_files(UPLOAD, path)


def wait_for_answer(page: Page) -> None:
    page.wait_for_selector("#save:not([disabled])")


def in_cache(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*") if path.is_file()]


def test_upload_answer_correct_by_key_saved(page: Page, services: Services, cache: Path, speech: Path) -> None:
    choose(page, speech)
    wait_for_answer(page)
    expect(page.locator("#answer-card .headline .number")).to_contain_text("%")
    expect(page.locator("#answer-card .transcript")).to_contain_text("wonderful")
    expect(page.locator("#recognize-live")).to_contain_text("percent")
    assert page.get_attribute("#recognize-live", "aria-live") == "polite"
    expect(page.locator("#recognize-transcript textarea")).to_have_value("what a wonderful day")

    page.locator("h1").click()
    page.keyboard.press("3")
    expect(page.locator("#recognize-vote input[value=fear]")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("Nothing was stored")
    assert list_clips(services.store) == []

    page.get_by_label("training the model").check()
    page.get_by_label("research").check()
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("Saved as clip 1: fear")
    entry = queries.history(services.store)[0]
    assert entry.correction is not None and entry.correction.label == "fear" and entry.correction.intensity is None
    assert entry.clip is not None and entry.clip.consent == ("research", "training")
    expect(page.locator("#answer-card .empty")).to_be_visible()
    assert in_cache(cache) == []


def test_a_moved_slider_counts_as_a_rating(page: Page, services: Services, speech: Path) -> None:
    choose(page, speech)
    wait_for_answer(page)
    page.locator("#recognize-intensity input[type=range]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#recognize-rated input")).to_be_checked()
    page.get_by_label("research").check()
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("Saved")
    correction = queries.history(services.store)[0].correction
    assert correction is not None and correction.intensity == 55


def test_the_microphone_gives_an_answer_without_another_click(open_page: Callable[..., Page], cache: Path) -> None:
    page = open_page(viewport={"width": 1280, "height": 900})
    page.click("#recognize-audio button[aria-label='Record audio']")
    page.wait_for_timeout(2_000)
    page.click("#recognize-audio button:has-text('Stop') >> visible=true")
    wait_for_answer(page)
    expect(page.locator("#answer-card .headline .label")).to_contain_text(re.compile("%|Not sure"))
    (recording,) = [path for path in cache.rglob("*") if path.is_file()]
    signal, rate = soundfile.read(recording)
    assert rate == 16_000 and len(signal) / rate > 1
    page.click("#recognize-audio button[aria-label=Clear]")
    expect(page.locator("#answer-card .empty")).to_be_visible()
    expect(page.locator("#save")).to_be_disabled()
    page.wait_for_function("document.querySelector('#recognize-transcript textarea').value === ''")
    assert in_cache(cache) == []


def test_the_microphone_is_asked_for_plain_sound(page: Page) -> None:
    settings = page.evaluate(
        """async () => {
            const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
            const settings = stream.getAudioTracks()[0].getSettings();
            stream.getTracks().forEach((track) => track.stop());
            return settings;
        }"""
    )
    assert [settings[name] for name in ("echoCancellation", "noiseSuppression", "autoGainControl")] == [False] * 3


def test_clear_button_and_closed_tab_leave_no_file(page: Page, cache: Path, speech: Path) -> None:
    choose(page, speech)
    wait_for_answer(page)
    assert in_cache(cache) == ["speech.wav"]
    page.click("#recognize-clear")
    expect(page.locator("#answer-card .empty")).to_be_visible()
    assert in_cache(cache) == []

    choose(page, speech)
    wait_for_answer(page)
    other = page.context.new_page()
    page.close()
    for _ in range(100):
        if in_cache(cache) == []:
            break
        other.wait_for_timeout(100)
    assert in_cache(cache) == []


def test_a_refused_clip_says_why(page: Page, cache: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("this is no sound")
    choose(page, bad)
    expect(page.locator("#answer-card [role=alert]")).not_to_be_empty()
    expect(page.locator("#save")).to_be_disabled()
    assert in_cache(cache) == []


def test_nothing_jumps_while_the_answer_grows(page: Page, speech: Path) -> None:
    before = page.locator("#answer-card").bounding_box(), page.locator("#recognize-form").first.bounding_box()
    choose(page, speech)
    wait_for_answer(page)
    page.wait_for_timeout(300)
    after = page.locator("#answer-card").bounding_box(), page.locator("#recognize-form").first.bounding_box()
    assert [(box["y"], box["height"]) for box in before if box] == [(box["y"], box["height"]) for box in after if box]


def test_a_phone_shows_one_column_without_scrolling_sideways(open_page: Callable[..., Page], fill: Callable) -> None:
    fill(2)
    page = open_page(viewport={"width": 390, "height": 844})
    for tab in ("Recognize", "Review", "Clips", "Train", "About"):
        page.click(f"[role=tab]:has-text('{tab}') >> visible=true")
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, tab
    page.click("[role=tab]:has-text('Review') >> visible=true")
    heights = [box["height"] for label in page.locator("#review-vote label").all() if (box := label.bounding_box())]
    assert len(heights) == 8 and min(heights) >= 44


def test_a_phone_shows_the_words_on_the_votes_and_hides_them_where_no_clip_waits(
    open_page: Callable[..., Page], speech: Path
) -> None:
    page = open_page(viewport={"width": 390, "height": 844})
    cut = "(label) => label.scrollWidth > label.clientWidth + 1"
    for label in page.locator("#recognize-vote label").all():
        assert not label.evaluate(cut), label.inner_text()
        box = label.bounding_box()
        assert box is not None and box["height"] >= 44
    page.click("[role=tab]:has-text('Review') >> visible=true")
    expect(page.locator("#review-card")).to_contain_text("No clip is waiting")
    expect(page.locator("#review-vote")).to_be_hidden()
    expect(page.locator("#review-shell .save-row button").first).to_be_visible()
    assert page.inner_text("footer").strip().startswith("Settings")
    page.click("[role=tab]:has-text('Recognize') >> visible=true")
    clear = page.locator("#recognize-clear").bounding_box()
    assert clear is not None and clear["height"] >= 44 and 390 - clear["x"] - clear["width"] < 24


def test_a_name_survives_a_reload(page: Page) -> None:
    field = page.locator("#rater textarea, #rater input")
    page.click("[role=tab]:has-text('Clips')")
    field.fill("ann")
    field.press("Tab")
    page.wait_for_timeout(500)
    page.reload()
    expect(field).to_have_value("ann")
