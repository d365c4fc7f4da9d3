"""The page's weight on the wire, and what axe finds in every tab, theme, size and language."""

import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from benchmarks.speed.page import MOST_AGAIN, MOST_FIRST, load
from tests.ui.test_languages_page import TABS, fill_labelled
from ui.backend.services import Services

SIZES = {"desktop": (1280, 900), "phone": (390, 844), "on its side": (844, 390), "at 200 %": (640, 400)}

AXE = """async (part) => {
  const found = await axe.run(part || document, { resultTypes: ["violations"] });
  return found.violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`));
}"""

SETTLED = """(theme) => {
  document.body.classList.toggle("dark", theme === "dark");
  const moving = () => document.getAnimations().filter((one) => one.effect.getComputedTiming().endTime < 2000);
  return Promise.allSettled(moving().map((one) => one.finished));
}"""
"""Changes the theme and waits until colours have stopped changing."""


@pytest.fixture(scope="module")
def axe() -> str:
    """The program that looks for barriers."""
    try:
        return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("axe-playwright-python is not installed: pip install -r requirements-dev.txt")


@pytest.mark.parametrize("locale", ["en-GB", pytest.param("zh-CN", marks=pytest.mark.slow)])
def test_the_first_load_is_light_and_a_repeat_next_to_nothing(browser: Browser, url: str, locale: str) -> None:
    weights = load(browser, url, locale)
    assert 100_000 < weights["first_bytes"] <= MOST_FIRST
    assert 0 < weights["again_bytes"] <= MOST_AGAIN


LOOKS = {
    "en-GB": [("desktop", "light"), ("phone", "dark")],
    "zh-CN": [("desktop", "dark"), ("at 200 %", "light")],
}
"""What is looked at in each language; the slow test looks at all."""

ALL = [(size, theme) for size in SIZES for theme in ("light", "dark")]


def barriers(page: Page, axe: str, looks: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Walk through the tabs, with everything in them opened, to a clip, and return what axe finds serious."""
    page.add_script_tag(content=axe)
    page.locator("[data-example=anger]").click()
    expect(page.locator("#answer-card .headline strong")).to_be_visible()
    expect(page.locator("#recognize-audio #duration")).to_be_visible()
    found: dict[str, list[str]] = {}

    def look(where: str, part: str | None = None) -> None:
        for size, theme in looks:
            page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
            page.evaluate(SETTLED, theme)
            if problems := page.evaluate(AXE, part):
                found[f"{where}, {size}, {theme}"] = problems
        page.set_viewport_size({"width": 1280, "height": 900})

    for tab in TABS:
        page.locator(f"#tab-{tab}-button").click()
        expect(page.locator(TABS[tab]).first).to_be_visible()
        if tab == "conversation":
            page.locator("#conversation-example").click()
            page.locator("#conversation-read").click()
            expect(page.locator("#conversation .cv-turn").first).to_be_visible()
        for closed in page.locator(f"#tab-{tab} .label-wrap:not(.open):visible").all()[::-1]:
            closed.click()
        page.evaluate("document.querySelectorAll('main details').forEach((one) => (one.open = true))")
        look(tab)
    page.evaluate("studioAddress.go({ tab: 'clips', clip: 1 })")
    page.locator("#clip-drawer .closely").click()
    expect(page.locator("#clip-drawer .spectrogram")).to_be_visible()
    look("clip", "#clip-drawer")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_axe_finds_no_barrier(open_page: Callable[..., Page], services: Services, axe: str, locale: str) -> None:
    fill_labelled(services)
    assert barriers(open_page(locale=locale), axe, LOOKS[locale]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOOKS)
def test_axe_finds_no_barrier_anywhere(
    open_page: Callable[..., Page], services: Services, axe: str, locale: str
) -> None:
    fill_labelled(services)
    assert barriers(open_page(locale=locale), axe, ALL) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("locale", "theme"), [("en-GB", "light"), ("zh-CN", "dark")])
def test_axe_finds_no_barrier_in_windows(
    open_page: Callable[..., Page], services: Services, axe: str, speech: Path, locale: str, theme: str
) -> None:
    """Look at what opens above the tabs: a clip, the questions, the keys, the guidelines, the labels, a timeline."""
    fill_labelled(services)
    page = open_page(locale=locale, color_scheme=theme)
    page.goto(f"{page.url.split('?')[0]}?clip=1")
    page.locator("#clip-drawer .closely").click()
    expect(page.locator("#clip-drawer .spectrogram")).to_be_visible()
    page.add_script_tag(content=axe)
    found = {"clip": page.evaluate(AXE)}
    page.keyboard.press("Escape")
    page.locator("#tab-review-button").click()
    expect(page.locator("#review-card .clip-line")).to_be_visible()
    for key, window in (("?", "#keys-dialog"), ("g", "#guidelines-dialog")):
        page.keyboard.press(key)
        expect(page.locator(window)).to_be_visible()
        found[window] = page.evaluate(AXE)
        page.keyboard.press("Escape")
    page.locator("#tab-manage-button").click()
    page.locator("#maintain-labels .label-wrap").click()
    page.locator("#maintain-labels .edit-labels").click()
    expect(page.locator(".label-row").first).to_be_visible()
    found["labels"] = page.evaluate(AXE)
    page.keyboard.press("Escape")
    page.locator("#tab-recognize-button").click()
    page.set_input_files("#recognize-audio input[type=file]", speech)
    page.locator("#recognize-timeline .label-wrap").click()
    expect(page.locator("#answer-card .headline strong")).to_be_visible()
    page.locator("#show-timeline").click()
    expect(page.locator(".tl-region").first).to_be_visible()
    found["timeline"] = page.evaluate(AXE)
    assert {where: problems for where, problems in found.items() if problems} == {}
