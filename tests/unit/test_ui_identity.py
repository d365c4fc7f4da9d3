"""Who is before the page, and in which role."""

import time
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from annotations.raters.people import Access, NameTakenError, Person, claim_name
from ui.backend import identity
from ui.backend.identity import IdentityHandlers, person, signed_in, voter
from ui.backend.services import Services

ANYBODY = gr.Request(session_hash="s")
ANN = gr.Request(username="ann", session_hash="s")


def hugging_face(name: str, expires_at: float | None) -> gr.Request:
    """A request as Gradio hands it on where people sign in with Hugging Face."""
    login = {"userinfo": {"preferred_username": name}, "expires_at": expires_at}
    return gr.Request(request=SimpleNamespace(scope={"session": {"oauth_info": login}}))  # type: ignore[arg-type]


@pytest.fixture
def shared(page_services: Services) -> Services:
    """A page that many people reach; the login `mia` is its maintainer."""
    return replace(page_services, access=Access(frozenset({"mia"}), "annotator"))


def test_the_login_wins_over_what_is_typed(shared: Services) -> None:
    assert person(shared, ANN, {"name": "mia", "key": "k"}) == Person("ann", "annotator")
    assert person(shared, ANYBODY, {"name": "  bob   b ", "key": "k"}) == Person("bob b", "annotator")
    assert person(shared, ANYBODY, " ").name == person(shared, ANYBODY, None).name == "anonymous"
    assert person(shared, gr.Request(username="mia"), None).role == "maintainer"
    assert person(shared, ANYBODY, "mia").role == "annotator", "typed, not proved"


def test_names_of_hugging_face_count_while_they_last(shared: Services) -> None:
    assert signed_in(hugging_face("hugo", time.time() + 60)) == signed_in(hugging_face("hugo", None)) == "hugo"
    assert signed_in(hugging_face("hugo", time.time() - 60)) is None
    assert person(shared, hugging_face("mia", None), "x").role == "maintainer"


def test_a_vote_makes_the_name_ones_own(shared: Services) -> None:
    voter(shared, ANYBODY, {"name": "bob", "key": "one"})
    with pytest.raises(NameTakenError):
        person(shared, ANYBODY, {"name": "bob", "key": "two"})
    assert voter(shared, gr.Request(username="bob"), None).name == "bob", "a login proves more"
    with pytest.raises(NameTakenError):
        person(shared, ANYBODY, {"name": "bob", "key": "one"})


def test_the_field_shows_login_or_pseudonym(shared: Services) -> None:
    handlers = IdentityHandlers(shared)
    box, kept = handlers.on_load({"name": "bob", "key": "k"}, gr.Request(username="mia"))
    assert box["value"] == "mia" and box["interactive"] is False and "maintainer" in str(box["info"])
    assert kept == {"name": "bob", "key": "k"}
    box, kept = handlers.on_load({"key": "k"}, ANYBODY)
    assert box["value"] == kept["name"] and len(kept["name"].split("-")) == 3 and kept["key"] == "k"
    assert handlers.on_load(kept, ANYBODY)[1] == kept


def test_a_taken_name_gets_a_number(shared: Services) -> None:
    handlers = IdentityHandlers(shared)
    assert handlers.on_rename("  Ann  Lee ", {"key": "k"}) == ("Ann Lee", {"name": "Ann Lee", "key": "k"})
    assert handlers.on_rename(" ", {"key": "k"})[0] != ""
    claim_name(shared.store, "Ann Lee", "other")
    with pytest.warns(UserWarning, match="Ann Lee is somebody else here"):
        assert handlers.on_rename("Ann Lee", {"key": "k"})[0] == "Ann Lee-2"


def test_the_sign_in_button_is_for_spaces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("OAUTH_CLIENT_ID", "x")
    assert identity.oauth_is_on() is False
