"""States of the page that are seldom looked at: ticks, zoom, phones on their side, visitors, filters without match."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, Route, expect

from annotations.raters.people import Access
from annotations.store import NewVote, queries
from ser.testing import synthetic_speech
from tests.ui.test_review_page import AT_REST, clip_on, next_by, open_review
from tests.unit.stored import list_clips
from ui.backend.services import Services

DESKTOP = {"width": 1280, "height": 900}
ZOOMED, LANDSCAPE = {"width": 640, "height": 400}, {"width": 844, "height": 390}
"""What is left of 1280x800 at 200 %, and a phone on its side."""


def pixels(element: Locator) -> np.ndarray:
    """Grey levels of an element's picture, shape (height, width)."""
    element.page.mouse.move(0, 0)
    drawn = element.screenshot(type="png")
    shown = element.page.evaluate(
        """async (bytes) => {
            const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: "image/png" }));
            const canvas = new OffscreenCanvas(picture.width, picture.height);
            const context = canvas.getContext("2d");
            context.drawImage(picture, 0, 0);
            return [picture.width, Array.from(context.getImageData(0, 0, picture.width, picture.height).data)];
        }""",
        list(drawn),
    )
    return np.array(shown[1]).reshape(-1, shown[0], 4)[..., :3].mean(axis=2)


