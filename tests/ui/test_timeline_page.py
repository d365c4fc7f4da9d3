import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from annotations.raters.votes import effective_corrections
from ser.testing import synthetic_speech
from tests.unit.stored import list_clips
from ui.backend.services import Services


def show(page: Page, folder: Path, pause: float = 2.0) -> int:
    """Open the timeline of a minute, eight stretches of six seconds with pauses; returns the number of its regions."""
    silence, pitches = (
        np.zeros(round(16_000 * pause), np.float32),
        (110.0, 180.0, 250.0, 140.0, 210.0, 160.0, 120.0, 240.0),
    )
    voices = [synthetic_speech(6.0, pitch=pitch, seed=seed).signal for seed, pitch in enumerate(pitches)]
    talk = np.concatenate([part for voice in voices for part in (voice, silence)])
    soundfile.write(folder / "talk.wav", talk, 16_000)
    page.wait_for_selector("#recognize-audio input[type=file]", state="attached")
    page.set_input_files("#recognize-audio input[type=file]", folder / "talk.wav")
    expect(page.locator("#answer-card")).to_contain_text("longer than 60 s")
    page.click("#use-timeline")
    expect(page.locator(".tl-region").first).to_be_visible()
    return page.locator(".tl-region").count()


def test_a_long_recording_is_shown_corrected_and_saved_region_by_region(
    page: Page, services: Services, tmp_path: Path
) -> None:
    before = show(page, tmp_path)

    page.locator(".tl-row").first.click()
    expect(page.locator(".tl-editor")).to_be_visible()
    page.wait_for_function("parseFloat(document.querySelector('.tl-clock').textContent.split(':')[1]) > 0.3")
    ends = page.get_by_label("to, s")
    before_drag, grip = float(ends.input_value()), page.locator(".tl-grip[data-side=end]").bounding_box()
    assert grip is not None
    middle = (grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] - 30, middle[1], steps=4)
    page.mouse.up()
    expect(ends).not_to_have_value(f"{before_drag:.2f}")
    dragged = float(ends.input_value())
    assert 0.5 < before_drag - dragged < 10
    page.keyboard.press("z")
    expect(ends).to_have_value(f"{before_drag:.2f}")
    starts = page.get_by_label("from, s")
    began = float(starts.input_value())
    page.evaluate("document.querySelector('.timeline audio').currentTime = 0.1")
    page.keyboard.press("Shift+ArrowRight")
    expect(starts).to_have_value(f"{began + 0.05:.2f}")
    page.keyboard.press("z")
    ends.fill("10")
    ends.press("Tab")
    page.keyboard.press("3")
    page.keyboard.press("s")
    expect(page.locator(".tl-region")).to_have_count(before + 1)
    page.keyboard.press("j")
    page.keyboard.press("z")
    expect(page.locator(".tl-region")).to_have_count(before + 1)
    expect(page.locator(".tl-row").first).to_contain_text("fear")
    page.keyboard.press("+")
    page.get_by_label("a line for each feeling").check()
    expect(page.locator(".tl-lines polyline").first).to_be_attached()

    page.click(".tl-save")
    expect(page.locator(".tl-status")).to_contain_text("Nothing was saved")
    assert list_clips(services.store) == []
    page.locator(".tl-consent").get_by_label("research").check()
    page.click(".tl-save")
    expect(page.locator(".tl-status")).to_contain_text("2 regions are saved")
    clips = list_clips(services.store)
    assert len(clips) == 2 and len({clip.parent_sha256 for clip in clips}) == 1
    votes = effective_corrections(services.store)
    assert {vote.label for vote in votes} == {"fear"} and {vote.transcript for vote in votes} == {None}
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "talk.wav.json"


def spans(page: Page) -> list[tuple[float, float]]:
    """Beginning and end of each region in seconds, as the list says."""
    texts = page.locator(".tl-time").all_text_contents()
    edges = [[60 * int(minutes) + float(rest) for minutes, rest in re.findall(r"(\d+):([\d.]+)", one)] for one in texts]
    return [(start, end) for start, end in edges]


def test_many_regions_are_walked_and_corrected_by_keys(page: Page, services: Services, tmp_path: Path) -> None:
    count = show(page, tmp_path, pause=3.0)
    expect(page.locator(".timeline")).to_be_focused()
    assert page.locator(".tl-save").bounding_box()["y"] < 900  # type: ignore[index]
    for _ in range(count):
        page.keyboard.press("ArrowDown")
    last = page.locator(".tl-list li").last
    expect(last).to_have_class(re.compile("chosen"))
    for _ in range(3):
        page.keyboard.press("+")
    strip, mark = (page.locator(part).bounding_box() for part in (".tl-strip", ".tl-region.chosen"))
    assert strip and mark and strip["x"] <= mark["x"] < strip["x"] + strip["width"], "zoomed in on what is chosen"
    # What is clicked stays where it is, also while a field is being left.
    page.locator(".tl-transcript input").fill("words of a person")
    row = page.locator(".tl-row").nth(count - 3)
    where = row.bounding_box()
    row.click()
    expect(page.locator(".tl-list li").nth(count - 3)).to_have_class(re.compile("chosen"))
    assert row.bounding_box() == where
    expect(last).to_contain_text("words of a person")

    at = next(at for at, (start, end) in enumerate(spans(page)) if end - start > 4)
    page.locator(".tl-row").nth(at).click()
    start, end = spans(page)[at]
    page.evaluate("(time) => (document.querySelector('.timeline audio').currentTime = time)", start + 2)
    page.keyboard.press("s")
    expect(page.locator(".tl-region")).to_have_count(count + 1)
    for seconds, border in ((start + 1, start + 1), (60.0, end - 0.3)):
        page.get_by_label("to, s").fill(f"{seconds:.1f}")
        page.keyboard.press("Tab")
        expect(page.locator(".tl-time").nth(at + 1)).to_contain_text(f"{border % 60:04.1f}–")
        assert spans(page)[at : at + 2] == [(start, pytest.approx(border)), (pytest.approx(border), end)]
    page.keyboard.press("Delete")
    expect(page.locator(".tl-region")).to_have_count(count)
    page.keyboard.press("r")
    expect(page.locator(".tl-play")).to_have_text("Pause")

    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => location.reload())")
    assert asked.value.type == "beforeunload", "corrections are not lost with the page"
    asked.value.dismiss()
    page.locator(".tl-consent").get_by_label("training").check()
    page.click(".tl-save")
    expect(page.locator(".tl-status")).to_contain_text("2 regions are saved")
    assert sorted(vote.transcript or "" for vote in effective_corrections(services.store)) == ["", "words of a person"]
