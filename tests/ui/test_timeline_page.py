from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Page, expect

from annotations.raters.votes import effective_corrections
from ser.testing import synthetic_speech
from tests.unit.stored import list_clips
from ui.backend.services import Services


def test_a_long_recording_is_shown_corrected_and_saved_region_by_region(
    page: Page, services: Services, tmp_path: Path
) -> None:
    pause, pitches = np.zeros(32_000, np.float32), (110.0, 180.0, 250.0, 140.0, 210.0, 160.0, 120.0, 240.0)
    voices = [synthetic_speech(6.0, pitch=pitch, seed=seed).signal for seed, pitch in enumerate(pitches)]
    talk = np.concatenate([part for voice in voices for part in (voice, pause)])
    soundfile.write(tmp_path / "talk.wav", talk, 16_000)
    page.wait_for_selector("#recognize-audio input[type=file]", state="attached")
    page.set_input_files("#recognize-audio input[type=file]", tmp_path / "talk.wav")
    expect(page.locator("#answer-card")).to_contain_text("longer than 60 s")
    page.click("#use-timeline")
    expect(page.locator(".tl-region").first).to_be_visible()
    before = page.locator(".tl-region").count()

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
    page.get_by_label("to, s").press("Tab")
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
    assert {vote.label for vote in effective_corrections(services.store)} == {"fear"}
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "talk.wav.json"
