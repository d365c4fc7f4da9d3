"""The registry of versions: their facts, the way to use, the way back, and what is kept."""

import json
from pathlib import Path

import pytest

from annotations.cli import main
from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning.versions.card import CARD, RECORD, write_card
from annotations.learning.versions.registry import (
    active_versions,
    find_version,
    list_entries,
    list_promotions,
    promote_version,
    roll_back,
    votes_of,
)
from annotations.learning.versions.retention import remove_old_weights
from annotations.store import AnnotationStore, NewVote
from annotations.store.new_records import NewVersion
from annotations.store.records import ModelVersion
from ser.checkpoints.folder import weights_sha256
from ser.errors import ModelUnavailableError
from tests.unit.stored import begin_run, recording
from ui.train.version_cards import versions_table

REFUSAL = "Refused: the gain may be chance, +1.0 points; old skills were not tested."
METRICS = {"before": {"uar": 0.5, "recall": {"fear": 0.5}}, "after": {"uar": 0.6, "recall": {"fear": 0.7}}}


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    store = AnnotationStore(tmp_path / "data")
    store.ensure_base_version("embedded", "e" * 64)
    return store


def learn(store: AnnotationStore, status: str = "promoted", reason: str = "Promoted: +5.0 points.") -> ModelVersion:
    """A run as the training process records it, with a file of weights that is one's own."""
    number = len(list_entries(store))
    clip = store.add_clip(recording(number), source="test", consent=("training",))
    vote = store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
    base = store.active_version()
    run = begin_run(
        store, base.id, "ann", [vote.id], config={"seed": 3, "base": "/somewhere/else"}, git_commit="c0ffee"
    )
    name = f"v{number + 1}"
    folder = store.data_dir / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(f"weights of {name}".encode())
    made = NewVersion(name, weights_sha256(folder), f"models/{name}")
    store.finish_training_run(run.id, status, METRICS, reason, made)
    return find_version(store, name)


def test_the_list_says_where_each_version_comes_from(store: AnnotationStore) -> None:
    version = learn(store)
    entry, base = list_entries(store)
    assert entry.version == version and entry.in_use and not base.in_use
    assert (entry.parent, entry.decision, entry.reason, entry.votes) == (
        "embedded",
        "promoted",
        "Promoted: +5.0 points.",
        1,
    )
    listed = entry.as_dict()
    assert listed["lineage"]["git_commit"] == "c0ffee" and listed["lineage"]["seed"] == 3  # type: ignore[index]
    assert listed["metrics"] == METRICS and votes_of(store, version) == [1]
    assert active_versions(store) == {"acoustic": version}


def test_a_refused_version_needs_a_reason_which_is_kept(store: AnnotationStore) -> None:
    version = learn(store, "refused", REFUSAL)
    with pytest.raises(StoreError) as error:
        promote_version(store, version, by="ann", reason="  ")
    assert str(error.value) == (
        f"The comparison did not promote v2 ({REFUSAL[:-1]}). To promote it all the same, give a reason "
        "(--reason TEXT on the command line); it is kept."
    )
    assert store.active_version().name == "embedded"
    promotion = promote_version(store, version, by="ann", reason="our own test set says otherwise")
    assert promotion.overrides and promotion.promoted_by == "ann"
    assert list_entries(store)[0].override == "our own test set says otherwise"
    again = learn(store)
    assert not list_promotions(store)[-1].overrides and store.active_version() == again


def test_rolling_back_goes_one_further_each_time(store: AnnotationStore) -> None:
    for _ in range(3):
        learn(store)
    assert [store.active_version().name] + [_back(store) for _ in range(3)] == ["v4", "v3", "v2", "embedded"]
    with pytest.raises(VersionNotFoundError, match="no acoustic version to go back to from embedded"):
        roll_back(store, by="ann")
    promote_version(store, find_version(store, "v4"), by="ann")
    assert _back(store) == "embedded"


def test_back_from_a_version_chosen_by_hand_is_where_one_was(store: AnnotationStore) -> None:
    for _ in range(2):
        learn(store)
    promote_version(store, find_version(store, "embedded"), by="ann")
    assert _back(store) == "v3" and _back(store) == "v2"


def test_damaged_or_missing_weights_are_not_promoted(store: AnnotationStore) -> None:
    version = learn(store, "refused", REFUSAL)
    weights = store.data_dir / "models" / version.name / "model.safetensors"
    weights.write_bytes(b"something else")
    with pytest.raises(ModelUnavailableError, match="are not those that were recorded"):
        promote_version(store, version, by="ann", reason="why not")
    weights.unlink()
    weights.parent.rmdir()
    with pytest.raises(ModelUnavailableError, match="are gone"):
        promote_version(store, version, by="ann", reason="why not")
    assert store.active_version().name == "embedded"


