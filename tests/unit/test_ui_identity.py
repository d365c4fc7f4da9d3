"""People before the page, and their roles."""

import time
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest

from annotations.raters.names import NameTakenError
from annotations.raters.people import Access, Person
from ser.errors import SerError
from ui.backend import identity
from ui.backend.identity import IdentityHandlers, person, signed_in, voter
from ui.backend.services import Services

ANYBODY = gr.Request(session_hash="s")
KEY = "0123456789abcdef"
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
    assert person(shared, ANN, {"name": "mia", "key": KEY}) == Person("ann", "annotator")
    assert person(shared, ANYBODY, {"name": "  bob   b ", "key": KEY}) == Person("bob b", "annotator")
    assert person(shared, ANYBODY, " ").name == person(shared, ANYBODY, None).name == "anonymous"
    assert person(shared, gr.Request(username="mia"), None).role == "maintainer"
    assert person(shared, ANYBODY, "mia").role == "annotator", "typed, not proved"


def test_names_of_hugging_face_count_while_they_last(shared: Services) -> None:
    assert signed_in(hugging_face("hugo", time.time() + 60)) == signed_in(hugging_face("hugo", None)) == "hugo"
    assert signed_in(hugging_face("hugo", time.time() - 60)) is None
    assert person(shared, hugging_face("mia", None), "x").role == "maintainer"


def test_a_vote_makes_the_name_ones_own(shared: Services) -> None:
    voter(shared, ANYBODY, {"name": "bob", "key": KEY})
    with pytest.raises(NameTakenError):
        person(shared, ANYBODY, {"name": "bob", "key": KEY[::-1]})
    assert voter(shared, gr.Request(username="bob"), None).name == "bob", "a login proves more"
    with pytest.raises(NameTakenError):
        person(shared, ANYBODY, {"name": "bob", "key": KEY})


def test_the_field_shows_login_or_pseudonym(shared: Services) -> None:
    handlers = IdentityHandlers(shared)
    box, kept = handlers.on_load({"name": "bob", "key": KEY}, gr.Request(username="mia"))
    assert box["value"] == "mia" and box["interactive"] is False and "maintainer" in str(box["info"])
    assert kept == {"name": "bob", "key": KEY}
    box, kept = handlers.on_load({"key": KEY}, ANYBODY)
    assert box["value"] == kept["name"] and len(kept["name"].split("-")) == 3 and kept["key"] == KEY
    assert handlers.on_load(kept, ANYBODY)[1] == kept


def test_a_taken_name_gets_a_number(shared: Services) -> None:
    handlers = IdentityHandlers(shared)
    assert handlers.on_rename("  Ann  Lee ", {"key": KEY}, ANYBODY) == ("Ann Lee", {"name": "Ann Lee", "key": KEY})
    assert handlers.on_rename(" ", {"key": KEY}, ANYBODY)[0] != ""
    voter(shared, ANYBODY, {"name": "ann lee", "key": KEY[::-1]})
    with pytest.warns(UserWarning, match="Ann Lee is somebody else here"):
        assert handlers.on_rename("Ann Lee", {"key": KEY}, ANYBODY)[0] == "Ann Lee-2"


def test_the_sign_in_button_is_for_spaces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setenv("OAUTH_CLIENT_ID", "x")
    assert identity.oauth_is_on() is False


def sent(headers: dict[str, str]) -> gr.Request:
    return gr.Request(request=SimpleNamespace(headers=headers, scope={}))  # type: ignore[arg-type]


def test_a_program_sends_its_key_as_a_header(shared: Services) -> None:
    program = sent({"x-rater-key": KEY})
    assert person(shared, program, "").name == "anonymous", "nobody has that name for themselves"
    assert voter(shared, program, "bob").proved
    assert person(shared, program, "") == person(shared, program, "Bob") == Person("bob", "annotator")
    with pytest.raises(NameTakenError):
        person(shared, ANYBODY, "bob")


@pytest.mark.parametrize("who", [{"name": ["ann"]}, {"name": "ann", "key": 7}, {"name": "ann", "key": "short"}, 12])
def test_what_no_browser_says_is_refused_with_a_sentence(shared: Services, who: object) -> None:
    with pytest.raises(SerError, match="are texts|at least 16"):
        person(shared, ANYBODY, who)  # type: ignore[arg-type]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_who_comes_through_a_proxy_is_no_local_maintainer(page_services: Services, header: str) -> None:
    assert person(page_services, ANYBODY, "ann").role == "maintainer"
    assert person(page_services, sent({header.lower(): "1.2.3.4"}), "ann").role == "annotator"


def test_a_browser_whose_name_a_login_has_taken_goes_on_under_a_number(shared: Services) -> None:
    voter(shared, ANYBODY, {"name": "ann", "key": KEY})
    person(shared, ANN, None)
    with pytest.warns(UserWarning, match="you are ann-2 now"):
        _, kept = IdentityHandlers(shared).on_load({"name": "ann", "key": KEY}, ANYBODY)
    assert kept == {"name": "ann-2", "key": KEY} and person(shared, ANYBODY, kept).proved
