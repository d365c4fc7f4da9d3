import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from playwright.sync_api import Page, expect

from annotations.elsewhere.places import open_place
from annotations.elsewhere.saver import Saver
from annotations.raters.people import Access
from annotations.raters.votes import effective_corrections
from annotations.store import AnnotationStore, NewVote, queries
from annotations.store.settings import AnnotationSettings, change_settings, read_settings
from ser.testing import synthetic_speech
from tests.unit.stored import list_clips
from ui.backend.services import Services
from ui.maintain.import_mapping import WORD_JOINER


def open_tab(page: Page, name: str) -> None:
    page.click(f"[role=tab]:has-text('{name}')")


def unfold(page: Page, name: str) -> None:
    open_tab(page, "Manage")
    page.click(f"#maintain-{name} button >> nth=0")


def test_files_are_dropped_in(page: Page, services: Services, cache: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.wav", tmp_path / "b.wav", tmp_path / "metadata.csv"]
    for seed, path in enumerate(paths[:2]):
        soundfile.write(path, synthetic_speech(0.8, seed=seed).signal, 16_000)
    paths[2].write_text("what;felt;spoke\na.wav;Fearful;s1\nb.wav;satisfied;s2\n")
    unfold(page, "import")
    page.set_input_files("#import-files input[type=file]", paths)
    expect(page.locator("#import-files")).to_contain_text("metadata")
    expect(page.locator("#import-start")).to_be_disabled()
    page.locator("#import-consent").get_by_label("research").check()
    page.locator("#import-answer input").uncheck()
    page.click("#import-preview")
    expect(page.locator("#import-status")).to_contain_text("Choose the column of recordings below")
    for column, header in (("file", "what"), ("label", "felt"), ("speaker", "spoke")):
        page.click(f"#import-column-{column} input")
        page.get_by_role("option", name=f"{header}{WORD_JOINER}", exact=True).click()
        expect(page.locator("[role=option]")).to_have_count(0)
    page.click("#import-preview")
    expect(page.locator("#import-status")).to_contain_text("2 clips of 2 known speakers would be read, with 1 vote.")
    expect(page.locator("#import-status .tiles")).to_contain_text("51 kB")
    assert list_clips(services.store) == []
    meaning = page.locator("#import-meaning-0")
    expect(meaning).to_contain_text("satisfied (1)")
    meaning.locator("input").click()
    page.locator("[role=option]", has_text="happiness").click()
    expect(page.locator("#import-start")).to_be_disabled()
    page.click("#import-preview")
    expect(page.locator("#import-status")).to_contain_text("would be read, with 2 votes.")
    page.click("#import-start")
    expect(page.locator("#import-status")).to_contain_text("2 clips added, 0 there already, 2 votes added.")
    assert [vote.label for vote in effective_corrections(services.store)] == ["fear", "happiness"]
    assert sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) == 0
    open_tab(page, "Review")
    expect(page.locator("#review-card .review-clip")).to_be_visible()


def test_clips_are_pre_labelled_exported_and_counted(
    page: Page, services: Services, fill: Callable[[int], None], tmp_path: Path
) -> None:
    fill(2)
    services.store.add_clip(synthetic_speech(0.8, seed=50), source="import", consent=("research",))
    unfold(page, "prelabel")
    card = page.locator("#maintain-prelabel")
    expect(card).to_contain_text("2 of 3 clips have an answer of the current model")
    expect(card.locator(".prelabel-start")).to_be_enabled()
    unfold(page, "export")
    card = page.locator("#maintain-export")
    expect(card.locator(".tiles")).to_contain_text("2 for training")
    card.get_by_text("Export all clips").click()
    page.select_option("#clips-ask [name=format]", "csv")
    page.select_option("#clips-ask [name=purpose]", "training")
    with page.expect_download() as download:
        page.click("#clips-ask .confirm")
    with zipfile.ZipFile(download.value.path()) as archive:
        (table,) = [name for name in archive.namelist() if name == "clips.csv"]
        assert len(archive.read(table).decode().splitlines()) == 3
    expect(card.locator(".outcome")).to_contain_text("1 clip left out: not allowed for training.")
    unfold(page, "storage")
    card = page.locator("#maintain-storage")
    expect(card.locator(".tiles")).to_contain_text("free on the disk")
    with page.expect_download() as download:
        card.locator(".backup").click()
    with AnnotationStore(services.store.data_dir, database=Path(download.value.path())) as copy:
        assert len(list_clips(copy)) == 3
    card = page.locator("#maintain-export")
    card.locator(".tiles a", has_text="3").click()
    expect(page.locator("#clips-table tbody tr")).to_have_count(3)


