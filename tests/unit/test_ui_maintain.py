"""Acts of maintainers on the page: settings, roles, drag-in import, guidelines."""

import zipfile
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path

import gradio as gr
import pytest
import soundfile

from annotations.raters.people import Access, Person, identify
from annotations.raters.votes import effective_corrections
from annotations.store.settings import AnnotationSettings, read_settings
from ser.testing import synthetic_speech
from tests.unit.stored import list_clips
from ui.backend.services import Services
from ui.maintain.cards import MaintainHandlers
from ui.maintain.import_mapping import COLUMNS, KEEP, MOST_LABELS, NONE, WORD_JOINER, ImportMapping
from ui.maintain.importing import ImportForm, ImportHandlers
from ui.maintain.settings import SettingsForm
from ui.maintain.upkeep import Upkeep
from ui.parts.calls import run_act
from ui.parts.errors import shows_errors
from ui.review.guidelines import GuidelinesHandlers

MIA = gr.Request(session_hash="mia")


def offered_headers(*names: str) -> list[tuple[str, str]]:
    """Headers as they are offered: the names that people see must be no key of Gradio's own texts."""
    return [(f"{name}{WORD_JOINER}", name) for name in names]


@pytest.fixture
def annotators(page_services: Services) -> Services:
    return replace(page_services, access=Access(role_without_login="annotator"))


def test_settings_hold_and_their_changes_are_listed(page_services: Services, annotators: Services) -> None:
    sent = SettingsForm(3, 10, True, 5, 30, 50, "02:30", 4, 25, "in exports")
    shown = MaintainHandlers(page_services).on_settings(sent, "mia", MIA)
    assert shown[:-1] == astuple(sent)
    assert read_settings(page_services.store) == AnnotationSettings(
        3, 0.1, True, 5.0, 30, 50, "02:30", 4, 0.25, "export"
    )
    assert "overlap: None → 3" in str(shown[-1]) and "mia" in str(shown[-1])
    with pytest.raises(gr.Error, match="may not change settings"):
        shows_errors(MaintainHandlers(annotators).on_settings)(sent, "ann", MIA)
    with pytest.raises(gr.Error, match="lease_minutes"):
        shows_errors(MaintainHandlers(page_services).on_settings)(replace(sent, lease=0), "mia", MIA)
    assert read_settings(page_services.store).overlap == 3


def test_cards_are_for_maintainers(page_services: Services, annotators: Services) -> None:
    assert MaintainHandlers(page_services).on_load("mia", MIA)[0] == gr.update(visible=True)
    hidden, *rest = MaintainHandlers(annotators).on_load("ann", MIA)
    assert hidden == gr.update(visible=False)
    assert rest == [gr.skip()] * (len(MaintainHandlers(page_services).on_load("mia", MIA)) - 1)


def test_roles_and_names(page_services: Services, annotators: Services) -> None:
    identify(page_services.store, annotators.access, "bob", login=False, key="old browser", claim=True)
    shown = MaintainHandlers(page_services).on_role("bob", "maintainer", "mia", MIA)
    assert "bob is maintainer now" in str(shown[1])
    found = identify(page_services.store, annotators.access, "bob", login=False, key="old browser")
    assert found == Person("bob", "maintainer")
    with pytest.raises(gr.Error, match="ann may not change roles"):
        shows_errors(MaintainHandlers(annotators).on_release)("bob", "ann", MIA)
    MaintainHandlers(page_services).on_release("bob", "mia", MIA)
    assert identify(page_services.store, annotators.access, "bob", login=False, key="new", claim=True).proved


def dropped(cache: Path) -> list[str]:
    """Two loose recordings with their table, an archive with a third, as Gradio hands them over."""
    paths = []
    for number, name in enumerate(("a.wav", "b.wav", "metadata.csv", "more.zip")):
        folder = cache / f"hash{number}"
        folder.mkdir()
        paths.append(folder / name)
    for seed, path in enumerate(paths[:2]):
        soundfile.write(path, synthetic_speech(0.6, seed=seed).signal, 16_000)
    paths[2].write_text("file_name,label,speaker\na.wav,fear,s1\nb.wav,anger,s2\n")
    soundfile.write(cache / "c.wav", synthetic_speech(0.6, seed=2).signal, 16_000)
    with zipfile.ZipFile(paths[3], "w") as archive:
        archive.write(cache / "c.wav", "c.wav")
    (cache / "c.wav").unlink()
    return [str(path) for path in paths]


