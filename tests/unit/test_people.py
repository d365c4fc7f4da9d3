from collections.abc import Iterator
from pathlib import Path

import pytest

from annotations.raters.people import (
    LOGIN,
    Access,
    NameTakenError,
    NotAllowedError,
    Person,
    access_from,
    claim_name,
    free_name,
    identify,
    is_free,
    list_people,
    release_name,
    set_role,
)
from annotations.store import AnnotationStore, NewVote
from ser.errors import SerError
from ser.testing import synthetic_speech

OPEN = Access(role_without_login="annotator")
MIA = Person("mia", "maintainer")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    with AnnotationStore(tmp_path) as store:
        yield store


def test_who_sits_at_the_machine_is_maintainer(store: AnnotationStore) -> None:
    assert identify(store, Access(), " ann ", login=False) == Person("ann", "maintainer")


def test_a_login_is_annotator_until_it_is_given_more(store: AnnotationStore) -> None:
    assert identify(store, OPEN, "ann", login=True).role == "annotator"
    set_role(store, "ann", "maintainer", MIA)
    assert identify(store, OPEN, "ann", login=True).role == "maintainer"
    set_role(store, "ann", "visitor", MIA)
    assert identify(store, OPEN, "ann", login=True).role == "visitor"


def test_a_role_needs_the_login_or_the_browser_it_was_given_to(store: AnnotationStore) -> None:
    claim_name(store, "ann", "key of ann")
    set_role(store, "ann", "maintainer", MIA)
    assert identify(store, OPEN, "ann", login=False, key="key of ann").role == "maintainer"
    with pytest.raises(NameTakenError):
        identify(store, OPEN, "ann", login=False, key="key of bob")
    with pytest.raises(NameTakenError):
        identify(store, OPEN, "ann", login=False)
    release_name(store, "ann")
    assert identify(store, OPEN, "ann", login=False).role == "annotator", "nothing proves the name"


def test_maintainers_by_setting_cannot_be_locked_out(store: AnnotationStore) -> None:
    set_role(store, "mia", "visitor", MIA)
    access = Access(frozenset({"mia"}), "visitor")
    assert identify(store, access, "mia", login=True).role == "maintainer"
    assert identify(store, access, "mia", login=False).role == "visitor", "typed, not proved"


def test_only_a_maintainer_gives_roles(store: AnnotationStore) -> None:
    with pytest.raises(NotAllowedError, match="ann may not change roles: only a maintainer may"):
        set_role(store, "ann", "maintainer", Person("ann", "annotator"))
    with pytest.raises(SerError, match="expected one of visitor, annotator, maintainer"):
        set_role(store, "ann", "king", MIA)
    with pytest.raises(NotAllowedError, match="sign in first"):
        Person("x", "visitor").require("review stored clips")


def test_a_name_belongs_to_the_browser_that_voted_under_it(store: AnnotationStore) -> None:
    assert claim_name(store, "ann", "one") == claim_name(store, " ann", "one") == "ann"
    with pytest.raises(NameTakenError, match="The name 'ann' belongs to somebody else"):
        claim_name(store, "ann", "two")
    assert not is_free(store, "ann", "two") and is_free(store, "ann", "one")
    assert free_name(store, "ann", "two") == "ann-2"
    claim_name(store, "ann-2", "two")
    assert free_name(store, "ann", "three") == "ann-3"
    assert claim_name(store, "ann", LOGIN) == "ann", "a login takes a name over"
    assert not is_free(store, "ann", "one")


def test_names_of_the_program_are_nobodys(store: AnnotationStore) -> None:
    with pytest.raises(NameTakenError, match="program's own"):
        identify(store, Access(), "import:nemo", login=False)


def test_a_program_at_ones_own_machine_votes_under_any_name(store: AnnotationStore) -> None:
    claim_name(store, "ann", "one")
    assert identify(store, Access(), "ann", login=False).name == "ann"


def test_people_are_listed_and_forgotten(store: AnnotationStore) -> None:
    clip = store.add_clip(synthetic_speech(0.5, seed=1), source="test")
    store.add_correction(clip.id, NewVote("bob", "skip"))
    store.add_correction(clip.id, NewVote("import:nemo", "skip"))
    set_role(store, "zoe", "visitor", MIA)
    claim_name(store, "Ann", "one")
    people = list_people(store, Access(frozenset({"mia"}), role_without_login="annotator"))
    assert [(person.name, person.role) for person in people] == [
        ("Ann", "annotator"),
        ("bob", "annotator"),
        ("mia", "maintainer"),
        ("zoe", "visitor"),
    ]


def test_the_list_names_the_role_that_people_have_without_a_grant(store: AnnotationStore) -> None:
    claim_name(store, "ann", "one")
    claim_name(store, "lea", LOGIN)
    at_the_machine = list_people(store, Access())
    assert [(person.name, person.role) for person in at_the_machine] == [("ann", "maintainer"), ("lea", "annotator")]
    on_a_space = list_people(store, Access(role_without_login="visitor"))
    assert [(person.name, person.role) for person in on_a_space] == [("ann", "visitor"), ("lea", "annotator")]


def test_how_roles_are_given_on_each_kind_of_server() -> None:
    assert access_from({}, host="127.0.0.1", logins=()).role_without_login == "maintainer"
    assert access_from({}, host="0.0.0.0", logins=()) == Access(frozenset(), "annotator")
    assert access_from({"SER_MAINTAINERS": "bob, zoe"}, host="0.0.0.0", logins=["ann"]).maintainers == {"bob", "zoe"}
    space = {"SPACE_ID": "ann/studio", "SPACE_AUTHOR_NAME": "ann", "OAUTH_CLIENT_ID": "x"}
    assert access_from(space, host="127.0.0.1", logins=()) == Access(frozenset({"ann"}), "visitor")
    with pytest.raises(SerError, match="SER_ROLE_WITHOUT_LOGIN"):
        access_from({"SER_ROLE_WITHOUT_LOGIN": "boss"}, host="x", logins=())