def test_networks_of_earlier_versions_are_shown_and_cannot_be_used(store: AnnotationStore) -> None:
    version = learn(store, status="refused")
    folder = store.data_dir / "models" / version.name
    (folder / "config.json").write_text('{"model_type": "ser_acoustic"}')
    entry, base = list_entries(store)
    assert entry.retired and not entry.can_be_used and entry.as_dict()["retired"] is True
    assert not base.retired and "retired: a network of an earlier version" in versions_table([entry, base])
    (folder / "config.json").unlink()
    assert list_entries(store)[0].can_be_used


def test_old_weights_go_and_records_and_cards_stay(store: AnnotationStore) -> None:
    versions = [learn(store) for _ in range(6)]
    write_card(store, versions[0])
    removed = remove_old_weights(store, 2)
    # v7 is in use and v6 both its parent and the way back; of the others none is needed.
    assert {version.name for version in removed} == {"v2", "v3", "v4", "v5"}
    entries = {entry.version.name: entry.version for entry in list_entries(store)}
    assert len(entries) == 7 and entries["v2"].weights_removed_at and not entries["v6"].weights_removed_at
    folder = store.data_dir / "models" / "v2"
    assert not (folder / "model.safetensors").exists() and (folder / CARD).is_file()
    with pytest.raises(ModelUnavailableError, match="were removed on"):
        promote_version(store, entries["v2"], by="ann")
    assert remove_old_weights(store, 2) == []
    assert _back(store) == "v6" and _back(store) == "embedded"
    with pytest.raises(StoreError, match="at least 1 is needed"):
        remove_old_weights(store, 0)


def test_a_run_under_way_keeps_the_version_it_starts_from(store: AnnotationStore) -> None:
    first = learn(store)
    run = begin_run(store, first.id, "ann")
    for _ in range(1):
        promote_version(store, find_version(store, "embedded"), by="ann")
    assert remove_old_weights(store, 1) == []
    store.finish_training_run(run.id, "failed", {}, "out of luck")


def test_the_card_says_what_it_is_made_of_and_names_nobody(store: AnnotationStore) -> None:
    version = learn(store, "refused", REFUSAL)
    promote_version(store, version, by="ann", reason="needed for a test")
    card = write_card(store, version).read_text()
    header = card.split("---")[1]
    assert "license: cc-by-nc-sa-4.0" in header and "pipeline_tag: audio-classification" in header
    for said in (REFUSAL, "needed for a test", "c0ffee", "seed: 3", "votes: 1", "| uar | 0.5 | 0.6 |", version.sha256):
        assert said in card
    assert "| recall of fear (None) | 0.5 | 0.7 |" in card
    assert "ann" not in card.replace("annot", "") and "/somewhere" not in card
    record = json.loads((store.data_dir / "models" / "v2" / RECORD).read_text())
    assert record["target"] == "acoustic" and record["decision"] == "refused"
    with pytest.raises(StoreError, match="has its own card there"):
        write_card(store, find_version(store, "embedded"))


def test_the_commands(store: AnnotationStore, capsys: pytest.CaptureFixture[str]) -> None:
    learn(store, "refused", REFUSAL)

    def run(*words: str) -> tuple[int, dict]:
        code = main(["--data-dir", str(store.data_dir), *words, "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else {"error": said.err}

    code, listed = run("versions")
    assert code == 0 and [v["name"] for v in listed["versions"]] == ["v2", "embedded"]
    assert [v["in_use"] for v in listed["versions"]] == [False, True]
    assert listed["versions"][0]["lineage"]["git_commit"] == "c0ffee"
    assert run("versions", "show", "v2")[1]["vote_ids"] == [1]
    code, refused = run("promote", "v2")
    assert code == 2 and "did not promote v2" in refused["error"]
    assert run("promote", "v2", "--reason", "because")[1] == {
        "version": "v2",
        "target": "acoustic",
        "overrides": True,
        "reason": "because",
    }
    assert run("rollback")[1]["version"] == "embedded"
    assert run("rollback")[0] == 2
    assert run("promote", "v9")[1]["error"].startswith("There is no model version 'v9'. There are v2, embedded.")
    assert run("versions", "prune", "--keep", "3")[1] == {"removed": []}
    main(["--data-dir", str(store.data_dir), "versions"])
    assert "promoted all the same: because" in capsys.readouterr().out


def _back(store: AnnotationStore) -> str:
    return store.get_model_version(roll_back(store, by="ann").model_version_id).name
