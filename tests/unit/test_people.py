import pytest

from annotations.errors import InvalidVoteError, StoreError
from annotations.raters.names import NameTakenError, release_name
from annotations.raters.people import (
    Access,
    NotAllowedError,
    Person,
    access_from,
    free_name,
    identify,
    list_people,
    set_role,
)
from annotations.raters.votes import effective_corrections
from annotations.store import AnnotationStore, NewVote
from ser.errors import SerError
from ser.testing import synthetic_speech

OPEN = Access(role_without_login="annotator")
MIA = Person("mia", "maintainer")


@pytest.fixture
def clip(store: AnnotationStore) -> int:
    return store.add_clip(synthetic_speech(0.5, seed=1), source="test").id


def claim(store: AnnotationStore, name: str, key: str, access: Access = OPEN) -> Person:
    return identify(store, access, name, login=False, key=key, claim=True)


def log_in(store: AnnotationStore, name: str, key: str = "", access: Access = OPEN) -> Person:
    return identify(store, access, name, login=True, key=key)


def test_who_sits_at_the_machine_is_maintainer(store: AnnotationStore) -> None:
    assert identify(store, Access(), " ann ", login=False) == Person("ann", "maintainer")


def test_who_comes_through_a_proxy_is_not_at_the_machine() -> None:
    assert Access().from_network().role_without_login == "annotator"
    declared = access_from({"SER_ROLE_WITHOUT_LOGIN": "maintainer"}, host="0.0.0.0", logins=())
    assert declared.from_network().role_without_login == "maintainer"


def test_a_login_is_annotator_until_it_is_given_more(store: AnnotationStore) -> None:
    assert log_in(store, "ann").role == "annotator"
    set_role(store, "Ann", "maintainer", MIA)
    assert log_in(store, "ann").role == "maintainer"
    set_role(store, "ann", "visitor", MIA)
    assert log_in(store, "ann").role == "visitor"


def test_a_role_needs_the_login_or_the_key_it_was_given_to(store: AnnotationStore) -> None:
    claim(store, "ann", "key of ann")
    set_role(store, "ann", "maintainer", MIA)
    assert claim(store, "ann", "key of ann").role == "maintainer"
    with pytest.raises(NameTakenError):
        claim(store, "ann", "key of bob")
    with pytest.raises(NameTakenError):
        identify(store, OPEN, "ann", login=False)
    release_name(store, "ann")
    assert identify(store, OPEN, "ann", login=False).role == "annotator", "nothing proves the name"
    assert claim(store, "ann", "key of bob").role == "annotator", "the role was given to another key"


@pytest.mark.parametrize("key", ["login", "login:ann", "key of ann", "free"])
def test_no_key_is_a_login(store: AnnotationStore, key: str) -> None:
    set_role(store, "ann", "maintainer", MIA)
    assert log_in(store, "ann").role == "maintainer"
    identify(store, OPEN, "ann", login=True, claim=True)
    with pytest.raises(NameTakenError):
        claim(store, "ann", key)


def test_a_role_for_a_name_that_nobody_has_waits_for_its_login(store: AnnotationStore) -> None:
    set_role(store, "ann", "maintainer", MIA)
    assert claim(store, "ann", "whoever types it first").role == "annotator"
    set_role(store, "ann", "visitor", MIA)
    assert claim(store, "ann", "whoever types it first").role == "visitor"
    assert log_in(store, "ann").role == "maintainer"


def test_a_login_gets_its_name_and_the_key_keeps_its_votes(store: AnnotationStore, clip: int) -> None:
    claim(store, "Ann", "one")
    store.add_correction(clip, NewVote("Ann", "correct", label="fear"))
    set_role(store, "Ann", "maintainer", MIA)
    assert log_in(store, "ann") == Person("ann", "annotator")
    assert [vote.rater for vote in effective_corrections(store)] == ["Ann-2"]
    assert free_name(store, OPEN, "Ann", "one") == "Ann-2"
    assert identify(store, OPEN, "ann-2", login=False, key="one").role == "maintainer"
    with pytest.raises(NameTakenError):
        claim(store, "Ann", "one")


