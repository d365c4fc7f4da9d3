"""A page with labels of the store's own: chosen and changed on it, its buttons and keys, what is not trained yet."""

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.labels.files import parse_labels
from annotations.labels.stored import change_label_set, label_set
from annotations.learning.runs.retrainer import Retrainer
from annotations.raters.votes import effective_corrections
from ser.config import Settings
from tests.ui.test_maintain_page import open_tab, unfold
from tests.ui.test_recognize_page import choose, wait_for_answer
from tests.ui.test_review_page import AT_REST, next_by, open_review
from tests.unit.forked_workers import as_usual_work
from tests.unit.stored import label_counts
from ui.backend.services import Services
from ui.backend.startup import load_parts

SAVED = "!document.querySelector('#labels-dialog').open"


@pytest.fixture
def own(services: Services, fill: Callable[[int], None]) -> tuple[str, ...]:
    """Four labels, one of which the seven say nothing of; in force before the page starts."""
    rows = [
        {"name": "satisfied", "means": "happiness"},
        {"name": "annoyed", "means": ["anger", "disgust"]},
        {"name": "confused", "key": "c"},
        {"name": "in distress", "means": ["fear", "sadness"]},
    ]
    names = change_label_set(services.store, parse_labels({"labels": rows}), by="mia").names
    fill(3)
    return names


def test_own_labels_by_their_keys(own: tuple[str, ...], page: Page, services: Services) -> None:
    open_review(page)
    expect(page.locator("#review-vote label")).to_have_count(len(own) + 1)
    expect(page.locator("#review-card .bars li")).to_have_count(len(own))
    expect(page.locator("#review-card .unlearnt")).to_have_text("not trained yet")
    next_by(page, "c", "Enter")
    next_by(page, "3", "Enter")
    page.keyboard.press("u")
    expect(page.locator("#review-vote input:checked")).to_have_value("unsure")
    page.wait_for_function(AT_REST)
    assert {name: count for name, count in label_counts(services.store).items() if count} == {
        "confused": 1,
        "in distress": 1,
    }


def preview_and_save(page: Page) -> None:
    page.click("#labels-dialog .preview")
    expect(page.locator("#labels-dialog .save")).to_be_enabled()
    page.click("#labels-dialog .save")
    page.wait_for_function(SAVED)


def test_labels_are_chosen_first_and_changed_later_on_open_pages(
    open_page: Callable[..., Page], services: Services, fill: Callable[[int], None], speech: Path
) -> None:
    page = open_page()
    page.click("#tab-review-button")
    page.click(".label-question .edit-labels")
    page.select_option("#labels-dialog .start-from", label="Customers")
    page.fill(".label-row:nth-child(1) .translations input", "de: zufrieden")
    expect(page.locator("#labels-dialog .save")).to_be_disabled()
    preview_and_save(page)
    expect(page.locator(".label-question")).to_have_count(0)
    expect(page.locator("#recognize-vote label")).to_have_count(6)
    assert label_set(services.store).names == ("satisfied", "neutral", "annoyed", "confused", "in distress")

    fill(6)
    german = open_page(locale="de-DE", viewport={"width": 390, "height": 844})
    expect(german.locator("#recognize-vote")).to_contain_text("1 zufrieden")
    expect(german.locator(".label-question")).to_have_count(0)
    open_review(german)
    expect(german.locator("#review-vote")).to_contain_text("1 zufrieden")
    next_by(german, "4", "Enter")
    next_by(german, "3", "Enter")
    german.wait_for_function(AT_REST)

    unfold(page, "labels")
    page.click("#maintain-labels .edit-labels")
    page.select_option("#labels-dialog .start-from", label="Four emotions")
    page.click("#labels-dialog .preview")
    expect(page.locator("#labels-dialog .status")).to_contain_text("0 votes would count as another label, 2 as none")
    page.select_option("#labels-dialog select[data-given=annoyed]", "anger")
    expect(page.locator("#labels-dialog .save")).to_be_disabled()
    page.click("#labels-dialog .preview")
    expect(page.locator("#labels-dialog .status")).to_contain_text("1 vote would count as another label, 1 as none")
    page.click("#labels-dialog .save")
    page.wait_for_function(SAVED)
    open_review(page)
    expect(page.locator("#review-vote label")).to_have_count(5)
    assert sorted(str(vote.label) for vote in effective_corrections(services.store)) == ["None", "anger"]

    # The other page learns of it with its next clip, and loses nothing.
    next_by(german, "2", "Enter")
    expect(german.locator("#review-vote label")).to_have_count(5)
    german.wait_for_function(AT_REST)
    german.keyboard.press("1")
    expect(german.locator("#review-vote input:checked")).to_have_value("anger")
    open_tab(page, "Recognize")
    choose(page, speech)
    wait_for_answer(page)
    expect(page.locator("#recognize-vote label")).to_have_count(5)
    expect(page.locator("#answer-card .bars li")).to_have_count(4)