def test_dropped_files_are_imported_and_gone(page_services: Services, page_cache: Path) -> None:
    handlers = ImportHandlers(page_services)
    steps = list(
        handlers.on_import(
            ImportForm(dropped(page_cache), ["research"], "votes", "", ImportMapping()), False, "mia", MIA
        )
    )
    assert "3 clips added" in steps[-1][0] and "2 votes added" in steps[-1][0]
    clips = list_clips(page_services.store)
    assert [clip.speaker for clip in clips] == ["s1", "s2", None]
    assert all(clip.consent == ("research",) for clip in clips)
    assert [path for path in page_cache.rglob("*") if path.is_file()] == []


def test_an_import_that_cannot_be_says_why(page_services: Services, annotators: Services, page_cache: Path) -> None:
    files = dropped(page_cache)

    def run(files: list[str], services: Services = page_services, consent: tuple[str, ...] = ("research",)) -> None:
        handler = shows_errors(ImportHandlers(services).on_import)
        list(handler(ImportForm(files, list(consent), "votes", "", ImportMapping()), False, "ann", MIA))

    with pytest.raises(gr.Error, match="ann may not import clips"):
        run(files, annotators)
    with pytest.raises(gr.Error, match="without consent"):
        run(files, consent=())
    assert list_clips(page_services.store) == []
    # What was dropped is there still for the next try, and gone after it.
    assert all(Path(name).exists() for name in files)
    run(files)
    assert len(list_clips(page_services.store)) == 3 and not any(Path(name).exists() for name in files)
    with pytest.raises(gr.Error, match="a.wav' is not here any more"):
        run(files)
    with pytest.raises(gr.Error, match="Drop recordings"):
        run([])


def test_a_preview_asks_for_unknown_labels_and_writes_nothing(page_services: Services, page_cache: Path) -> None:
    handlers = ImportHandlers(page_services)
    files = dropped(page_cache)
    Path(files[2]).write_text("path,label,who\na.wav,satisfied,s1\nb.wav,Angry,<b>\n")

    def preview(consent: list[str], speaker: str = "", mapping: ImportMapping | None = None) -> tuple[object, ...]:
        return handlers.on_preview(ImportForm(files, consent, "votes", speaker, mapping or ImportMapping()), "mia", MIA)

    card, start, mapping, first, second, *others = preview(["research"])
    assert "3 clips of 0 known speakers would be read, with 1 vote" in str(card)
    assert "satisfied (1)" in str(card) and "columns that were not read: who" in str(card)
    assert "--" not in str(card) and start == gr.update(interactive=True)
    assert isinstance(mapping, ImportMapping) and mapping.names == ("satisfied", "Angry")
    assert (first["value"], second["value"]) == (KEEP, "anger")  # type: ignore[index]
    labels, columns = others[: MOST_LABELS - 2], others[MOST_LABELS - 2 :]
    assert all(other == gr.update(visible=False) for other in labels)
    shown = dict(zip(COLUMNS, columns, strict=True))
    assert shown["file"] == gr.update(
        visible=True, choices=[NONE, *offered_headers("path", "label", "who")], value="path"
    )
    assert shown["label"]["value"] == "label" and shown["speaker"]["value"] == NONE  # type: ignore[index]
    assert preview([])[1] == gr.update(interactive=False) and list_clips(page_services.store) == []
    headers = ["path", "label", "who", NONE, NONE, NONE, NONE]
    values = ["happiness", KEEP, *[None] * (MOST_LABELS - 2), *headers]
    mapping, start = handlers.on_mapping(mapping, *values)
    assert mapping.columns == {"speaker": "who"}, "what was found is no choice of a person"
    assert start == gr.update(interactive=False)
    card, start, *_ = preview(["research"], "", mapping)
    assert "3 clips of 2 known speakers" in str(card) and "satisfied → happiness (1)" in str(card)
    list(handlers.on_import(ImportForm(files, ["research"], "votes", "", mapping), False, "mia", MIA))
    (vote,) = effective_corrections(page_services.store)
    assert (vote.label, vote.rater[:7]) == ("happiness", "import:")
    assert [clip.speaker for clip in list_clips(page_services.store)] == ["s1", "<b>", None]
    assert handlers.on_files()[:3] == ("", gr.update(interactive=False), ImportMapping())


