"""Labels changed while the page runs: preview, mapping and back, first question, translations, the queue's orders."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from starlette.requests import Request

from annotations.cli import main
from annotations.errors import InvalidSettingError
from annotations.labels.files import parse_labels, to_plain
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.labels.stored import Move, change_label_set, label_set, list_label_sets, preview_label_set
from annotations.raters.people import Access
from annotations.raters.votes import effective_corrections
from annotations.review.queue import QueueOrder
from annotations.store import AnnotationStore, NewVote
from tests.unit.queued import add, page, predict, scores, vote
from ui.backend.services import Services
from ui.maintain.labels import TEMPLATES, LabelHandlers
from ui.parts.calls import run_act
from ui.recognize.tab import RecognizeHandlers

MIA = gr.Request(session_hash="mia")

SERVICE: list[dict[str, object]] = [
    {"name": "satisfied", "means": "happiness", "names": {"de": "zufrieden"}},
    {"name": "annoyed", "means": ["anger", "disgust"]},
    {"name": "confused"},
]


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    opened = AnnotationStore(tmp_path / "own")
    opened.ensure_base_version("embedded", "a" * 64)
    return opened


def labels_of(*rows: dict[str, object], **mapping: str) -> LabelSet:
    return parse_labels({"labels": list(rows), "mapping": mapping})


def call(services: Services, act: str, **given: object) -> dict[str, object]:
    return run_act(LabelHandlers(services).acts(), act, {"who": "mia", **given}, MIA)


def german() -> gr.Request:
    scope = {"type": "http", "headers": [(b"accept-language", b"de-CH,en;q=0.8")]}
    return gr.Request(request=Request(scope), session_hash="mia")


# Votes move, and move back


def test_a_change_is_previewed_made_and_taken_back(store: AnnotationStore) -> None:
    for seed, label in enumerate(("anger", "surprise", "surprise", "happiness")):
        vote(store, add(store, seed), "ann", label)
    service = labels_of(*SERVICE)
    joined, moves = preview_label_set(store, service)
    assert label_set(store) == DEFAULT and joined == service
    assert moves[0] == Move("surprise", 2, "surprise", None)
    assert {move.given: move.after for move in moves[1:]} == {"anger": "annoyed", "happiness": "satisfied"}
    change_label_set(store, replace(service, mapping={"surprise": "confused"}), by="mia", replaces=0)
    assert [given.label for given in effective_corrections(store)] == ["annoyed", "confused", "confused", "satisfied"]
    with pytest.raises(InvalidSettingError, match="Somebody else has changed the labels"):
        change_label_set(store, service, by="bob", replaces=0)
    # Without the mapping of before, only if that is asked for.
    assert preview_label_set(store, service)[1][0].after == "confused"
    change_label_set(store, service, by="mia", forget=["surprise"])
    assert [given.label for given in effective_corrections(store)] == ["annoyed", None, None, "satisfied"]
    change_label_set(store, list_label_sets(store)[-1].labels, by="mia")
    change_label_set(store, DEFAULT, by="mia")
    assert [given.label for given in effective_corrections(store)] == ["anger", "surprise", "surprise", "happiness"]


def test_the_command_shows_what_would_move(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with AnnotationStore(tmp_path / "data") as store:
        vote(store, add(store, 0), "ann", "surprise")
    data, path = str(tmp_path / "data"), tmp_path / "labels.toml"
    path.write_text('[[labels]]\nname = "calm"\n\n[[labels]]\nname = "tense"\n', encoding="utf-8")
    assert main(["--data-dir", data, "labels", str(path), "--dry-run"]) == 1
    assert "1 vote for 'surprise': kept, would not count." in capsys.readouterr().out
    assert main(["--data-dir", data, "labels", str(path), "--map", "surprise=tense", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["moves"][0]["after"] == "tense"
    with AnnotationStore(tmp_path / "data") as store:
        assert label_set(store) == DEFAULT


# The page


def test_the_editor_previews_fills_in_and_saves(page_services: Services, page_fill: Callable[[int], None]) -> None:
    page_fill(2)
    page_services.store.add_correction(1, NewVote("ann", "correct", label="surprise"))
    opened = call(page_services, "edit_labels")
    assert opened["version"] == 0 and len(opened["labels"]) == 7 and "Nobody has chosen" in str(opened["said"])  # type: ignore[arg-type]
    shown = call(page_services, "preview_labels", labels=SERVICE, mapping={"surprise": "confused"})
    assert [row["key"] for row in shown["labels"]] == ["1", "2", "3"]  # type: ignore[attr-defined]
    assert "1 vote would count as another label" in str(shown["said"]) and "confused" in str(shown["said"])
    assert label_set(page_services.store) == DEFAULT
    saved = call(page_services, "change_labels", labels=shown["labels"], mapping={"surprise": "confused"}, replaces=0)
    assert saved["version"] == page_services.label_version == 1
    again = call(page_services, "change_labels", labels=SERVICE, replaces=0)
    assert "Somebody else has changed" in str(again["error"])
    assert call(page_services, "preview_labels", labels=SERVICE, mapping={"surprise": ""})["moves"] == [
        {"given": "surprise", "votes": 1, "own": False, "mapped": None, "place": None}
        | {"words": "1 vote for 'surprise': kept, would not count."}
    ]
    call(page_services, "change_labels", default=True, replaces=1)
    assert label_set(page_services.store).is_default and len(call(page_services, "edit_labels")["earlier"]) == 1  # type: ignore[arg-type]
    wrong = call(page_services, "preview_labels", labels=[{"name": "calm"}])
    assert "has 1 labels; expected 2 to 20" in str(wrong["error"])


def test_every_template_is_a_label_set() -> None:
    for rows in TEMPLATES.values():
        assert len(parse_labels({"labels": list(rows)})) == len(rows)


def test_a_maintainer_of_an_empty_store_is_asked_once(
    page_services: Services, page_fill: Callable[[int], None]
) -> None:
    annotators = replace(page_services, access=Access(role_without_login="annotator"))
    assert "seven emotions" in LabelHandlers(page_services).on_question("mia", MIA)
    assert LabelHandlers(annotators).on_question("ann", MIA) == ""
    call(page_services, "change_labels", default=True, replaces=0)
    assert label_set(page_services.store) == DEFAULT
    assert LabelHandlers(page_services).on_question("mia", MIA) == ""


def test_a_store_with_clips_asks_nothing(page_services: Services, page_fill: Callable[[int], None]) -> None:
    page_fill(1)
    assert LabelHandlers(page_services).on_question("mia", MIA) == ""


def test_labels_are_shown_in_the_language_of_the_browser(page_services: Services) -> None:
    service = change_label_set(page_services.store, labels_of(*SERVICE), by="mia")
    assert service.texts("de-CH")["satisfied"] == "zufrieden" and service.texts("fr")["satisfied"] == "satisfied"
    drawn = LabelHandlers(page_services).on_labels({}, german())
    assert 'value="satisfied"><span>1 zufrieden' in str(drawn["votes"]) and "choose zufrieden" in str(drawn["row"])
    assert drawn["keys"] == ["1", "2", "3", "u"] and "share of zufrieden" in str(drawn["shares"])
    form = RecognizeHandlers(page_services).on_labels(None, german())
    assert form.vote["choices"][0] == ("1 zufrieden", "satisfied")  # type: ignore[index]
    assert ">zufrieden</span>" in str(form.card) and "not counted" not in str(form.card)


# The queue


def test_orders_are_by_the_labels_of_the_store(store: AnnotationStore) -> None:
    torn, sure, far = (add(store, seed) for seed in range(3))
    predict(store, torn, scores(anger=0.5, disgust=0.5))
    predict(store, sure, scores(happiness=0.7, anger=0.2))
    predict(store, far, scores(surprise=1.0), scores(surprise=0.1, anger=0.9))
    for rater, first, second in (("bob", "anger", "anger"), ("cid", "disgust", "happiness")):
        vote(store, torn, rater, first)
        vote(store, sure, rater, second)
    assert page(store, QueueOrder.SMALLEST_MARGIN)[0] == torn
    assert page(store, QueueOrder.MOST_DISPUTED)[:2] == [torn, sure]
    change_label_set(store, labels_of(*SERVICE), by="mia")
    # Two emotions that are one label here leave no doubt, and no dispute; of surprise no label knows anything.
    assert page(store, QueueOrder.SMALLEST_MARGIN) == [sure, torn, far]
    assert page(store, QueueOrder.LEAST_CERTAIN) == [sure, torn, far]
    assert page(store, QueueOrder.MOST_DISPUTED) == [sure, torn, far]
    vote(store, far, "bob", "anger")
    vote(store, far, "cid", "happiness")
    vote(store, far, "dan", "happiness")
    assert set(page(store, QueueOrder.MOST_DISPUTED)[:2]) == {sure, far}
    change_label_set(store, DEFAULT, by="mia")
    assert page(store, QueueOrder.SMALLEST_MARGIN)[0] == torn
    assert to_plain(label_set(store)) == to_plain(DEFAULT)