class TestWithTheRealModels:
    """Nothing stood in for: recordings, models, training."""

    LABELS = ("bright", "heavy", "sharp")
    MEANT = ("happiness", "sadness", "anger")
    CLIPS = 42

    @pytest.fixture
    def services(self, tmp_path: Path, cache: Path) -> Services:
        parts = load_parts(tmp_path / "data", Settings(transcriber="none", device="cpu"))
        return replace(parts, retrainer=Retrainer(parts.active_model, spawn=as_usual_work()))

    @pytest.fixture
    def archive(self, shared_data: Path, tmp_path: Path) -> Path:
        """Clips of two women with a table of labels that are none of the seven, packed."""
        with (shared_data / "tess" / "metadata.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        folder = tmp_path / "corpus"
        folder.mkdir()
        table = ["file,label,speaker"]
        for label, meant in zip(self.LABELS, self.MEANT, strict=True):
            own = [row for row in rows if row["label"] == meant]
            for row in own[:: len(own) // self.CLIPS][: self.CLIPS]:
                source = shared_data / "tess" / row["file_name"]
                shutil.copy(source, folder / source.name)
                table.append(f"{source.name},{label},{row['speaker']}")
        (folder / "labels.csv").write_text("\n".join(table), encoding="utf-8")
        return Path(shutil.make_archive(str(tmp_path / "corpus"), "zip", folder))

    @pytest.mark.slow
    def test_from_an_empty_folder_to_a_promoted_model(self, page: Page, services: Services, archive: Path) -> None:
        page.click("#tab-review-button")
        page.click(".label-question .edit-labels")
        page.wait_for_selector(".label-row")
        for _ in range(4):
            page.click(".label-row:last-child [aria-label='remove this label']")
        for place, label in enumerate(self.LABELS, 1):
            row = f".label-row:nth-child({place})"
            page.fill(f"{row} .name input", label)
            for box in page.locator(f"{row} .meanings input:checked").all():
                box.uncheck()
        preview_and_save(page)
        assert label_set(services.store).names == self.LABELS

        unfold(page, "import")
        page.set_input_files("#import-files input[type=file]", archive)
        page.locator("#import-consent").get_by_label("training").check()
        page.click("#import-preview")
        votes = len(self.LABELS) * self.CLIPS
        expect(page.locator("#import-status")).to_contain_text(f"with {votes} votes.")
        page.click("#import-start")
        expect(page.locator("#import-status")).to_contain_text(f"{votes} votes added", timeout=300_000)
        open_review(page)
        page.click("#review-card .clip-line")  # Enter belongs to a button as long as it has the focus.
        next_by(page, "2", "Enter")
        page.wait_for_function(AT_REST)

        open_tab(page, "Recognize")
        clip = next(archive.parent.glob("corpus/*.wav"), None) or next(archive.parent.glob("corpus/*.opus"))
        choose(page, clip)
        wait_for_answer(page)
        expect(page.locator("#answer-card .unlearnt")).to_have_count(len(self.LABELS))
        page.click("#recognize-clear")
        open_tab(page, "Train")
        page.click("#retrain")
        expect(page.locator("#train-run .badge")).to_have_text("promoted", timeout=300_000)
        open_tab(page, "Recognize")
        choose(page, clip)
        wait_for_answer(page)
        expect(page.locator("#answer-card .headline .label")).to_contain_text(re.compile("|".join(self.LABELS)))
        expect(page.locator("#answer-card .unlearnt")).to_have_count(0)
