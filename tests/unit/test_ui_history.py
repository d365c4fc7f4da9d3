"""The handlers of the history tab as plain functions: who sees what, erasing, withdrawing."""

from collections.abc import Callable
from dataclasses import replace

import gradio as gr
import pytest

from annotations.errors import ClipNotFoundError
from annotations.raters.people import Access
from annotations.raters.votes import gold_labels
from annotations.store import NewVote
from annotations.store.settings import change_settings, read_settings
from ser.testing import synthetic_speech
from ui.backend.services import Services
from ui.history import HistoryHandlers
from ui.parts.errors import shows_errors

ANN = gr.Request(session_hash="ann")
LOGGED_IN = gr.Request(username="ann", session_hash="ann")
Fill = Callable[[int], None]


@pytest.fixture
def handlers(page_services: Services) -> HistoryHandlers:
    """Of a maintainer."""
    return HistoryHandlers(page_services)


@pytest.fixture
def annotators(page_services: Services) -> HistoryHandlers:
    """Of a page whose people are annotators."""
    return HistoryHandlers(replace(page_services, access=Access(role_without_login="annotator")))


def test_history_and_undo(page_services: Services, page_fill: Fill, handlers: HistoryHandlers) -> None:
    assert "Nothing has happened yet" in handlers.on_open("<ann>", ANN)[0]
    page_fill(1)
    page_services.store.add_correction(1, NewVote("<ann>", "correct", label="fear", transcript="<b>"))
    table, _ = handlers.on_open("<ann>", ANN)
    assert "&lt;ann&gt;" in table and "&lt;b&gt;" in table and "retracted" not in table
    table, said = handlers.on_undo("<ann>", ANN)
    assert "retracted" in table and "Taken back: fear on clip 1" in said
    with pytest.raises(gr.Error, match="no vote left"):
        shows_errors(handlers.on_undo)("<ann>", ANN)


def test_others_votes_are_hidden_until_voting_is_over(
    page_services: Services, page_fill: Fill, handlers: HistoryHandlers, annotators: HistoryHandlers
) -> None:
    page_fill(1)
    store = page_services.store
    store.add_correction(1, NewVote("bob", "correct", label="fear"))
    assert "bob" in handlers.on_open("mia", ANN)[0] and "bob" in str(handlers.on_clip(1, "mia", ANN)[0])
    assert "bob" not in annotators.on_open("ann", LOGGED_IN)[0] and "bob" not in str(
        annotators.on_clip(1, "ann", LOGGED_IN)[0]
    )
    store.add_correction(1, NewVote("ann", "correct", label="anger"))
    assert "ann" in annotators.on_open("ann", LOGGED_IN)[0] and "bob" not in annotators.on_open("ann", LOGGED_IN)[0]
    change_settings(store, replace(read_settings(store), overlap=2), by="mia")
    assert "bob" in annotators.on_open("ann", LOGGED_IN)[0] and "bob" in str(annotators.on_clip(1, "ann", LOGGED_IN)[0])


def test_blind_hides_the_models_answer_until_ones_own_vote(
    page_services: Services, page_fill: Fill, annotators: HistoryHandlers
) -> None:
    page_fill(1)
    store = page_services.store
    change_settings(store, replace(read_settings(store), blind=True), by="mia")
    assert "model embedded" not in str(annotators.on_clip(1, "ann", LOGGED_IN)[0])
    store.add_correction(1, NewVote("ann", "unsure", answer_shown=False))
    shown = str(annotators.on_clip(1, "ann", LOGGED_IN)[0])
    assert "model embedded" in shown and "did not see the model’s answer" in shown


def test_a_clip_is_erased_once_it_is_confirmed(
    page_services: Services, page_fill: Fill, handlers: HistoryHandlers
) -> None:
    page_fill(2)
    confirm, report = handlers.on_ask(1, "mia", ANN)
    assert confirm["value"] == "Yes, erase clip 1 for good" and "would be erased" in report  # type: ignore[index]
    assert page_services.store.get_clip(1)
    hidden, report, about = handlers.on_erase(1, "mia", ANN)
    assert "1 clips, 1 recordings" in report and about == "" and hidden == gr.update(visible=False)
    with pytest.raises(ClipNotFoundError):
        page_services.store.get_clip(1)
    assert page_services.store.get_clip(2)


def test_only_maintainers_erase_and_mark(page_services: Services, page_fill: Fill, annotators: HistoryHandlers) -> None:
    page_fill(1)
    for forbidden in (annotators.on_ask, annotators.on_erase):
        with pytest.raises(gr.Error, match="ann may not erase"):
            shows_errors(forbidden)(1, "ann", ANN)
    with pytest.raises(gr.Error, match="ann may not change settings"):
        shows_errors(annotators.on_gold)(1, "fear", "ann", ANN)
    with pytest.raises(gr.Error, match="ann may not change settings"):
        shows_errors(annotators.on_unmark)(1, "ann", ANN)
    assert page_services.store.get_clip(1) and gold_labels(page_services.store) == {}
    _, erase, withdraw, known, *_ = annotators.on_clip(1, "ann", LOGGED_IN)
    assert erase == withdraw == known == gr.update(visible=False)


def test_a_clip_becomes_gold(page_services: Services, page_fill: Fill, handlers: HistoryHandlers) -> None:
    page_fill(1)
    assert "known to be fear" in handlers.on_gold(1, "fear", "mia", ANN)
    assert gold_labels(page_services.store) == {1: "fear"}


def test_a_gold_mark_is_taken_back(page_services: Services, page_fill: Fill, handlers: HistoryHandlers) -> None:
    page_fill(2)
    handlers.on_gold(1, "fear", "mia", ANN)
    with pytest.raises(gr.Error, match="Clip 2 has no known answer"):
        shows_errors(handlers.on_unmark)(2, "mia", ANN)
    assert "Clip 1 has no known answer any more" in handlers.on_unmark(1, "mia", ANN)
    assert gold_labels(page_services.store) == {}


def test_who_consented_withdraws(page_services: Services, annotators: HistoryHandlers) -> None:
    store = page_services.store
    for seed, name in enumerate(("ann", "bob")):
        store.add_clip(synthetic_speech(0.5, seed=seed), source="page", consent=("research",), consent_by=name)
    assert annotators.on_clip(1, "ann", LOGGED_IN)[2] == gr.update(visible=True)
    with pytest.raises(gr.Error, match="only who consented"):
        shows_errors(annotators.on_withdraw)(2, "ann", LOGGED_IN)
    with pytest.raises(gr.Error, match="Nothing proves that you are bob, so you may not withdraw a consent"):
        shows_errors(annotators.on_withdraw)(2, "bob", ANN)
    assert "erased" in annotators.on_withdraw(1, "ann", LOGGED_IN)[0]
    with pytest.raises(ClipNotFoundError):
        store.get_clip(1)
    assert store.get_clip(2)


def test_a_number_that_is_no_clip_is_said(handlers: HistoryHandlers) -> None:
    with pytest.raises(gr.Error, match="Type the number of a clip"):
        shows_errors(handlers.on_clip)(None, "mia", ANN)
    with pytest.raises(gr.Error, match="no clip 9"):
        shows_errors(handlers.on_clip)(9, "mia", ANN)
