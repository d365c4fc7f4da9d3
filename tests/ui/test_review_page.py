import time
from collections.abc import Callable

from playwright.sync_api import Page, expect

from annotations.raters.guidelines import read_guidelines
from annotations.store import queries
from annotations.store.settings import AnnotationSettings, change_settings
from ser.labels import EMOTIONS
from tests.unit.stored import label_counts
from ui.backend.services import Services

PLAYING = "() => { const audio = document.querySelector('#review-card audio'); return audio && !audio.paused; }"
AT_REST = (
    "() => { const state = studioReview.state(); return state.unsent === 0 && (state.clip !== null || state.empty); }"
)
"""Every vote is on the server's disk, and the next clip on the page."""


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
    expect(page.locator("#review-progress")).to_contain_text("clips/min")
    page.wait_for_function(AT_REST)
    counts = label_counts(services.store)
    assert [counts[label] for label in EMOTIONS] == [1, 1, 1, 1, 1, 0, 0]
    expect(page.locator("#review-vote input:checked")).to_have_count(0)
    next_by(page, "u", "Enter")
    expect(page.locator("#review-card")).to_contain_text("No clip is waiting")


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
    # The player may still be on its way there.
    page.wait_for_function("() => document.querySelector('#review-card audio').currentTime < 0.2")
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
    for tab in ("Clips", "Recognize"):
        page.click(f"[role=tab]:has-text('{tab}')")
        page.keyboard.press("s")
        page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert queries.history(services.store) == []
    page.click("[role=tab]:has-text('Review')")
    next_by(page, "Enter")
    page.wait_for_function(AT_REST)
    correction = queries.history(services.store)[0].correction
    assert (
        correction is not None and correction.transcript == "what a wonderful day s1u" and correction.label == "disgust"
    )


