"""Once round the loop with nothing stood in for: real speech, real models, a real microphone in a real browser."""

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, Playwright, expect

from annotations.learning.runs.retrainer import Retrainer
from annotations.store import NewVote, queries
from ser.audio.decoding import decode_file
from ser.config import Settings
from ser.labels import to_emotion
from tests.ui.conftest import FLAGS, PATIENCE
from tests.unit.forked_workers import as_usual_work
from tests.unit.stored import newest_prediction
from ui.backend.services import Services
from ui.backend.startup import load_parts

SPEAKER = "nemo_MK0"
"""One of the speakers that the embedded model was never trained on."""

CORRECTIONS = 60
TRAINING = 300_000
"""Milliseconds that the run may take on a busy machine."""


@pytest.fixture
def clips(shared_data: Path) -> list[tuple[Path, str]]:
    """Recordings of one unheard speaker and their labels, emotions in turn."""
    with (shared_data / "nemo" / "metadata.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["speaker"] == SPEAKER]
    found = [(shared_data / "nemo" / row["file_name"], str(to_emotion(row["label"]))) for row in rows]
    return [found[number * 37 % len(found)] for number in range(CORRECTIONS + 1)]


@pytest.fixture
def services(tmp_path: Path, cache: Path) -> Services:
    parts = load_parts(tmp_path / "data", Settings(transcriber="embedded", device="cpu"))
    return replace(parts, retrainer=Retrainer(parts.active_model, spawn=as_usual_work()))


@pytest.fixture
def page(
    playwright: Playwright, chromium: str, url: str, clips: list[tuple[Path, str]], tmp_path: Path
) -> Iterator[Page]:
    """The page in a browser whose microphone plays the first recording again and again."""
    recorded = decode_file(clips[0][0])
    soundfile.write(tmp_path / "microphone.wav", recorded.signal, recorded.sampling_rate)
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={tmp_path / 'microphone.wav'}"]
    browser = playwright.chromium.launch(executable_path=chromium, args=flags)
    page = browser.new_context(permissions=["microphone"]).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    page.wait_for_selector("#answer-card .bars")
    page.wait_for_function("(document.querySelector('#rater textarea, #rater input') || {value: ''}).value !== ''")
    yield page
    browser.close()


def test_record_see_correct_retrain(page: Page, services: Services, clips: list[tuple[Path, str]]) -> None:
    store = services.store
    page.click("#recognize-audio button[aria-label='Record audio']")
    page.wait_for_timeout(3_000)
    page.click("#recognize-audio button:has-text('Stop') >> visible=true")
    expect(page.locator("#answer-card .headline .label")).to_contain_text(re.compile("%|Not sure"))
    expect(page.locator("#save")).to_be_enabled()
    page.get_by_label("training the model").check()
    page.get_by_label("Who is speaking?").fill(SPEAKER)
    page.locator("#answer-card").click()
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    expect(page.locator("#save-status")).to_contain_text("Saved")
    vote = queries.history(store)[0].correction
    assert vote is not None and vote.label == "sadness"
    clip = store.get_clip(vote.clip_id)
    assert clip.speaker == SPEAKER and clip.consent == ("training",) and store.clip_path(clip).is_file()
    prediction = newest_prediction(store, clip.id)
    assert prediction is not None and prediction.model_version_id == store.active_version().id

    for path, label in clips[1:]:
        added = store.add_clip(decode_file(path), source="test", speaker=SPEAKER, consent=("training",))
        store.add_correction(added.id, NewVote("ann", "correct", label=label))
    page.click("[role=tab]:has-text('Train')")
    expect(page.locator("#train-feedback")).to_contain_text(f"{CORRECTIONS + 1} votes")
    expect(page.locator("#retrain")).to_be_enabled()
    page.click("#retrain")
    expect(page.locator("#train-run .badge")).to_have_text("promoted", timeout=TRAINING)
    (run,) = queries.list_training_runs(store)
    expect(page.locator("#train-run")).to_contain_text(run.reason or "no reason")
    expect(page.locator("#header")).to_contain_text(f"v{run.id}")

    answer = services.recognizer.recognize(decode_file(clips[1][0]))
    assert answer.models["acoustic"] == f"v{run.id}"
    page.locator("#train-versions tr.active", has_text=f"v{run.id}").get_by_text("Roll back to").click()
    expect(page.locator("#header")).to_contain_text("embedded")
    assert store.active_version().name == "embedded"
