"""The list of clips: what each filter finds, who may see what, the orders, and changes to many clips at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from annotations.errors import ConsentRequiredError
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.registry import list_exports
from annotations.maintenance import batch
from annotations.raters.people import NotAllowedError, Person
from annotations.raters.votes import gold_labels
from annotations.review.clip_filters import ClipFilter
from annotations.review.queue import next_clip
from annotations.review.table import find_clips, read_rows
from annotations.store import AnnotationStore, NewVote
from annotations.store.settings import change_settings, read_settings
from tests.unit.stored import answer, recording

CHIEF = Person("mia", "maintainer", proved=True)
ANN = Person("ann", "annotator", proved=True)
VAL = Person("val", "visitor", proved=True)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with filled(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def lasting_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnnotationStore]:
    """For tests that only look."""
    with filled(tmp_path_factory.mktemp("lasting")) as opened:
        yield opened


@contextmanager
def filled(folder: Path) -> Iterator[AnnotationStore]:
    """Six clips: speakers a and b, answers fear and anger, votes by ann and bob, one of them hasty."""
    with AnnotationStore(folder / "data") as opened:
        version = opened.ensure_base_version("embedded", "0" * 64)
        for seed in range(6):
            clip = opened.add_clip(
                recording(seed),
                source="corpus" if seed < 3 else "page",
                speaker="ab"[seed % 2] if seed < 5 else None,
                consent=("research", "training") if seed < 4 else ("research",),
                consent_by="val" if seed == 5 else "ann",
            )
            if seed != 4:
                said = answer(("fear", "anger")[seed % 2], 0.3 + seed / 20)
                opened.add_prediction(clip.id, said, version.id)
        with opened.database.writing() as connection:
            connection.execute("UPDATE clips SET original_name = 'Actor_07/take-1.wav' WHERE id = 2")
        for clip_id, rater, label, seconds in (
            (1, "ann", "fear", 0.1),
            (1, "bob", "anger", 3.0),
            (2, "ann", "anger", 3.0),
            (3, "bob", "fear", 3.0),
        ):
            opened.add_correction(clip_id, NewVote(rater, "correct", label=label, seconds=seconds))
        opened.add_correction(4, NewVote("ann", "unsure", comment="100% noise_"))
        opened.add_correction(2, NewVote("bob", "correct", label="anger", comment="a door slams"))
        yield opened


def found(store: AnnotationStore, person: Person = CHIEF, order: str = "stored", **filters: object) -> list[int]:
    ids = find_clips(store, person, ClipFilter(**filters), order=order, descending=False)  # type: ignore[arg-type]
    return ids.tolist()


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"text": "KIDS talk*"}, [1, 2, 3, 4, 6]),
        ({"text": "_07/take"}, [2]),
        ({"text": "100% noise_"}, [4]),
        ({"text": "100x"}, []),
        ({"text": "slam"}, [2]),
        ({"label": "fear"}, [1, 3]),
        ({"voted": "anger"}, [1, 2]),
        ({"voted": "anger", "rater": "bob"}, [1, 2]),
        ({"voted": "fear", "rater": "bob"}, [3]),
        ({"voted": "unsure"}, [4]),
        ({"rater": "ann", "other_rater": "bob"}, [1, 2]),
        ({"rater": "ann", "other_rater": "bob", "disagreement": "pair"}, [1]),
        ({"disagreement": "raters"}, [1]),
        ({"disagreement": "model"}, [1]),
        ({"hasty": True}, [1]),
        ({"speaker": "b", "source": "page"}, [4]),
        ({"consent": "training"}, [1, 2, 3, 4]),
        ({"consent": "no training"}, [5, 6]),
        ({"votes": "none"}, [4, 5, 6]),
        ({"votes": "several"}, [1, 2]),
        ({"training": "not yet"}, [1, 2, 3]),
        ({"since": "2020-01-01", "until": "2020-12-31"}, []),
        ({"since": "2020-01-01", "voted_since": "2020-01-01"}, [1, 2, 3, 4]),
        ({"voted_until": "2020-01-01"}, []),
        ({"clips": (3, 1, 99)}, [1, 3]),
    ],
)
def test_each_filter(lasting_store: AnnotationStore, filters: dict[str, object], ids: list[int]) -> None:
    assert found(lasting_store, **filters) == ids


def test_the_table_follows_what_changes(store: AnnotationStore) -> None:
    assert found(store, speaker="c") == [] and found(store, gold=True) == []
    report = batch.set_speaker(store, [1, 5, 99], "c")
    assert (report.changed, report.left_out) == (2, [(99, "it was erased")])
    assert found(store, speaker="c") == [1, 5]
    assert batch.set_speaker(store, [1], "  ").changed == 1 and found(store, speaker="c") == [5]
    assert batch.set_gold(store, [1, 2, 4], None, by="mia").changed == 1, "only clip 2 has one label in front"
    assert gold_labels(store) == {2: "anger"} and found(store, gold=True) == [2]
    assert batch.set_gold(store, [2, 3], "", by="mia").changed == 1 and found(store, gold=True) == []
    erased = batch.erase_many(store, [2, 6, 99], by="mia")
    assert erased.changed == 2 and len(erased.left_out) == 1
    assert found(store) == [1, 3, 4, 5]
    assert [row.clip.id for row in read_rows(store, CHIEF, [1, 2, 3])] == [1, 3]


def test_consent_is_set_and_what_is_withdrawn_leaves_exports(store: AnnotationStore, tmp_path: Path) -> None:
    export_store(store, "csv", tmp_path / "out.csv", "training")
    with pytest.raises(ConsentRequiredError):
        batch.set_consent(store, [1, 5], [], by="mia")
    report = batch.set_consent(store, [1, 4, 5, 6, 99], ["publication", "research"], by="mia")
    assert (report.changed, report.unchanged, len(report.left_out)) == (4, 0, 1)
    assert found(store, consent="training") == [2, 3] and found(store, consent="publication") == [1, 4, 5, 6]
    assert store.get_clip(1).consent == ("research", "publication")
    assert len(list_exports(store)) == 1 and len((tmp_path / "out.csv").read_text().splitlines()) == 3
    assert batch.set_consent(store, [1], ["publication", "research"], by="mia").unchanged == 1


def test_queued_again_it_comes_to_those_who_have_labelled_it(store: AnnotationStore) -> None:
    for clip_id in range(1, 7):
        store.add_correction(clip_id, NewVote("zoe", "correct", label="fear"))
    assert next_clip(store, "zoe") is None
    assert batch.queue_again(store, [3, 99], by="mia") == 1
    assert found(store, training="queued again") == [3]
    item = next_clip(store, "zoe")
    assert item is not None and item.clip.id == 3
    store.add_correction(3, NewVote("zoe", "correct", label="anger"))
    assert next_clip(store, "zoe") is None and found(store, training="queued again") == []


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        ("label", [2, 4, 6, 1, 3, 5]),
        ("certainty", [1, 2, 3, 4, 6, 5]),
        ("votes", [4, 5, 6, 3, 1, 2]),
        ("speaker", [1, 3, 5, 2, 4, 6]),
        ("source", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_orders_put_what_lacks_the_value_last(lasting_store: AnnotationStore, order: str, ids: list[int]) -> None:
    assert found(lasting_store, order=order) == ids


def test_my_labels_come_in_the_order_of_my_votes(store: AnnotationStore) -> None:
    assert find_clips(store, ANN, ClipFilter(mine=True), order="voted").tolist() == [4, 2, 1]
    assert found(store, ANN, mine=True, voted="unsure") == [4]
    store.add_correction(1, NewVote("ann", "correct", label="anger"))
    assert find_clips(store, ANN, ClipFilter(mine=True), order="voted").tolist() == [1, 4, 2]
    assert found(store, replace(ANN, proved=False), mine=True) == []


def test_annotators_find_and_see_nothing_of_others(store: AnnotationStore) -> None:
    assert found(store, ANN, voted="anger") == [2] and found(store, ANN, text="slam") == []
    for forbidden in (
        {"rater": "bob"},
        {"gold": True},
        {"disagreement": "raters"},
        {"hasty": True},
        {"training": "trained"},
    ):
        with pytest.raises(NotAllowedError):
            found(store, ANN, **forbidden)  # type: ignore[arg-type]
    with pytest.raises(NotAllowedError):
        found(store, ANN, order="dispute")
    batch.set_gold(store, [1], "fear", by="mia")
    (row,) = read_rows(store, ANN, [1])
    assert (row.votes, row.mine, row.count, row.gold, row.label) == ({"fear": 1}, "fear", 2, None, "fear")
    (all_of_it,) = read_rows(store, CHIEF, [1])
    assert (all_of_it.votes, all_of_it.gold) == ({"fear": 1, "anger": 1}, "fear")
    change_settings(store, replace(read_settings(store), overlap=2), by="mia")
    assert read_rows(store, ANN, [1])[0].votes == {"fear": 1, "anger": 1}


def test_in_blind_mode_answers_come_with_ones_own_vote(store: AnnotationStore) -> None:
    change_settings(store, replace(read_settings(store), blind=True), by="mia")
    shown = {row.clip.id: row.label for row in read_rows(store, ANN, [1, 3])}
    assert shown == {1: "fear", 3: None}
    assert read_rows(store, CHIEF, [3])[0].label == "fear"
    for hidden in ({"label": "fear"}, {"disagreement": "words"}):
        with pytest.raises(NotAllowedError):
            found(store, ANN, **hidden)
    with pytest.raises(NotAllowedError):
        found(store, ANN, order="certainty")


def test_visitors_see_their_own_clips_alone(store: AnnotationStore) -> None:
    assert found(store, VAL) == [6] and found(store, replace(VAL, proved=False)) == []
    assert found(store, Person("nobody", "visitor", proved=True)) == []