def test_a_login_that_brings_the_key_keeps_the_votes(store: AnnotationStore, clip: int) -> None:
    claim(store, "ann", "one")
    store.add_correction(clip, NewVote("ann", "correct", label="fear"))
    set_role(store, "ann", "maintainer", MIA)
    assert log_in(store, "ann", key="one").role == "maintainer"
    assert [vote.rater for vote in effective_corrections(store)] == ["ann"]
    with pytest.raises(NameTakenError):
        claim(store, "ann", "one")


def test_maintainers_by_setting_cannot_be_locked_out(store: AnnotationStore) -> None:
    set_role(store, "mia", "visitor", MIA)
    access = Access(frozenset({"Mia"}), "visitor")
    assert log_in(store, "mia", access=access).role == "maintainer"
    assert identify(store, access, "mia", login=False).role == "visitor", "typed, not proved"


def test_only_a_maintainer_gives_roles(store: AnnotationStore) -> None:
    with pytest.raises(NotAllowedError, match="ann may not change roles: only a maintainer may"):
        set_role(store, "ann", "maintainer", Person("ann", "annotator"))
    with pytest.raises(SerError, match="expected one of visitor, annotator, maintainer"):
        set_role(store, "ann", "king", MIA)
    with pytest.raises(NotAllowedError, match="sign in first"):
        Person("x", "visitor").require("review stored clips")


def test_a_name_belongs_to_the_key_that_voted_under_it(store: AnnotationStore) -> None:
    assert claim(store, "ann", "one") == claim(store, " ann", "one") == Person("ann", "annotator")
    with pytest.raises(NameTakenError, match="The name 'ann' belongs to somebody else"):
        claim(store, "ann", "two")
    assert free_name(store, OPEN, "ann", "one") == "ann"
    assert free_name(store, OPEN, "ann", "two") == "ann-2"
    claim(store, "ann-2", "two")
    assert free_name(store, OPEN, "ann", "three") == "ann-3"


@pytest.mark.parametrize(
    "other", ["Beth", "BETH", "be\u200bth", "\uff42eth", "beth\ufe0f", "be\u00adth", "beth\u2800", "beth\U0001d159"]
)
def test_another_spelling_is_no_other_person(store: AnnotationStore, other: str) -> None:
    claim(store, "beth", "one")
    assert identify(store, OPEN, other, login=False, key="one").name == "beth"
    with pytest.raises(NameTakenError):
        claim(store, other, "two")


@pytest.mark.parametrize("between", ["\u034f", "\u200b", "\u2060"])
def test_an_accent_that_is_set_apart_is_still_the_letters(store: AnnotationStore, between: str) -> None:
    claim(store, "zo\u00e9", "one")
    with pytest.raises(NameTakenError):
        claim(store, f"zoe{between}\u0301", "two")


@pytest.mark.parametrize("name", ["\u3164", "\u2800", "ann\ue000", "ann\ufff0", "ann\u2065"])
def test_a_name_is_of_characters_that_can_be_seen(store: AnnotationStore, name: str) -> None:
    with pytest.raises(InvalidVoteError, match="that can be seen|that fonts do not show"):
        claim(store, name, "one")


@pytest.mark.parametrize("name", ["b\u0435th", "\u0410nn", "\u03bfmar", "\ua4d0eth", "\U00010420nn"])
def test_alphabets_that_look_alike_are_not_mixed(store: AnnotationStore, name: str) -> None:
    with pytest.raises(InvalidVoteError, match="letters, which look alike. Write it in one alphabet."):
        claim(store, name, "one")


