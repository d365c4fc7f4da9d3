"""The clips tab and the drawer in a browser: find, open, vote again, change many, addresses, roles, a phone."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.raters.people import Access
from annotations.raters.votes import gold_labels
from annotations.store import NewVote
from tests.unit.stored import list_clips
from ui.backend.services import Services

ROWS = "#clips-table tbody tr"


def open_clips(page: Page) -> None:
    page.click("[role=tab]:has-text('Clips') >> visible=true")
    page.wait_for_selector("#clips-table :is(tbody tr, .empty-queue)")


@pytest.fixture
def labelled(services: Services, fill: Callable[[int], None]) -> None:
    """Nine clips; bob has labelled three of them."""
    fill(9)
    for clip_id, label in ((1, "fear"), (2, "anger"), (5, "fear")):
        services.store.add_correction(clip_id, NewVote("bob", "correct", label=label, comment=f"note {clip_id}"))


def test_find_open_vote_again_and_go_back(labelled: None, page: Page, services: Services, url: str) -> None:
    open_clips(page)
    expect(page.locator(ROWS)).to_have_count(9)
    assert page.url.endswith("?tab=clips")
    page.fill("#clips-text", "note 5")
    expect(page.locator(ROWS)).to_have_count(1)
    page.fill("#clips-text", "")
    expect(page.locator(ROWS)).to_have_count(9)
    page.click("#clips-filters summary")
    page.select_option("#clips-filters [name=voted]", "fear")
    expect(page.locator(ROWS)).to_have_count(2)
    page.keyboard.press("Escape")
    page.click("#clips-table .sort[data-order=stored]")
    expect(page.locator("#clips-table th[aria-sort=ascending]")).to_contain_text("Clip")
    expect(page.locator(f"{ROWS} td.clip a")).to_have_text(["1", "5"])
    # By the keyboard alone: the link of a row opens the drawer, a key chooses, Enter saves.
    page.locator(f"{ROWS} td.clip a").first.focus()
    page.keyboard.press("Enter")
    drawer = page.locator("#clip-drawer")
    expect(drawer).to_contain_text("bob")
    expect(drawer.locator(".player")).to_be_visible()
    page.wait_for_function("document.querySelector('#clip-drawer audio').currentTime > 0")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#clip-status")).to_contain_text("Saved clip 1: disgust")
    assert "clip=1" in page.url and "voted=fear" in page.url
    page.click("#clip-drawer [data-step='1']")
    expect(drawer.locator("h2")).to_have_text("Clip 5")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    page.go_back()
    expect(drawer.locator("h2")).to_have_text("Clip 5")
    page.keyboard.press("Escape")
    page.click("#clips-chips .chip")
    expect(page.locator(ROWS)).to_have_count(9)
    page.click("[role=tab]:has-text('Train')")
    page.go_back()
    expect(page.locator("#clips-table")).to_be_visible()
    # An address leads there from anywhere.
    page.goto(f"{url}?clip=2")
    expect(drawer).to_contain_text("anger")
    page.goto(f"{url}?tab=clips&voted=anger&clip=2")
    expect(drawer.locator("h2")).to_have_text("Clip 2")
    page.click("#clip-drawer .close")
    expect(page.locator(f"{ROWS} td.clip a")).to_have_text(["2"])
    page.goto(f"{url}?clip=77")
    expect(page.locator("#clip-status")).to_contain_text("There is no clip 77")


def test_a_clip_is_listened_to_closely(labelled: None, page: Page, url: str) -> None:
    page.goto(f"{url}?tab=clips&clip=9")
    drawer = page.locator("#clip-drawer")
    drawer.locator(".closely").click()
    expect(drawer.locator(".measured")).to_contain_text("Pitch")
    inked = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
        .filter((value, place) => place % 4 === 3 && value > 40).length / (canvas.width * canvas.height)"""
    assert 0.02 < drawer.locator(".spectrogram").evaluate(inked) < 0.98
    assert drawer.locator(".tracks .pitch").get_attribute("d")
    drawer.locator(".speed").select_option("0.5")
    audio = "document.querySelector('#clip-drawer audio')"
    assert page.evaluate(f"{audio}.playbackRate") == 0.5
    box = drawer.locator(".pictures").bounding_box()
    assert box is not None
    length = page.evaluate(f"{audio}.duration")
    page.evaluate(f"window.seeks = 0; {audio}.addEventListener('seeking', () => (window.seeks += 1))")
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 30)
    page.mouse.up()
    expect(drawer.locator(".loop-text")).to_have_text(f"{0.25 * length:.1f} to {0.5 * length:.1f} s")
    # The first time for the choice, then for each round.
    page.wait_for_function("window.seeks >= 3")
    assert page.evaluate(f"{audio}.currentTime") < length and not page.evaluate(f"{audio}.paused")
    drawer.get_by_text("No loop").click()
    page.click("#clip-drawer [data-step='1']")
    expect(drawer.locator("h2")).to_have_text("Clip 8")
    page.wait_for_function(f"{audio}.currentTime > 0")
    drawer.locator(".closely").click()
    drawer.get_by_text("Compare with Clip 9").click()
    expect(drawer.get_by_text("Back to this clip")).to_be_visible()
    assert page.evaluate(f"{audio}.paused")


