import re
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from annotations.raters.votes import mark_gold
from annotations.store import NewVote
from ser.labels import EMOTIONS
from tests.unit.stored import list_clips
from ui.backend.services import Services


@pytest.fixture
def votes(services: Services, fill: Callable[[int], None]) -> None:
    """Five raters on ten clips, one of them at random; two gold clips."""
    fill(10)
    random = np.random.default_rng(4)
    for clip in list_clips(services.store):
        for number, rater in enumerate(("ann", "bob", "cid", "dan", "eve")):
            right = number < 4 and random.random() < 0.7
            label = EMOTIONS[clip.id % 7 if right else int(random.integers(7))]
            services.store.add_correction(
                clip.id, NewVote(rater, "correct", label=label, intensity=int(random.integers(30, 90)))
            )
        if clip.id <= 2:
            mark_gold(services.store, clip.id, EMOTIONS[clip.id % 7], by="ann")


def open_insights(page: Page) -> None:
    page.click("[role=tab]:has-text('Insights')")


def test_nothing_yet_is_explained(page: Page) -> None:
    open_insights(page)
    expect(page.locator("#insights-summary")).to_contain_text("No votes yet")
    expect(page.locator("#insights-agreement")).to_be_hidden()


def test_what_the_votes_show(votes: None, open_page: Callable[..., Page]) -> None:
    page = open_page()
    open_insights(page)
    expect(page.locator("#insights-summary")).to_contain_text("50 votes")
    expect(page.locator("#insights-agreement .alpha strong")).to_contain_text("0.")
    expect(page.locator("#insights-agreement table.agreement tbody tr")).to_have_count(9)
    expect(page.locator("#insights-raters table.raters tbody tr")).to_have_count(5)
    expect(page.locator("#insights-raters")).to_contain_text("of 2")
    page.click("#insights-raters summary:has-text('Two by two')")
    expect(page.locator("#insights-raters table.pairs tbody tr")).to_have_count(10)
    expect(page.locator("#insights-model table.heat").first).to_be_visible()
    expect(page.locator("#insights-time svg rect").first).to_be_visible()
    with page.expect_download() as saved:
        page.click("#insights-raters [data-save=csv]")
    raters = saved.value.path().read_text(encoding="utf-8-sig")
    assert "ann and bob" in raters
    lines = raters.splitlines()
    heads, ann = (next(line for line in lines if line.startswith(start)) for start in ("rater,", "ann,"))
    assert heads == "rater,votes,reliability,low,high,gold clips right,of,too fast to have listened,of"
    assert len(ann.split(",")) == 9 and all(re.fullmatch(r"[\d.]*", number) for number in ann.split(",")[1:])
    with page.expect_download() as saved:
        page.click("#insights-disputed [data-save=csv]")
    table = saved.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert table[0].startswith("clip,") and table[0].endswith(",model") and len(table) > 6
    with page.expect_download() as saved:
        page.click("#insights-agreement [data-save=csv]")
    lines = saved.value.path().read_text(encoding="utf-8-sig").splitlines()
    starts = ("on,", ".* ?anger,", "all labels,")
    heads, anger, whole = (next(line for line in lines if re.match(start, line)) for start in starts)
    assert -1 <= float(whole.split(",")[1]) <= 1
    assert heads.split(",")[:4] == ["on", "alpha", "low", "high"]
    low, high = (float(end) for end in anger.split(",")[2:4])
    assert low <= float(anger.split(",")[1]) <= high
    with page.expect_download() as saved:
        page.click("#insights-groups [data-save=png]")
    assert saved.value.path().read_bytes()[:4] == b"\x89PNG" and saved.value.path().stat().st_size > 5000
    # The most disputed clips can be played, by the keyboard alone.
    play = page.locator("#insights-disputed .player .play")
    expect(play).to_have_count(6)
    play.first.focus()
    page.keyboard.press("Enter")
    playing = "document.querySelector('#insights-disputed .player audio').currentTime > 0"
    page.wait_for_function(playing)
    # A number opens the clips behind it.
    row = page.locator("#insights-raters table.pairs tbody tr").first
    count = int(row.locator("td a").first.inner_text())
    row.locator("td a").first.click()
    expect(page.locator("#clips-table tbody tr")).to_have_count(count)
    assert "rater=" in page.url and "other_rater=" in page.url
    page.go_back()
    page.locator("#insights-time svg rect.emotion-fear, #insights-time svg rect").first.click()
    expect(page.locator("#clips-chips .chip")).to_have_count(3)
    expect(page.locator("#clips-table tbody tr").first).to_be_visible()


def test_a_narrow_page_does_not_scroll_sideways(votes: None, open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    open_insights(page)
    expect(page.locator("#insights-raters table.raters tbody tr")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