@pytest.mark.parametrize("theme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_a_tick_can_be_seen_in_both_themes(open_page: Callable[..., Page], fill: Callable, theme: str) -> None:
    fill(1)
    page = open_page(viewport=DESKTOP, color_scheme=theme)
    open_review(page)
    for box in (page.locator("#review-quick input"), page.locator("#review-blind input")):
        empty = pixels(box)
        box.check()
        ticked = pixels(box)
        inside = ticked[4:-4, 4:-4]
        assert np.abs(ticked - empty).max() > 100, "ticked and not ticked look different"
        assert inside.max() - inside.min() > 120, "the mark stands out from what it stands on"


@pytest.mark.parametrize("viewport", [ZOOMED, pytest.param(LANDSCAPE, marks=pytest.mark.slow)])
def test_the_votes_stand_beside_the_clip_on_a_low_screen(
    open_page: Callable[..., Page], fill: Callable, viewport: dict[str, int]
) -> None:
    fill(2)
    page = open_page(viewport=viewport)
    open_review(page)
    page.evaluate("document.querySelector('.review-columns').scrollIntoView()")
    boxes = {name: page.locator(name).bounding_box() for name in ("#review-card", "#review-form", "#review-vote")}
    card, form, votes = (boxes[name] for name in boxes)
    assert card is not None and form is not None and votes is not None
    assert card["x"] + card["width"] <= form["x"], "nothing covers the clip"
    assert votes["y"] >= 0 and votes["y"] + votes["height"] <= viewport["height"]
    for part in ("#review-card .player .play", "#review-save"):
        expect(page.locator(part)).to_be_in_viewport(ratio=1)
        on_top = page.locator(part).evaluate(
            "(part) => { const box = part.getBoundingClientRect();"
            "return part.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)); }"
        )
        assert on_top, f"{part} lies under something"
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_progress_counts_what_the_filters_cover(page: Page, services: Services, fill: Callable) -> None:
    fill(6)
    open_review(page)
    undo, others = (
        page.locator("#review-undo"),
        page.locator("#review-skip, #review-save, #review-vote input[value=anger], #review-transcript textarea"),
    )
    expect(undo).to_be_disabled()
    for place in range(4):
        expect(others.nth(place)).to_be_enabled()
    next_by(page, "1", "Enter")
    next_by(page, "u", "Enter")
    next_by(page, "s")
    page.wait_for_function(AT_REST)
    line = page.locator("#review-progress .progress-line")
    expect(line).to_contain_text("3 of 6")
    expect(line).to_contain_text("1 unsure")
    expect(line).to_contain_text("1 skipped")
    next_by(page, "z")
    expect(line).to_contain_text("2 of 6")
    expect(line).not_to_contain_text("skipped")
    page.click("#review-filters summary")
    page.fill("#review-filters [name=text]", "nobody says this")
    page.press("#review-filters [name=text]", "Tab")
    expect(page.locator("#review-card")).to_contain_text("No more clips match these filters")
    expect(line).to_have_text("No clip to label")
    # Nothing can be voted on: what would do it is neither pressed nor reached, but the last vote can be taken back.
    for place in range(4):
        expect(others.nth(place)).to_be_disabled()
    expect(page.locator("#review-more")).to_have_attribute("inert", "")
    expect(undo).to_be_enabled()
    page.locator("#review-card").focus()
    page.keyboard.press("1")
    expect(page.locator("#review-status")).to_have_text("There is no clip to label.")
    assert page.locator("#review-vote input:checked").count() == 0
    assert page.get_attribute("#review-progress [role=progressbar]", "aria-valuenow") == "0"
    page.click("#review-card .clear-filters")
    expect(line).to_contain_text("0 of 4")
    expect(others.nth(1)).to_be_enabled()


def test_filters_that_change_while_a_clip_is_on_its_way_are_followed(page: Page, fill: Callable) -> None:
    fill(6)
    held: list[Route] = []

    def hold_back(route: Route) -> None:
        if '"next"' in (route.request.post_data or "") and not held:
            held.append(route)
        else:
            route.continue_()

    open_review(page)
    page.wait_for_function("studioReview.state().ready === 2")
    page.route("**/run/page", hold_back)
    next_by(page, "1", "Enter")
    page.click("#review-filters summary")
    page.fill("#review-filters [name=text]", "nobody says this")
    page.press("#review-filters [name=text]", "Tab")
    assert len(held) == 1
    held[0].continue_()
    expect(page.locator("#review-card")).to_contain_text("No more clips match these filters")


def test_escape_closes_every_panel(page: Page, fill: Callable) -> None:
    fill(1)
    open_review(page)
    page.click("#review-filters summary")
    page.locator("#review-filters [name=text]").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#review-filters")).not_to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.matches('#review-filters summary')"), "the focus is not lost"
    expect(page.locator("#review-more")).not_to_have_attribute("inert", "")
    page.keyboard.press("d")
    expect(page.locator("#review-more")).to_have_attribute("open", "")
    page.locator("#review-more textarea").focus()
    page.keyboard.press("Escape")
    expect(page.locator("#review-more")).to_have_attribute("open", "")
    page.keyboard.press("Escape")
    expect(page.locator("#review-more")).not_to_have_attribute("open", "")
    for key, window in (("?", "#keys-dialog"), ("g", "#guidelines-dialog")):
        page.keyboard.press(key)
        expect(page.locator(window)).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(window)).to_be_hidden()


def test_a_damaged_recording_is_told_and_can_be_skipped(page: Page, services: Services, fill: Callable) -> None:
    fill(2)
    clips = list_clips(services.store)
    for clip in clips:
        path = services.store.clip_path(clip)
        path.write_bytes(b"fLaC" + bytes(500))
    open_review(page)
    expect(page.locator("#review-card")).to_contain_text("is damaged")
    first = clip_on(page)
    page.keyboard.press("Space")
    next_by(page, "s")
    assert clip_on(page) != first
    page.wait_for_function(AT_REST)
    vote = queries.history(services.store)[0].correction
    assert vote is not None and vote.verdict == "skip"


def test_a_recording_that_a_browser_cannot_play_has_no_player(page: Page, fill: Callable) -> None:
    fill(1)
    page.evaluate("() => { Audio = class extends Audio { load() { this.dispatchEvent(new Event('error')); } }; }")
    open_review(page)
    expect(page.locator("#review-card [role=alert]")).to_contain_text("cannot play the recording")
    expect(page.locator("#review-card .player")).to_have_count(0)
    page.keyboard.press("Space")