def test_many_are_changed_with_one_confirmation(labelled: None, page: Page, services: Services, tmp_path: Path) -> None:
    open_clips(page)
    boxes = page.locator("#clips-table td.pick input")
    boxes.nth(0).check()
    boxes.nth(3).click(modifiers=["Shift"])
    bar = page.locator(".clips-acts")
    expect(bar).to_contain_text("4 selected")
    bar.get_by_text("Set speaker").click()
    asked = page.locator("#clips-ask")
    expect(asked).to_contain_text("Overwrites the speaker of 4 clips")
    page.fill("#clips-ask [name=speaker]", "zoe")
    asked.get_by_role("button", name="Set speaker of 4 clips").click()
    expect(page.locator("#clips-job")).to_contain_text("4 clips got that speaker.")
    assert [clip.id for clip in list_clips(services.store) if clip.speaker == "zoe"] == [6, 7, 8, 9]
    bar.get_by_text("Select all 9 that match").click()
    bar.get_by_text("Mark as gold").click()
    asked.locator(".confirm").click()
    expect(page.locator("#clips-job")).to_contain_text("3 clips marked.")
    expect(page.locator("#clips-job")).to_contain_text("6 clips left out")
    assert gold_labels(services.store) == {1: "fear", 2: "anger", 5: "fear"}
    bar.get_by_text("Set consent").click()
    asked.locator(".confirm").click()
    expect(asked).to_contain_text("Tick at least one purpose")
    asked.get_by_label("research").check()
    asked.locator(".confirm").click()
    expect(page.locator("#clips-job")).to_contain_text("9 clips got that consent")
    assert {clip.consent for clip in list_clips(services.store)} == {("research",)}
    bar.get_by_text("Export").click()
    with page.expect_download() as download:
        asked.locator(".confirm").click()
    download.value.save_as(tmp_path / "export.zip")
    assert (tmp_path / "export.zip").stat().st_size > 10_000
    bar.get_by_text("Clear selection").click()
    boxes.nth(8).check()
    bar.get_by_text("Erase").click()
    expect(asked).to_contain_text("1 recording and 1 vote would be erased")
    asked.get_by_role("button", name="Erase 1 clip").click()
    expect(page.locator("#clips-job")).to_contain_text("1 clip erased.")
    expect(page.locator(ROWS)).to_have_count(8)
    assert [clip.id for clip in list_clips(services.store)] == list(range(2, 10))