def test_a_table_of_unknown_columns_is_mapped_by_hand(page_services: Services, page_cache: Path) -> None:
    handlers, files = ImportHandlers(page_services), dropped(page_cache)
    Path(files[2]).write_text("what,sounds like,label,id\na.wav,fear,x,7\nb.wav,anger,y,8\n".replace("id", "sort"))

    def preview(mapping: ImportMapping) -> tuple[object, ...]:
        return handlers.on_preview(ImportForm(files, ["research"], "votes", "", mapping), "mia", MIA)

    card, start, mapping, *choices = preview(ImportMapping())
    assert "has the columns what, sounds like, label, sort" in str(card) and "Choose the column of" in str(card)
    assert start == gr.update(interactive=False) and isinstance(mapping, ImportMapping)
    file = choices[MOST_LABELS]
    offered = [NONE, *offered_headers("what", "sounds like", "label", "sort")]
    assert file == gr.update(visible=True, choices=offered, value=NONE)
    chosen = ["what", "sounds like", NONE, NONE, NONE, NONE, NONE]
    mapping, _ = handlers.on_mapping(mapping, *[None] * MOST_LABELS, *chosen)
    card, start, mapping, *_ = preview(mapping)
    assert "3 clips of 0 known speakers would be read, with 2 votes" in str(card) and start["interactive"]  # type: ignore[index]
    mapping, _ = handlers.on_mapping(mapping, *[None] * MOST_LABELS, "what", NONE, *chosen[2:])  # type: ignore[arg-type]
    assert "with 0 votes" in str(preview(mapping)[0]), "a column that was taken for labels is let go"


def test_speakers_come_from_the_names_of_files(page_services: Services, page_cache: Path) -> None:
    handlers = ImportHandlers(page_services)
    sent = ImportForm(dropped(page_cache), ["research"], "nothing", r"^(\w)\.wav", ImportMapping())
    card, *_ = handlers.on_preview(sent, "mia", MIA)
    assert "3 clips of 3 known speakers would be read, with 0 votes" in str(card)
    assert "2 labels were not counted" in str(card)


def test_a_mistake_of_the_program_is_said_in_a_sentence_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def handler() -> None:
        raise ZeroDivisionError("secret")

    def generator() -> Iterator[int]:
        yield 1
        raise KeyError("secret")

    with pytest.raises(gr.Error, match="The program made a mistake .ZeroDivisionError.*Load the page again"):
        shows_errors(handler)()
    steps = shows_errors(generator)()
    assert next(steps) == 1
    with pytest.raises(gr.Error, match="KeyError") as error:
        next(steps)
    assert "secret" not in str(error.value.message) and caplog.text.count("Traceback") == 2


def test_guidelines_are_read_by_all_and_edited_by_maintainers(page_services: Services, annotators: Services) -> None:
    acts = GuidelinesHandlers(page_services).acts()
    first = run_act(acts, "guidelines", {"who": "mia"}, MIA)
    assert first["version"] == 0 and "<table>" in str(first["html"]) and first["editable"] is True
    text = "# Ours\n<script>alert(1)</script>\n[x](javascript:alert(1))"
    saved = run_act(acts, "write_guidelines", {"who": "mia", "text": text, "replaces": 0}, MIA)
    assert (
        saved["version"] == 1 and "<script" not in str(saved["html"]) and 'href="javascript' not in str(saved["html"])
    )
    assert run_act(acts, "guidelines", {"who": "mia", "version": 0}, MIA)["text"] == first["text"]
    others = GuidelinesHandlers(annotators).acts()
    read = run_act(others, "guidelines", {"who": "ann"}, MIA)
    assert read["editable"] is False and read["versions"] == [] and "Ours" in str(read["html"])
    refused = run_act(others, "write_guidelines", {"who": "ann", "text": "x", "replaces": 1}, MIA)
    assert "ann may not edit the guidelines" in str(refused["error"])


def test_upkeep_erases_what_is_past_its_time(page_services: Services) -> None:
    store = page_services.store
    store.add_clip(synthetic_speech(0.5, seed=1), source="test")
    with store.database.writing() as connection:
        connection.execute("UPDATE clips SET created_at = '2020-01-01T00:00:00.000000+00:00'")
    MaintainHandlers(page_services).on_settings(SettingsForm(0, 0, False, 5, 30, 0, "", 0, 50, "no"), "mia", MIA)
    upkeep = Upkeep(page_services).start()
    for _ in range(100):
        if not list_clips(store):
            break
        upkeep.wait(0.05)
    upkeep.stop()
    assert list_clips(store) == []


def test_a_space_without_a_store_elsewhere_says_that_all_is_lost(
    page_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "saved" not in page_services.header()
    monkeypatch.setenv("SPACE_ID", "ann/studio")
    assert "Everything stored here is lost when this Space restarts" in page_services.header()
