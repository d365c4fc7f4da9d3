"""Identity of the person at the page: the login if there is one, else a name kept in the browser; and their role."""

import importlib.util
import math
import os
import secrets
import time
from collections.abc import Mapping

import gradio as gr
from fastapi import Request

from annotations.errors import InvalidVoteError
from annotations.labels.label_set import LabelSet
from annotations.raters.names import NameTakenError, comparable_name, key_owner, name_of_key
from annotations.raters.people import Access, Person, free_name, identify
from annotations.store.new_records import MAX_NAME
from ser.errors import SerError
from ui.backend.boundary import FORWARDING, shared_address
from ui.backend.services import Services
from ui.parts.errors import shows_errors

STORAGE_KEY = "speech-emotion-studio-rater"
# Fixed, so that the browser's own entry can be read after a restart.
STORAGE_SECRET = "speech-emotion-studio"

KEY_HEADER = "x-rater-key"
"""Header in which a program sends the key that `/register` gave it."""

SHORTEST_KEY = 16
"""Characters; shorter ones can be guessed."""

ANONYMOUS = "anonymous"
"""Name of everybody who gives none."""

ADJECTIVES = (
    "amber",
    "brisk",
    "calm",
    "clever",
    "early",
    "gentle",
    "keen",
    "lucky",
    "mellow",
    "quiet",
    "swift",
    "warm",
)
ANIMALS = ("badger", "crane", "dolphin", "finch", "hare", "heron", "lynx", "otter", "owl", "robin", "seal", "wren")


def pseudonym() -> str:
    """A name that says nothing of the person, such as `quiet-heron-417`."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{secrets.randbelow(900) + 100}"


Who = Mapping[str, object] | str | None
"""Identity sent by a browser: {"name", "key"}; or the bare name that a program gives."""


def signed_in(request: gr.Request | None) -> str | None:
    """Return the name that a login proves: of the login list, or of Hugging Face if the page runs there."""
    if request is None:
        return None
    if request.username:
        return str(request.username)[:MAX_NAME]
    scope = getattr(request.request, "scope", None) or {}
    # Where OAuth is off there is no session; where it is on, Gradio keeps the profile in it.
    login = (scope.get("session") or {}).get("oauth_info")
    if not login or (login.get("expires_at") or math.inf) < time.time():
        return None
    return str(login["userinfo"]["preferred_username"])[:MAX_NAME]


def request_of(web: Request) -> gr.Request:
    """A request that no event of Gradio's is behind, with its login."""
    app = web.scope["app"]
    cookies = (f"access-token-{app.cookie_id}", f"access-token-unsecure-{app.cookie_id}")
    token = next((web.cookies[name] for name in cookies if name in web.cookies), "")
    return gr.Request(web, username=app.tokens.get(token))


def owner_of(request: gr.Request | None) -> str:
    """Return the owner of what belongs to a browser: the login, else the browser's key."""
    return signed_in(request) or said(None, request)[1]


def label_texts(labels: LabelSet, request: gr.Request | None) -> dict[str, str]:
    """Names of labels to show, in the language that the person chose, else in the one that the browser prefers."""
    headers = request_headers(request)
    accepted = headers.get("x-studio-language") or headers.get("accept-language") or ""
    return labels.texts(accepted.partition(",")[0].partition(";")[0].strip())


def access_of(services: Services, request: gr.Request | None) -> Access:
    """The rules for roles of a request: who comes through a proxy is not at the machine itself."""
    headers = request_headers(request)
    forwarded = any(name in headers for name in FORWARDING)
    return services.access.from_network() if forwarded else services.access


def request_headers(request: gr.Request | None) -> Mapping[str, str]:
    """The headers of a request; none if it came from no network."""
    return getattr(request.request, "headers", None) or {} if request is not None else {}


def person(services: Services, request: gr.Request | None, who: Who, *, claim: bool = False) -> Person:
    """Identify the person of an event, with their role.

    Args:
        services: knows the roles.
        request: of the event; its login, if there is one, always wins.
        who: what the browser or the program says of itself.
        claim: whether the name becomes theirs, as it does with a vote.

    Raises:
        NameTakenError: if the name they typed is another's.
    """
    login = signed_in(request)
    name, key = said(who, request)
    access = access_of(services, request)
    if key and comparable_name(name) == ANONYMOUS:
        # Nobody may have this name for themselves.
        own = name_of_key(services.store, key)
        name, key = (own, key) if own else (name, "")
    return identify(services.store, access, login or name, login=login is not None, key=key, claim=claim)


