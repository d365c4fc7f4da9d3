"""The handlers of the versions' part of the training tab as plain functions."""

from collections.abc import Callable

import gradio as gr
import pytest

from annotations.store import AnnotationStore, queries
from annotations.store.new_records import NewVersion
from annotations.store.rows import insert_version
from ser.errors import SerError
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.train.versions import VersionHandlers, in_place

ANN = gr.Request(session_hash="ann")


METRICS = {
    "before": {"uar": 0.58, "recall": {"anger": 0.5, "neutral": 0.7}},
    "after": {"uar": 0.60, "recall": {"anger": 0.58, "neutral": 0.69}},
    "gain": 0.02,
    "interval": [-0.01, 0.05],
    "speakers": 4,
    "unit": "speaker",
    "base": {"what": "base test", "count": 420, "before": 0.81, "after": 0.807},
    "gold": None,
    "needed": {"held_out_clips": 12, "speakers": 2, "labelled_clips": 48},
}


def refused_version(store: AnnotationStore) -> int:
    """Id of a version that the comparison did not promote."""
    run = store.queue_training_run({}, store.active_version().id, "ann", target="acoustic", preset="quick")
    store.begin_training_run(
        run.id, config={}, base_version_id=store.active_version().id, correction_ids=[], snapshot_sha256="0" * 64
    )
    figures = NewVersion("v2", "1" * 64, "models/v2")
    version_id = store.finish_training_run(run.id, "refused", METRICS, "Refused: no better.", figures).new_version_id
    assert version_id is not None
    return version_id


@pytest.fixture
def refused(page_services: Services) -> int:
    return refused_version(page_services.store)


def test_a_refused_version_is_used_only_with_a_reason(page_services: Services, refused: int) -> None:
    versions = VersionHandlers(page_services)
    with pytest.raises(gr.Error, match="did not promote v2"):
        shows_errors(versions.on_use)(refused, "  ", "ann", ANN)
    assert page_services.store.active_version().id != refused
    versions.on_use(refused, "our voices <b>", "ann", ANN)
    assert page_services.store.active_version().id == refused
    assert "against the comparison: our voices &lt;b&gt;" in versions.table()


def test_two_versions_side_by_side(page_services: Services, refused: int, page_fill: Callable[[int], None]) -> None:
    page_fill(3)
    versions, base = VersionHandlers(page_services), page_services.store.active_version().id
    card = versions.on_compare(refused, base, "ann", ANN)
    assert "of 3 answers differ" in card and "; 0 of the clips have votes" in card
    changed = card.count("<audio")
    assert changed > 0
    assert changed == card.count("→") - 1  # The title has one of its own.
    with pytest.raises(SerError, match="two different"):
        versions.on_compare(base, base, "ann", ANN)


def words_version(store: AnnotationStore, name: str, path: str | None) -> int:
    """Id of a version of the text model."""
    with store.database.writing() as connection:
        return insert_version(connection, NewVersion(name, "3" * 64, path or ""), "text")


def test_what_can_be_done_follows_the_chosen_version(page_services: Services, refused: int) -> None:
    versions, store = VersionHandlers(page_services), page_services.store
    words = words_version(store, "w2", "models/w2")
    base = store.active_version().id
    choices = versions.choices(words)
    assert choices.against["choices"] == [] and choices.compare == gr.update(interactive=False)  # type: ignore[index]
    assert choices.push == gr.update(interactive=True) and choices.choice != gr.skip()
    assert versions.on_choose(words).choice == gr.skip()
    used = versions.choices(base)
    assert used.against["value"] == refused and used.push == gr.update(interactive=False)  # type: ignore[index]
    with pytest.raises(SerError, match="no text version to go back to"):
        versions.on_roll_back(words, "", "ann", ANN)


def test_what_could_not_be_done_is_said_and_a_reason_serves_once(page_services: Services, refused: int) -> None:
    versions = VersionHandlers(page_services)
    use = in_place(versions.on_use, gives_reason=True)
    html, text, reason = use(refused, " ", "ann", ANN)
    assert 'role="alert"' in str(html) and "did not promote v2" in str(html) and (text, reason) == ("", gr.skip())
    html, text, reason = use(refused, "our voices", "ann", ANN)
    assert "v2 is in use" in str(html) and (text, reason) == ("", "")


def test_a_model_card_is_read_without_what_is_meant_for_the_hub(page_services: Services, refused: int) -> None:
    head, text = VersionHandlers(page_services).on_card(refused)
    assert 'download="README.md"' in head and text.startswith("### v2\n") and "library_name" not in text
    shipped = words_version(page_services.store, "text embedded", None)
    assert "GoEmotions" in VersionHandlers(page_services).on_card(shipped)[1]


def test_the_hub_out_of_reach_is_said_and_changes_nothing(
    page_services: Services, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotations.exchange.exports.publishing.hub_reachable", lambda: False)
    monkeypatch.setattr("annotations.learning.versions.hub.check_weights", lambda store, version: None)
    versions, before = VersionHandlers(page_services), len(queries.list_versions(page_services.store))
    with pytest.raises(SerError, match="Name the repository"):
        versions.on_pull(" ", "ann", ANN)
    with pytest.raises(SerError, match="cannot be reached from here"):
        versions.on_pull("me/model", "ann", ANN)
    (page_services.store.data_dir / "models/v2").mkdir(parents=True)
    (page_services.store.data_dir / "models/v2/model.safetensors").write_bytes(b"")
    with pytest.raises(SerError, match="cannot be reached from here"):
        versions.on_push(refused, "me/model", "ann", ANN)
    assert len(queries.list_versions(page_services.store)) == before
