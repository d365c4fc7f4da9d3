from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.learning.runs.retrainer import Retrainer, RetrainingConfig
from annotations.learning.runs.triggers import Triggers
from annotations.store import NewVote, queries
from annotations.store.settings import AnnotationSettings, change_settings
from ser.labels import EMOTIONS
from tests.ui.test_review_page import AT_REST, next_by, open_review
from tests.unit.forked_workers import as_usual_work
from tests.unit.stored import add_version, list_clips
from ui.backend.services import Services

TRAINING = 300_000
"""Milliseconds that a short run may take on a busy machine."""


@pytest.fixture
def services(services: Services) -> Services:
    """The page on stand-ins, but with the real training process, for three epochs."""
    config = RetrainingConfig(epochs=3, device="cpu")
    retrainer = Retrainer(services.active_model, config, spawn=as_usual_work())
    return Services(services.active_model, retrainer, services.uploads)


@pytest.fixture
def votes(services: Services, fill: Callable[[int], None]) -> None:
    """Enough feedback for a run."""
    fill(48)
    for clip in list_clips(services.store):
        label = EMOTIONS[clip.id % 2]
        services.store.add_correction(clip.id, NewVote("ann", "correct", label=label))


def open_train(page: Page) -> None:
    page.click("[role=tab]:has-text('Train')")
    expect(page.locator("#train-feedback")).to_contain_text("votes on")


def test_too_little_feedback_says_what_is_missing(page: Page) -> None:
    open_train(page)
    expect(page.locator("#train-feedback")).to_contain_text("needed")
    expect(page.locator("#retrain")).to_be_disabled()
    expect(page.locator("#train-run")).to_contain_text("No run yet")
    # What stands below the feedback is shown with it, so that it does not move.
    expect(page.locator("#retrain")).to_be_visible()
    page.evaluate("document.querySelector('#train-feedback h3').remove()")
    for part in ("#retrain", "#train-choices", "#train-acts"):
        expect(page.locator(part).first).to_be_hidden()


@pytest.mark.slow
def test_retrain_to_its_end_through_a_reload(votes: None, open_page: Callable[..., Page], services: Services) -> None:
    page = open_page()
    open_train(page)
    expect(page.locator("#retrain")).to_be_enabled()
    page.click("#retrain")
    expect(page.locator("#train-run .badge")).to_have_text("running")
    page.reload()
    other = open_page(viewport={"width": 1280, "height": 900})
    for watcher in (page, other):
        watcher.wait_for_selector("#answer-card .bars", state="attached")
        open_train(watcher)
    ended = page.locator("#train-run .badge", has_text="promoted").or_(
        page.locator("#train-run .badge", has_text="refused")
    )
    expect(ended).to_be_visible(timeout=TRAINING)
    (run,) = queries.list_training_runs(services.store)
    for watcher in (page, other):
        expect(watcher.locator("#train-run .badge")).to_have_text(run.status)
        expect(watcher.locator("#train-run")).to_contain_text(run.reason or "no reason")
        expect(watcher.locator("#train-run .comparison")).to_contain_text("UAR")
        expect(watcher.locator("#retrain")).to_be_enabled()
    # Every clip was trained on: the comparison says that it flatters.
    page.locator("#train-versions tbody tr").first.get_by_text("Compare").click()
    page.click("#version-ask .confirm")
    expect(page.locator("#version-detail")).to_contain_text(", which flatters the version that was")
    changed = page.locator("#version-detail table.changed a").first
    number = changed.inner_text()
    changed.click()
    expect(page.locator("#clip-drawer h2")).to_have_text(f"Clip {number}")
    expect(page.locator("#clip-drawer .player")).to_be_visible()
    page.keyboard.press("Escape")
    page.click("#train-log-button")
    expect(page.locator("#train-log a[download]")).to_have_count(1)
    page.click(".past-runs summary")
    expect(page.locator(".past-runs tbody tr")).to_contain_text(f"run {run.id}")


def test_a_run_is_cancelled(votes: None, page: Page, services: Services) -> None:
    open_train(page)
    page.click("#retrain")
    expect(page.locator("#train-cancel")).to_be_enabled()
    page.click("#train-cancel")
    expect(page.locator("#train-run .badge")).to_have_text("cancelled", timeout=TRAINING)
    assert queries.list_training_runs(services.store)[0].status == "cancelled"
    assert services.store.active_version().name == "embedded"


def test_a_run_rests_another_waits_and_both_are_cancelled(votes: None, page: Page, services: Services) -> None:
    open_train(page)
    expect(page.locator("#train-estimate")).to_contain_text("48 clips")
    page.click("#retrain")
    expect(page.locator("#train-pause")).to_be_enabled()
    page.click("#train-pause")
    expect(page.locator("#train-run .badge")).to_have_text("paused", timeout=TRAINING)
    page.click("#retrain")
    expect(page.locator("#train-run .wait")).to_contain_text("run 2")
    expect(page.locator("#train-which")).to_be_visible()
    page.click("#train-cancel")
    expect(page.locator("#train-run h3")).to_contain_text("Run 2")
    services.retrainer.cancel(2)
    assert {run.id: run.status for run in queries.list_training_runs(services.store)} == {
        1: "cancelled",
        2: "cancelled",
    }