def charge(
    services: Services, request: gr.Request | None, what: str, who: Person | None = None, amount: float = 1.0
) -> None:
    """Count what a request uses up; maintainers, and so people at the machine itself, have no limits.

    Args:
        services: keep the count.
        request: of the event.
        what: one of `ui.backend.limits.LIMITS`.
        who: asks; by default whom the login or the key in the header proves.
        amount: how much.

    Raises:
        TooMuchError: if it is more than they may use.
    """
    found = who or person(services, request, None)
    if found.role == "maintainer":
        return
    web = request.request if request is not None else None
    address = shared_address(web.client.host) if web is not None and getattr(web, "client", None) else ""
    services.limits.spend(what, person=found.name if found.proved else "", address=address, amount=amount)


def voter(services: Services, request: gr.Request | None, who: Who) -> Person:
    """Identify a person about to vote: from now on the name is theirs, if a login or a key came with it.

    Raises:
        NameTakenError: if the name they typed is another's.
    """
    found = person(services, request, who)
    charge(services, request, "votes", found)
    key = said(who, request)[1]
    if key and not found.proved and comparable_name(found.name) != ANONYMOUS:
        charge(services, request, "names", Person(key_owner(key), found.role, proved=True))
    return person(services, request, who, claim=True)


def said(who: object, request: gr.Request | None = None) -> tuple[str, str]:
    """Name and key of what a browser says of itself, or a program in its header.

    Raises:
        SerError: if it is of another form, or the key is too short.

    >>> said({"name": "  Ann   Lee ", "key": "0123456789abcdef"}), said(None)
    (('Ann Lee', '0123456789abcdef'), ('anonymous', ''))
    """
    given = who if isinstance(who, Mapping) else {"name": who}
    name, key = given.get("name") or "", given.get("key") or request_headers(request).get(KEY_HEADER) or ""
    if not isinstance(name, str) or not isinstance(key, str):
        raise SerError("Name and key of the rater are texts. Load the page again, or send texts.")
    if 0 < len(key) < SHORTEST_KEY:
        raise SerError(f"The rater's key has {len(key)} characters; at least {SHORTEST_KEY} are needed, of chance.")
    return " ".join(name.split())[:MAX_NAME] or ANONYMOUS, key


def oauth_is_on() -> bool:
    """True if people can sign in with Hugging Face: on a Space whose owner has switched it on."""
    wanted = bool(os.environ.get("SPACE_ID") and os.environ.get("OAUTH_CLIENT_ID"))
    return wanted and importlib.util.find_spec("authlib") is not None


class IdentityHandlers:
    """The name field at the top of the page; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_load(self, stored: Who, request: gr.Request) -> tuple[object, dict[str, str]]:
        """Fill the field when a page opens: login, else the browser's name, else a new pseudonym."""
        login = signed_in(request)
        name, key = said(stored)
        kept = {"name": "" if name == ANONYMOUS else name, "key": key}
        if login is not None:
            # The browser's key comes along: a name that it had before the login stays this person's.
            role = person(self.services, request, stored).role
            return gr.update(value=login, interactive=False, info=f"from your login · {role}"), kept
        kept["name"] = kept["name"] or pseudonym()
        try:
            person(self.services, request, kept)
        except NameTakenError:  # A login has taken it meanwhile: this browser's votes go on under a number.
            return self.on_rename(kept["name"], stored, request)
        except InvalidVoteError:  # It was typed before such names were refused, and no vote bears it.
            kept["name"] = pseudonym()
        return gr.update(value=kept["name"], interactive=True), kept

    def on_rename(self, typed: str, stored: Who, request: gr.Request) -> tuple[str, dict[str, str]]:
        """Keep a changed name in the browser; an emptied field gets a new pseudonym, a taken name a number."""
        name = said(typed)[0] if typed and typed.strip() else pseudonym()
        _, key = said(stored)
        free = free_name(self.services.store, access_of(self.services, request), name, key)
        if comparable_name(free) != comparable_name(name):
            gr.Warning(f"{name} is somebody else here; you are {free} now.", title="That name is taken")
        return free, {"name": free, "key": key}


def build_name_field(services: Services) -> tuple[gr.Textbox, gr.BrowserState]:
    """The field, the sign-in button if there is one, and what the browser keeps of them.

    Returns:
        The field, which `IdentityHandlers.on_load` fills when the page opens, and what the browser says of itself,
        `Who`: an input of every event that needs to know.
    """
    who = gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_SECRET)
    handlers = IdentityHandlers(services)
    if oauth_is_on():
        gr.LoginButton(size="sm", min_width=200, elem_id="sign-in")
    rater = gr.Textbox(label="Your name as rater", max_length=MAX_NAME, elem_id="rater", scale=0, min_width=240)
    quiet = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    gr.on([rater.blur, rater.submit], shows_errors(handlers.on_rename), [rater, who], [rater, who], **quiet)
    return rater, who


WITH_KEY = "(who) => [{ ...(who && who.name ? { name: who.name } : {}), key: window.studio.key }]"
"""Adds the browser's key to what it says of itself when the page opens."""