@pytest.mark.slow
def test_every_button_is_large_enough(open_page: Callable[..., Page], fill: Callable) -> None:
    fill(1)
    page = open_page(viewport=DESKTOP)
    for tab in ("Recognize", "Review", "Clips", "Train"):
        page.click(f"[role=tab]:has-text('{tab}')")
        page.wait_for_timeout(500)
        if tab == "Recognize":
            page.click("#recognize-audio button[aria-label='Record audio']")
            page.wait_for_timeout(500)
            page.click("#recognize-audio .stop-button >> visible=true")
            page.wait_for_selector("#answer-card .answer:not(.busy)")
        small = page.evaluate(
            """() => Array.from(document.querySelectorAll("main button, main summary, main input[type=checkbox]"))
                .filter((part) => part.offsetParent !== null && !part.closest("label, .top, .toast-body"))
                .map((part) => [part.getBoundingClientRect(), part.outerHTML.slice(0, 90)])
                .filter(([box]) => box.width > 0 && (box.width < 24 || box.height < 24)).map(([, html]) => html)"""
        )
        assert small == [], tab


def test_stop_is_there_only_while_something_runs(page: Page, tmp_path: object) -> None:
    page.click("[role=tab]:has-text('Manage')")
    page.click("#maintain-import button >> nth=0")
    expect(page.locator("#import-stop")).to_be_disabled()
    files = []
    for seed in range(60):
        sound = io.BytesIO()
        soundfile.write(sound, synthetic_speech(1.0, seed=seed).signal, 16_000, format="WAV")
        files.append({"name": f"{seed}.wav", "mimeType": "audio/wav", "buffer": sound.getvalue()})
    page.set_input_files("#import-files input[type=file]", files)
    page.locator("#import-consent").get_by_label("research").check()
    page.locator("#import-answer input").uncheck()
    page.click("#import-preview")
    expect(page.locator("#import-start")).to_be_enabled()
    page.click("#import-start")
    expect(page.locator("#import-status")).to_contain_text("60 clips added")
    expect(page.locator("#import-stop")).to_be_disabled()


class TestPeopleOfLesserRoles:
    @pytest.fixture(params=["visitor", "annotator"])
    def services(self, services: Services, request: pytest.FixtureRequest) -> Services:
        return replace(services, access=Access(role_without_login=request.param))

    def test_they_see_what_they_may_do(self, page: Page, services: Services, fill: Callable) -> None:
        fill(1)
        visitor = services.access.role_without_login == "visitor"
        tabs = page.locator("[role=tab]:visible")
        if visitor:
            expect(page.locator("#visitor-note")).to_contain_text("You are a visitor")
            expect(tabs).to_have_text(["Recognize", "Conversation", "Clips", "Insights", "About"])
            return
        expect(page.locator("#visitor-note p")).to_have_count(0)
        page.click("[role=tab]:has-text('Train')")
        expect(page.locator("#train-note")).to_contain_text("Only maintainers start it")
        for control in ("#retrain", "#train-acts", "#train-choices"):
            expect(page.locator(control).first).to_be_hidden()
        expect(page.locator("#train-feedback")).to_contain_text("Feedback")
        expect(page.locator("#train-versions").get_by_text("Model card")).to_be_visible()
        expect(page.locator(".hub")).to_be_hidden()


def test_the_list_of_people_says_who_is_maintainer(page: Page, services: Services, fill: Callable) -> None:
    fill(1)
    services.store.add_correction(1, NewVote("bob", "correct", label="fear"))
    page.click("[role=tab]:has-text('Manage')")
    page.click("#maintain-people button >> nth=0")
    page.reload()
    page.click("[role=tab]:has-text('Manage')")
    page.click("#maintain-people button >> nth=0")
    expect(page.locator("#people-table tr", has_text="bob")).to_contain_text("maintainer")
