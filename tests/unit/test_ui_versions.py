"""The handlers of the versions' part of the training tab as plain functions."""

import re
from collections.abc import Callable

import gradio as gr
import pytest

from annotations.store import AnnotationStore, NewVote, queries
from annotations.store.new_records import NewVersion
from annotations.store.rows import insert_version
from ser.errors import SerError
from tests.unit.forked_workers import wait_for
from ui.backend.services import Services
from ui.train.versions import VersionHandlers

ANN = gr.Request(session_hash="ann")


def given(**values: object) -> dict[str, object]:
    """As a browser sends it."""
    return {"who": "ann", **values}


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
    assert 'data-id="2" data-asks=reason>Use<' in versions.table()
    with pytest.raises(SerError, match="did not promote v2"):
        versions.on_use(given(version=refused, reason="  "), ANN)
    assert page_services.store.active_version().id != refused
    assert "v2 is in use" in versions.on_use(given(version=refused, reason="our voices <b>"), ANN)
    assert page_services.store.active_version().id == refused
    table = versions.table()
    assert "against the comparison: our voices &lt;b&gt;" in table and "Roll back to embedded" in table
    assert "in use again" in versions.on_roll_back(given(version=refused), ANN)


def test_two_versions_side_by_side(page_services: Services, refused: int, page_fill: Callable[[int], None]) -> None:
    page_fill(3)
    versions, base = VersionHandlers(page_services), page_services.store.active_version().id
    page_services.store.add_correction(1, NewVote("bob", "correct", label="fear"))
    begun = versions.on_compare(given(version=refused, against=base), ANN)
    job = page_services.jobs.get(str(begun["job"]), "ann")
    wait_for(lambda: job.state != "running")
    card = job.html
    assert job.state == "done" and job.done == job.total == 9
    assert "of 3 answers differ" in card and "; clips with votes: 1, " in card
    changed = card.count('<th scope="row"><a href="?clip=')
    assert changed > 0 and f"see all {changed} in the table" in card
    assert "Confusions before and after" in card and card.count('class="heat"') == 2
    with pytest.raises(SerError, match="two different"):
        versions.on_compare(given(version=base, against=base), ANN)


def words_version(store: AnnotationStore, name: str, path: str | None) -> int:
    """Id of a version of the text model."""
    with store.database.writing() as connection:
        return insert_version(connection, NewVersion(name, "3" * 64, path or ""), "text")


def test_what_can_be_done_stands_in_the_row(page_services: Services, refused: int) -> None:
    versions, store = VersionHandlers(page_services), page_services.store
    words = words_version(store, "w2", "models/w2")
    base = store.active_version().id
    rows = {row.partition('"')[0]: row for row in versions.table().split('data-version="')[1:]}
    acts = {name: re.findall(r'data-version-act="(\w+)"', row) for name, row in rows.items()}
    assert acts == {
        "w2": ["use", "card", "push"],
        "v2": ["use", "compare", "card", "push"],
        "embedded": ["compare", "card"],
    }
    assert f"[[{refused}, " in rows["embedded"] and f"[[{base}, " in rows["v2"]
    with pytest.raises(SerError, match="no text version to go back to"):
        versions.on_roll_back(given(version=words), ANN)
    with pytest.raises(SerError, match="Choose a version first"):
        versions.on_use(given(), ANN)


def test_a_model_card_is_read_without_what_is_meant_for_the_hub(page_services: Services, refused: int) -> None:
    card = VersionHandlers(page_services).on_card(given(version=refused), ANN)
    assert 'download="README.md"' in card and "<h3>v2</h3>" in card and "library_name" not in card
    shipped = words_version(page_services.store, "text embedded", None)
    assert "GoEmotions" in VersionHandlers(page_services).on_card(given(version=shipped), ANN)


def test_the_hub_out_of_reach_is_said_and_changes_nothing(
    page_services: Services, refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotations.exchange.exports.publishing.hub_reachable", lambda: False)
    monkeypatch.setattr("annotations.learning.versions.hub.check_weights", lambda store, version: None)
    versions, before = VersionHandlers(page_services), len(queries.list_versions(page_services.store))
    with pytest.raises(SerError, match="Name the repository"):
        versions.on_pull(given(repository=" "), ANN)
    with pytest.raises(SerError, match="cannot be reached from here"):
        versions.on_pull(given(repository="me/model"), ANN)
    (page_services.store.data_dir / "models/v2").mkdir(parents=True)
    (page_services.store.data_dir / "models/v2/model.safetensors").write_bytes(b"")
    with pytest.raises(SerError, match="cannot be reached from here"):
        versions.on_push(given(version=refused, repository="me/model"), ANN)
    assert len(queries.list_versions(page_services.store)) == before