def test_blind_hides_the_answer_and_is_remembered(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(3)
    open_review(page)
    expect(page.locator("#review-card .bars")).to_be_visible()
    page.keyboard.press("b")
    expect(page.locator("#review-card .bars")).to_have_count(0)
    next_by(page, "1", "Enter")
    expect(page.locator("#review-status")).to_contain_text("The model:")
    vote = queries.history(services.store)[0].correction
    assert vote is not None and vote.answer_shown is True, "it was seen before it was hidden"
    page.reload()
    page.wait_for_selector("#answer-card .bars", state="attached")
    open_review(page)
    expect(page.locator("#review-card .review-clip")).to_contain_text("hidden until you vote")
    next_by(page, "1", "Enter")
    page.wait_for_function(AT_REST)
    vote = queries.history(services.store)[0].correction
    assert vote is not None and vote.answer_shown is False


def test_one_key_saves(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(3)
    open_review(page)
    page.check("#review-quick input")
    next_by(page, "4")
    next_by(page, "5")
    page.wait_for_function(AT_REST)
    assert sum(label_counts(services.store).values()) == 2


def test_an_empty_queue_explains_itself(page: Page) -> None:
    open_review(page)
    expect(page.locator("#review-card")).to_contain_text("Add clips")
    for act in ("#review-undo", "#review-skip", "#review-save"):
        expect(page.locator(act)).to_be_disabled()


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
    for page in pages:
        page.wait_for_function(AT_REST)
    assert sum(label_counts(services.store).values()) == 6


def test_two_browsers_never_get_the_same_clip_where_one_vote_is_enough(
    open_page: Callable[..., Page], services: Services, fill: Callable[[int], None]
) -> None:
    fill(10)
    change_settings(services.store, AnnotationSettings(overlap=1), by="mia")
    pages = [open_page(), open_page(viewport={"width": 1280, "height": 900})]
    for page in pages:
        open_review(page)
    # A page that has found nothing looks again after 20 seconds.
    deadline = time.monotonic() + 60.0
    while len(queries.history(services.store)) < 10 and time.monotonic() < deadline:
        for page in pages:
            if page.locator("#review-card .review-clip").count():
                next_by(page, "4", "Enter")
            else:
                # Between two clips, or waiting for one that the other browser may give back.
                page.wait_for_timeout(100)
    for page in pages:
        page.wait_for_function(AT_REST)
    votes = [entry.correction for entry in queries.history(services.store) if entry.correction]
    assert len(votes) == len({vote.clip_id for vote in votes}) == 10
    assert len({vote.rater for vote in votes}) == 2


def test_a_batch_by_keys_alone_loses_nothing(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(30)
    open_review(page)
    page.wait_for_function("studioReview.state().clip !== null")
    started = time.perf_counter()
    # As fast as the keys go down, long before the clips can have come.
    for number in range(30):
        page.keyboard.press(str(number % 7 + 1))
        page.keyboard.press("Enter")
    page.wait_for_function("studioReview.state().empty && studioReview.state().unsent === 0")
    seconds = time.perf_counter() - started
    waits = sorted(page.evaluate("studioReview.waits"))
    print(f"30 clips in {seconds:.1f} s; from Enter to the next clip: median {waits[len(waits) // 2]:.0f} ms")
    votes = [entry.correction for entry in queries.history(services.store) if entry.correction]
    assert len({vote.clip_id for vote in votes}) == len(votes) == 30
    given = [vote.label for vote in reversed(votes)]
    assert given == [EMOTIONS[number % 7] for number in range(30)], "each key met its own clip, in order"


def test_more_is_said_and_undone(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(2)
    open_review(page)
    page.wait_for_function(PLAYING)
    page.keyboard.press("d")
    page.locator("#review-more input[name=intensity]").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.get_by_label("very pleasant").check(force=True)
    page.get_by_label("very calm").check(force=True)
    page.locator("#review-more input[name=fear]").focus()
    page.keyboard.press("End")
    expect(page.locator("#review-vote input[value=fear]")).to_be_checked()
    page.locator("#review-more input[name=anger]").focus()
    page.keyboard.press("End")
    page.fill("#review-more textarea", "1 s two people")
    page.keyboard.press("Escape")
    next_by(page, "Enter")
    page.wait_for_function(AT_REST)
    vote = queries.history(services.store)[0].correction
    assert vote is not None and (vote.intensity, vote.valence, vote.arousal) == (55, 100, 0)
    assert vote.distribution is not None and vote.distribution["fear"] == vote.distribution["anger"] == 0.5
    assert vote.comment == "1 s two people" and vote.seconds is not None and vote.seconds > 0
    page.keyboard.press("z")
    page.wait_for_function(f"studioReview.state().clip === {vote.clip_id}")
    expect(page.locator("#review-more textarea")).to_have_value("1 s two people")
    expect(page.locator("#review-more input[name=intensity]")).to_have_value("55")
    page.reload()
    page.wait_for_selector("#answer-card .bars", state="attached")
    open_review(page)
    expect(page.locator("#review-more")).to_have_attribute("open", "")


def test_the_guidelines_are_one_key_away(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(1)
    open_review(page)
    page.keyboard.press("g")
    expect(page.locator("#guidelines-dialog .prose")).to_contain_text("How to label")
    page.keyboard.press("1")
    page.click("#guidelines-dialog .edit")
    page.fill("#guidelines-dialog textarea", "# Ours")
    page.click("#guidelines-dialog .save")
    expect(page.locator("#guidelines-dialog .prose h1")).to_have_text("Ours")
    page.keyboard.press("Escape")
    expect(page.locator("#guidelines-dialog")).not_to_be_visible()
    expect(page.locator("#review-vote input:checked")).to_have_count(0)
    assert read_guidelines(services.store).text == "# Ours"


def test_a_vote_waits_for_a_server_that_is_gone(page: Page, services: Services, fill: Callable[[int], None]) -> None:
    fill(3)
    open_review(page)
    page.wait_for_function("studioReview.state().ready === 2")
    page.route("**/run/page", lambda route: route.abort())
    next_by(page, "3", "Enter")
    expect(page.locator("#review-status")).to_contain_text("Not saved yet")
    assert label_counts(services.store)["fear"] == 0
    page.unroute("**/run/page")
    expect(page.locator("#review-status")).to_contain_text("Saved clip")
    assert label_counts(services.store)["fear"] == 1
    assert page.evaluate("studioReview.state().unsent") == 0
