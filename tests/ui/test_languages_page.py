"""The page in another language: all that it says, none of what people wrote, and back again."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from annotations.store import NewVote
from ser.testing import fake_recognizer, synthetic_speech
from ui.backend.services import Services
from ui.languages.catalogue import list_languages
from ui.recognize.examples import EXAMPLES

TABS = {
    "recognize": "#answer-card .notes li",
    "conversation": "#conversation .cv-limits",
    "review": "#review-card .clip-line",
    "clips": "#clips-table td.source",
    "insights": "#insights-disputed h4",
    "train": "#train-versions td",
    "manage": "#tab-manage .label-wrap",
    "about": "#about td",
}
"""What each tab shows at the end."""

WROTE = "Save the last clip"
"""Words that the page has, too, but here a person has written them."""

ENGLISH = """() => {
  const theirs = "[translate=no], kbd, script, style, textarea";
  const shown = (element) => element && element.checkVisibility() && !element.closest(theirs);
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (nodes.nextNode()) if (shown(nodes.currentNode.parentElement)) found.push(nodes.currentNode.data);
  for (const name of ["alt", "aria-label", "placeholder", "title"])
    document.querySelectorAll(`[${name}]`).forEach((one) => shown(one) && found.push(one.getAttribute(name)));
  return found;
}"""
"""Everything that the page shows or has read out and that people have not written."""


COMPOSED = (
    "Promoted: +7.5 points of unweighted average recall [+2.0, +11.6] on 242 held-out clips of 15 speakers; +4.2 if "
    "both know which labels occur; the correct label gets 1.11x the smoothed probability [1.05, 1.17]; base test +2.1 "
    "(limit -2.0).",
    "held-out feedback: <strong>+7.5</strong> points [+2.0, +11.6] · UAR 75 % → 83 % · 15 speakers",
    "2 clips added, 1 there already, 1 vote added.",
    "1 clip of 1 known speaker would be read, with 2 votes.",
    "The disk is full: nothing was saved to UTC. Free some space and save again.",
    "metadata.csv: 1 row repeats others; each counts once.",
)
"""Messages that are put together from several texts."""


def _english(page: Page) -> set[str]:
    """List texts with words in Latin letters that neither a translation nor an example has."""
    spoken = " ".join(example.transcript for example in EXAMPLES.values())
    kept = set(re.findall(r"[A-Za-z_]{2,}", " ".join([spoken, *list_languages()[0].texts.values()])))
    return {text for text in page.evaluate(ENGLISH) if set(re.findall(r"[A-Za-z_]{2,}", text)) - kept}


def _open(page: Page, tab: str) -> None:
    page.locator(f"#tab-{tab}-button").click()
    expect(page.locator(f"#tab-{tab}")).to_be_visible()


def fill_labelled(services: Services) -> None:
    """Store four clips with answers and the votes of two people."""
    for seed in range(4):
        audio = synthetic_speech(0.8, seed=seed)
        clip = services.store.add_clip(audio, source="import", speaker="Train", consent=("research", "training"))
        answer = fake_recognizer(seed=seed).recognize(audio)
        stored = services.store.add_prediction(clip.id, answer, services.store.active_version().id)
        for rater, label in (("Save", "anger"), ("Keys", "fear" if seed else "anger")):
            vote = NewVote(rater, "correct", label=label, transcript=WROTE, comment="neutral", seconds=0.1 + seed)
            services.store.add_correction(clip.id, vote, prediction_id=stored.id)


def test_a_browser_in_chinese_finds_a_page_in_chinese(open_page: Callable[..., Page], services: Services) -> None:
    fill_labelled(services)
    page = open_page(locale="zh-TW")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.locator("[data-example=anger]").click()
    expect(page.locator("#answer-card .bars")).to_contain_text("愤怒")
    expect(page.locator("#save-status")).to_contain_text("示例仅供试听")
    for tab in TABS:
        _open(page, tab)
        expect(page.locator(TABS[tab]).first).to_be_visible()
        assert _english(page) == set(), tab
    _open(page, "review")
    expect(page.locator("#review-card .clip-line")).to_contain_text("Train · 2 次标注")
    page.evaluate("document.querySelectorAll('details, #keys-dialog').forEach((one) => (one.open = true))")
    assert _english(page) == set()
    page.keyboard.press("Escape")
    page.evaluate(
        "(said) => said.forEach((one) => document.querySelector('#about').append(Object.assign(document"
        ".createElement('p'), { innerHTML: one })))",
        list(COMPOSED),
    )
    assert _english(page) == set()
    _open(page, "train")
    # What a list shows is translated, and what is sent is what was chosen.
    effort = page.locator("#train-preset input")
    effort.click()
    page.get_by_role("option", name="充分").click()
    assert effort.input_value() == "充分" and effort.evaluate("(input) => input.value") == "thorough"
    page.goto(f"{page.url.split('?')[0]}?clip=1")
    drawer = page.locator("#clip-drawer")
    expect(drawer).to_contain_text(f"愤怒 · “{WROTE}” · 备注：neutral")
    expect(drawer.locator("td").filter(has_text="Save").first).to_have_text("Save")
    assert _english(page) == set()
    page.goto(f"{page.url.split('?')[0]}?clip=99")
    expect(page.get_by_text("没有片段 99。它可能已被删除；请选择其他片段。").first).to_be_visible()


@pytest.mark.slow
def test_the_choice_is_kept_and_english_is_as_it_was(open_page: Callable[..., Page], services: Services) -> None:
    fill_labelled(services)
    page = open_page(locale="de-DE")
    tabs, still = page.get_by_role("tablist"), ("#lead", "#record-line", "#examples", "#consent", "#trained-on")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    english = [page.locator(part).first.inner_text() for part in still]
    page.get_by_label("Language").select_option("中文")
    expect(tabs.get_by_role("tab").first).to_have_text("识别")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(tabs.get_by_role("tab").first).to_have_text("识别")
    page.wait_for_function("(document.querySelector('#rater textarea, #rater input') || {value: ''}).value !== ''")
    assert page.get_by_label("语言").input_value() == "zh"
    # Recording is started by a button that scripts know by its name in English.
    page.locator("#recognize-audio [data-said='Record audio']").click()
    expect(page.locator(".record-clock .now")).to_have_text("0:01")
    page.locator("#recognize-audio .stop-button").click()
    expect(page.locator("#answer-card .headline .number, #answer-card .headline strong").first).to_be_visible()
    page.locator("#recognize-clear").click()
    expect(page.locator("#answer-card")).to_contain_text("就绪")
    page.get_by_label("语言").select_option("English")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(tabs.get_by_role("tab").first).to_have_text("Recognize")
    page.wait_for_function("(document.querySelector('#rater textarea, #rater input') || {value: ''}).value !== ''")
    assert [page.locator(part).first.inner_text() for part in still] == english