class TestAnnotators:
    @pytest.fixture
    def services(self, services: Services) -> Services:
        return replace(services, access=Access(role_without_login="annotator"))

    def test_they_find_their_own_labels_and_change_one(self, labelled: None, page: Page, services: Services) -> None:
        page.click("[role=tab]:has-text('Review')")
        for key in ("3", "u"):
            page.wait_for_function("studioReview.state().clip !== null")
            page.keyboard.press(key)
            page.keyboard.press("Enter")
            page.wait_for_function("studioReview.state().unsent === 0")
        open_clips(page)
        expect(page.locator(ROWS)).to_have_count(9)
        expect(page.locator("#clips-table .pick")).to_have_count(0)
        page.click("text=My labels")
        expect(page.locator(ROWS)).to_have_count(2)
        page.click("text=My unsure")
        expect(page.locator(ROWS)).to_have_count(1)
        page.locator(f"{ROWS} td.words").click()
        drawer = page.locator("#clip-drawer")
        expect(drawer.locator("input[value=unsure]")).to_be_checked()
        expect(drawer.locator(".act")).to_have_text(["Take my vote back …"])
        drawer.locator("label", has_text="anger").click()
        drawer.get_by_text("Save vote").click()
        expect(page.locator("#clip-status")).to_contain_text("anger")
        expect(page.locator(ROWS)).to_have_count(0)
        page.keyboard.press("Escape")
        page.click("text=All clips")
        page.fill("#clips-text", "note 1")
        expect(page.locator("#clips-table")).to_contain_text("No clip fits")
        assert not re.search(r"\bbob\b", page.content())

    @pytest.mark.slow
    def test_a_phone_shows_table_and_drawer_within_its_width(
        self, labelled: None, open_page: Callable[..., Page]
    ) -> None:
        page = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        open_clips(page)
        frame = page.locator("#clips-table .scrolls").bounding_box()
        assert frame is not None and frame["x"] >= 0 and frame["x"] + frame["width"] <= 390
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.set_viewport_size({"width": 375, "height": 844})
        right = "(all) => all.filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().right)"
        assert max(page.locator(f"{ROWS} td").evaluate_all(right)) <= 375, "nothing of a clip is cut"
        for kind in ("clip", "words", "model", "people", "speaker", "source", "length"):
            expect(page.locator(f"{ROWS} td.{kind}").first).to_be_visible()
        page.set_viewport_size({"width": 390, "height": 844})
        page.locator(f"{ROWS} td.words").first.click()
        page.wait_for_selector("#clip-drawer .player")
        box = page.locator("#clip-drawer").bounding_box()
        assert box is not None and (box["x"], box["width"]) == (0, 390)
        assert page.locator("#clip-drawer").evaluate("(part) => part.scrollWidth") <= 390


class TestVisitors:
    @pytest.fixture
    def services(self, services: Services) -> Services:
        return replace(services, access=Access(role_without_login="visitor"))

    def test_they_see_their_own_clip_and_withdraw_it(
        self, labelled: None, page: Page, services: Services, speech: Path
    ) -> None:
        if page.locator("#recognize-audio input[type=file]").count() == 0:
            page.click("#recognize-audio button[aria-label='Upload file']")
        page.set_input_files("#recognize-audio input[type=file]", speech)
        page.wait_for_selector("#save:not([disabled])")
        page.locator("#consent").get_by_label("research").check()
        page.click("#save")
        expect(page.locator("#withdraw-saved")).to_contain_text("Erase clip 10")
        open_clips(page)
        expect(page.locator(ROWS)).to_have_count(1)
        page.locator(f"{ROWS} td.words").click()
        drawer = page.locator("#clip-drawer")
        expect(drawer.locator("input[type=radio]")).to_have_count(0)
        drawer.get_by_text("Withdraw my consent").click()
        expect(page.locator("#clips-ask")).to_contain_text("would be erased")
        page.click("#clips-ask .confirm")
        expect(page.locator("#clips-job")).to_contain_text("erased")
        assert [clip.id for clip in list_clips(services.store)] == list(range(1, 10))
        page.goto(f"{page.url.split('?')[0]}?clip=3")
        expect(page.locator("#clip-status")).to_contain_text("none of yours")
