from collections.abc import Callable

from playwright.sync_api import Page, expect

from annotations import queries
from annotations.feedback import label_counts
from ser.labels import EMOTIONS
from ui.services import Services

PLAYING = "() => { const audio = document.querySelector('#review-card audio'); return audio && !audio.paused; }"


def open_review(page: Page) -> None:
    page.click("[role=tab]:has-text('Review')")
    page.wait_for_selector("#review-card .review-clip, #review-card .empty-queue")


def clip_on(page: Page) -> str | None:
    return page.get_attribute("#review-card .review-clip", "data-clip")


def next_by(page: Page, *keys: str) -> None:
    before = clip_on(page)
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function(
        "(before) => document.querySelector('#review-card .review-clip')?.dataset.clip !== before", arg=before
    )


def test_five_clips_by_keys_alone(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(6)
    open_review(page)
    for key in "12345":
        page.wait_for_function(PLAYING)
        next_by(page, key, "Enter")
    expect(page.locator("#review-progress")).to_contain_text("5 of 6")
    expect(page.locator("#review-progress")).to_contain_text("clips/h")
    counts = label_counts(services.store)
    assert [counts[label] for label in EMOTIONS] == [1, 1, 1, 1, 1, 0, 0]
    expect(page.locator("#review-vote input:checked")).to_have_count(0)
    next_by(page, "u", "Enter")
    expect(page.locator("#review-card")).to_contain_text("Nothing waits for you")


def test_skip_undo_play_seek_and_help(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(3)
    open_review(page)
    first = clip_on(page)
    next_by(page, "s")
    assert clip_on(page) != first
    next_by(page, "z")
    assert clip_on(page) == first

    page.wait_for_function(PLAYING)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('#review-card audio').paused")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.querySelector('#review-card audio').currentTime") < 0.2
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    page.keyboard.press("s")
    page.keyboard.press("Escape")
    expect(page.locator("#keys-dialog")).not_to_be_visible()
    assert clip_on(page) == first, "keys rest while the help is open"


def test_keys_rest_while_typing_and_in_other_tabs(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(2)
    open_review(page)
    first = clip_on(page)
    page.keyboard.press("e")
    page.keyboard.type(" s1u")
    assert clip_on(page) == first
    expect(page.locator("#review-vote input:checked")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.locator("#review-vote input[value=disgust]")).to_be_checked()
    for tab in ("History", "Recognize"):
        page.click(f"[role=tab]:has-text('{tab}')")
        page.keyboard.press("s")
        page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert queries.history(services.store) == []
    page.click("[role=tab]:has-text('Review')")
    next_by(page, "Enter")
    correction = queries.history(services.store)[0].correction
    assert (
        correction is not None and correction.transcript == "what a wonderful day s1u" and correction.label == "disgust"
    )


def test_blind_hides_the_answer_and_is_remembered(page: Page, fill: Callable[[int], None]) -> None:
    fill(2)
    open_review(page)
    expect(page.locator("#review-card .bars")).to_be_visible()
    page.keyboard.press("b")
    expect(page.locator("#review-card .bars")).to_have_count(0)
    page.wait_for_timeout(300)
    page.reload()
    page.wait_for_selector("#answer-card .bars")
    page.wait_for_timeout(500)
    open_review(page)
    expect(page.locator("#review-card")).to_contain_text("hidden while you judge")


def test_one_key_saves(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(3)
    open_review(page)
    page.check("#review-quick input")
    next_by(page, "4")
    next_by(page, "5")
    assert sum(label_counts(services.store).values()) == 2


def test_an_empty_queue_teaches(page: Page) -> None:
    open_review(page)
    expect(page.locator("#review-card")).to_contain_text("import")


def test_two_browsers_vote_side_by_side(
    open_page: Callable[..., Page], services: Services, fill: Callable[[int], None]
) -> None:
    fill(3)
    pages = [open_page(), open_page(viewport={"width": 1280, "height": 900})]
    for page in pages:
        open_review(page)
    for key in "123":
        for page in pages:
            next_by(page, key, "Enter")
    assert sum(label_counts(services.store).values()) == 6


def test_the_next_clip_comes_at_once(page: Page, fill: Callable[[int], None]) -> None:
    fill(12)
    open_review(page)
    page.evaluate(
        """() => {
            window.waits = [];
            const now = () => performance.now();
            document.addEventListener("keydown", ({ key }) => { if (key === "Enter") window.asked = now(); }, true);
            document.addEventListener("playing", () => window.asked && window.waits.push(now() - window.asked), true);
        }"""
    )
    for _ in range(10):
        next_by(page, "1", "Enter")
        page.wait_for_function(PLAYING)
    waits = sorted(page.evaluate("window.waits"))
    print(
        f"from Enter to the next clip playing: median {waits[len(waits) // 2]:.0f} ms, all {[round(w) for w in waits]}"
    )
    # The aim is 200 ms; the bound is wide because machines that run tests are often busy.
    assert waits[len(waits) // 2] < 1_000