def test_settings_are_changed(open_page: Callable[..., Page], services: Services) -> None:
    change_settings(services.store, AnnotationSettings(overlap=2), by="mia")
    page = open_page()
    unfold(page, "settings")
    # What the page brings along when it is opened must be there before anything is typed over it.
    overlap = page.locator("#set-overlap input")
    expect(overlap).to_have_value("2")
    overlap.fill("3")
    overlap.press("Tab")
    page.check("#set-blind input")
    expect(overlap).to_have_value("3")
    page.click("#set-save")
    expect(page.locator("#settings-status")).to_contain_text("overlap: 2 → 3")
    settings = read_settings(services.store)
    assert (settings.overlap, settings.blind, settings.retention_days) == (3, True, None)


def test_a_clip_just_saved_is_withdrawn(page: Page, services: Services, speech: Path) -> None:
    if page.locator("#recognize-audio input[type=file]").count() == 0:
        page.click("#recognize-audio button[aria-label='Upload file']")
    page.wait_for_selector("#recognize-audio input[type=file]", state="attached")
    page.set_input_files("#recognize-audio input[type=file]", speech)
    page.wait_for_selector("#save:not([disabled])")
    page.locator("#consent").get_by_label("research").check()
    page.click("#save")
    expect(page.locator("#withdraw-saved")).to_contain_text("Erase clip 1")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#withdraw-saved")
    page.wait_for_timeout(500)
    assert len(list_clips(services.store)) == 1, "not confirmed"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#withdraw-saved")
    expect(page.locator("#save-status")).to_contain_text("erased")
    assert list_clips(services.store) == []


class TestSavedElsewhere:
    @pytest.fixture
    def services(self, services: Services, tmp_path: Path) -> Iterator[Services]:
        saver = Saver(services.store, open_place(str(tmp_path / "place")), window=600.0).start()
        yield replace(services, saver=saver)
        saver.stop()

    def test_the_page_says_what_is_saved(
        self, open_page: Callable[..., Page], services: Services, fill: Callable[[int], None], tmp_path: Path
    ) -> None:
        page = open_page()
        expect(page.locator("#header .saved")).to_have_text(re.compile("saved elsewhere (just now|1 min ago)"))
        fill(1)
        unfold(page, "saving")
        table = page.locator("#saving-table")
        expect(table).to_contain_text(str(tmp_path / "place"))
        page.click("#save-now")
        expect(table).to_contain_text("All saved.")
        (tmp_path / "place").rename(tmp_path / "unplugged")
        services.store.add_correction(1, NewVote("bob", "correct", label="fear"))
        page.click("#save-now")
        expect(table).to_contain_text("Check that its disk is there")
        page.reload()
        expect(page.locator("#header .saved")).to_contain_text("not saved elsewhere")
        expect(page.locator("#header .saved")).to_contain_text("not copied: 1 change")
        (tmp_path / "unplugged").rename(tmp_path / "place")


class TestWhereOthersCome:
    @pytest.fixture
    def services(self, services: Services) -> Services:
        return replace(services, access=Access(role_without_login="annotator"))

    def test_annotators_see_no_cards_and_take_no_names(
        self, open_page: Callable[..., Page], services: Services, fill: Callable[[int], None]
    ) -> None:
        fill(3)
        first = open_page()
        open_tab(first, "Review")
        name = first.locator("#rater textarea, #rater input")
        name.fill("ann")
        name.press("Tab")
        first.wait_for_function("studioReview.state().clip !== null")
        expect(first.locator("#maintain")).to_be_hidden()
        expect(first.locator("#tab-manage-button")).to_be_hidden()
        first.keyboard.press("3")
        first.keyboard.press("Enter")
        expect(first.locator("#review-status")).to_contain_text("Saved clip")
        second = open_page(viewport={"width": 1280, "height": 900})
        open_tab(second, "Review")
        other = second.locator("#rater textarea, #rater input")
        other.fill("ann")
        other.press("Tab")
        expect(other).to_have_value("ann-2")
        vote = queries.history(services.store)[0].correction
        assert vote is not None and vote.rater == "ann"