@pytest.mark.parametrize("name", ["Борис", "Ζωή", "李 Lee", "佐藤さくら", "Zoë 2", "김 Kim"])
def test_names_of_every_language_are_welcome(store: AnnotationStore, name: str) -> None:
    assert claim(store, name, "one").name == name


def test_votes_that_came_without_a_key_are_nobodys(store: AnnotationStore, clip: int) -> None:
    nobody = identify(store, OPEN, "ann", login=False, claim=True)
    assert not nobody.proved
    store.add_correction(clip, NewVote("ann", "correct", label="fear"))
    with pytest.raises(NotAllowedError, match="Nothing proves that you are ann, so you may not take a vote back"):
        nobody.require_proof("take a vote back")
    with pytest.raises(StoreError, match="ann has voted on clip 1, and nothing proves that it was you"):
        store.add_correction(clip, NewVote("ann", "correct", label="anger", may_replace=False))
    with pytest.raises(NameTakenError):
        claim(store, "Ann", "one")
    release_name(store, "ann")
    assert claim(store, "Ann", "one").name == "ann"
    assert [vote.label for vote in effective_corrections(store)] == ["fear"]


def test_names_of_the_program_are_nobodys(store: AnnotationStore) -> None:
    with pytest.raises(NameTakenError, match="program's own"):
        identify(store, Access(), "Import:nemo", login=False)


def test_a_program_at_ones_own_machine_votes_under_any_name(store: AnnotationStore, clip: int) -> None:
    claim(store, "ann", "one")
    assert identify(store, Access(), "ann", login=False) == Person("ann", "maintainer")
    store.add_correction(clip, NewVote("bob", "correct", label="fear"))
    assert identify(store, Access(), "bob", login=False, key="one", claim=True).proved


def test_people_are_listed_and_forgotten(store: AnnotationStore, clip: int) -> None:
    store.add_correction(clip, NewVote("bob", "skip"))
    store.add_correction(clip, NewVote("import:nemo", "skip"))
    set_role(store, "zoe", "visitor", MIA)
    claim(store, "Ann", "one")
    people = list_people(store, Access(frozenset({"mia"}), role_without_login="annotator"))
    assert [(person.name, person.role) for person in people] == [
        ("Ann", "annotator"),
        ("bob", "annotator"),
        ("mia", "maintainer"),
        ("zoe", "visitor"),
    ]


def test_the_list_names_the_role_that_people_have_without_a_grant(store: AnnotationStore) -> None:
    claim(store, "ann", "a key of sixteen letters")
    identify(store, Access(), "lea", login=True, claim=True)
    at_the_machine = list_people(store, Access())
    assert [(person.name, person.role) for person in at_the_machine] == [("ann", "maintainer"), ("lea", "annotator")]
    on_a_space = list_people(store, Access(role_without_login="visitor"))
    assert [(person.name, person.role) for person in on_a_space] == [("ann", "visitor"), ("lea", "annotator")]


def test_how_roles_are_given_on_each_kind_of_server() -> None:
    assert access_from({}, host="127.0.0.1", logins=()).role_without_login == "maintainer"
    assert access_from({}, host="0.0.0.0", logins=()) == Access(frozenset(), "annotator")
    # A proxy may pass requests on as if they were of the machine itself.
    assert access_from({}, host="127.0.0.1", logins=(), proxy=True).role_without_login == "annotator"
    assert access_from({"SER_MAINTAINERS": "bob, zoe"}, host="0.0.0.0", logins=["ann"]).maintainers == {"bob", "zoe"}
    space = {"SPACE_ID": "ann/studio", "SPACE_AUTHOR_NAME": "ann", "OAUTH_CLIENT_ID": "x"}
    assert access_from(space, host="127.0.0.1", logins=()) == Access(frozenset({"ann"}), "visitor")
    with pytest.raises(SerError, match="SER_ROLE_WITHOUT_LOGIN"):
        access_from({"SER_ROLE_WITHOUT_LOGIN": "boss"}, host="x", logins=())