def test_back_and_forth_between_versions(page: Page, services: Services) -> None:
    add_version(services.store, "v2", "0" * 64, {"after": {"uar": 0.63}})
    open_train(page)
    page.locator("#train-versions tr", has_text="v2").get_by_text("Use", exact=True).click()
    expect(page.locator("#header")).to_contain_text("model: v2")
    page.locator("#train-versions").get_by_text("Roll back to embedded").click()
    expect(page.locator("#header")).to_contain_text("model: embedded")
    assert services.store.active_version().name == "embedded"
    page.goto(f"{page.url.split('?')[0]}?version=v2")
    expect(page.locator("#train-versions tr.marked")).to_contain_text("v2")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_what_a_target_lacks_stands_there_before_the_click(
    votes: None, open_page: Callable[..., Page], scheme: str, tmp_path: Path
) -> None:
    page = open_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    open_train(page)
    expect(page.locator("#retrain")).to_be_enabled()
    page.locator("#train-target input").click()
    page.locator("[role=option]", has_text="Words").first.click()
    expect(page.locator("#train-estimate")).to_contain_text("Not yet for the text model")
    expect(page.locator("#train-estimate")).to_contain_text("20 clips of 2 labels are needed")
    expect(page.locator("#retrain")).to_be_disabled()
    page.screenshot(path=tmp_path / f"{scheme}.png")
    page.locator("#train-target input").click()
    page.locator("[role=option]", has_text="Voice").first.click()
    expect(page.locator("#retrain")).to_be_enabled()
    expect(page.locator("#train-estimate")).not_to_contain_text("Not yet")


def test_a_card_is_read_and_trouble_stays_where_it_arose(page: Page, services: Services) -> None:
    add_version(services.store, "v2", "0" * 64, {"after": {"uar": 0.63}})
    open_train(page)
    row = page.locator("#train-versions tr", has_text="v2")
    row.get_by_text("Model card").click()
    expect(page.locator("#version-detail h4").first).to_have_text("Evaluation")
    expect(page.locator("#version-detail a[download]")).to_have_count(1)
    row.get_by_text("Publish").click()
    page.keyboard.press("Enter")
    expect(page.locator("#version-detail [role=alert]")).to_have_text("Name the repository as ORG/NAME.")
    expect(page.locator("#version-detail")).not_to_contain_text("Evaluation")
    expect(page.locator("#train-versions tr.active").get_by_text("Use", exact=True)).to_have_count(0)


@pytest.mark.slow
def test_the_layers_to_train_are_chosen_and_described(votes: None, page: Page, tmp_path: Path) -> None:
    open_train(page)
    expect(page.locator("#train-estimate")).to_contain_text("Trains the classifier head; the encoder is frozen.")
    page.locator("#train-tune input").click()
    page.locator("[role=option]", has_text="All layers").click()
    expect(page.locator("#train-estimate")).to_contain_text("the encoder of the current model is frozen")
    expect(page.locator("#retrain")).to_be_disabled()
    page.screenshot(path=tmp_path / "all-layers.png")
    page.locator("#train-target input").click()
    page.locator("[role=option]", has_text="Transcripts").click()
    expect(page.locator("#train-tune")).to_be_hidden()


@pytest.mark.slow
def test_training_follows_labelling_and_nobody_notices(
    votes: None, fill: Callable[[int], None], open_page: Callable[..., Page], services: Services
) -> None:
    """Runs begin by themselves while somebody votes on, and the curve of the gain says what they found."""
    store, triggers = services.store, Triggers(services.retrainer)
    change_settings(store, AnnotationSettings(retrain_after=12), by="mia")
    page, watcher = open_page(), open_page(viewport={"width": 1280, "height": 900})
    assert triggers.check().began
    open_train(watcher)
    open_review(page)
    given = 0
    for wanted in (1, 2):
        while services.retrainer.status().state in ("running", "queued") or given < 13 * wanted:
            if given < 20 * wanted:
                next_by(page, "12"[given % 2], "Enter")
                given += 1
        page.wait_for_function(AT_REST)
        own = [entry.correction for entry in queries.history(store, 200) if entry.correction]
        assert len([vote for vote in own if vote.rater != "ann"]) == given, "no vote was lost"
        if wanted == 1:
            assert triggers.check().began, "on the votes that came while it trained"
    runs = queries.list_training_runs(store)
    assert len(runs) == 2 and {run.status for run in runs} <= {"promoted", "refused"}
    start, after = runs[0].metrics["start"], runs[0].metrics["after"]
    assert isinstance(start, dict) and isinstance(after, dict)
    expect(watcher.locator(".gain-curve")).to_contain_text(f"with {start['votes']} votes")
    shown = f"{round(100 * start['uar'])}\u00a0% → {round(100 * after['uar'])}\u00a0%"
    expect(watcher.locator(".gain-curve strong")).to_contain_text(shown)
    expect(watcher.locator(".gain-curve circle")).to_have_count(4)
