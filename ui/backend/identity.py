"""Identity of the person at the page: the login if there is one, else a name kept in the browser; and their role."""

import importlib.util
import math
import os
import secrets
import time
from collections.abc import Mapping

import gradio as gr

from annotations.raters.people import LOGIN, Person, claim_name, free_name, identify
from ui.backend.services import Services

STORAGE_KEY = "speech-emotion-studio-rater"
# Fixed, so that the browser's own entry can be read after a restart.
STORAGE_SECRET = "speech-emotion-studio"

MAX_NAME = 80
"""Characters; the store refuses longer names."""

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


def person(services: Services, request: gr.Request | None, who: Who) -> Person:
    """Identify the person of an event, with their role.

    Args:
        services: knows the roles.
        request: of the event; its login, if there is one, always wins.
        who: what the browser or the program says of itself.

    Raises:
        NameTakenError: if the name they typed is another's.
    """
    login = signed_in(request)
    name, key = said(who)
    return identify(services.store, services.access, login or name, login=login is not None, key=key)


def voter(services: Services, request: gr.Request | None, who: Who) -> Person:
    """Identify a person about to vote: from now on the name is theirs.

    Raises:
        NameTakenError: if the name they typed is another's.
    """
    found = person(services, request, who)
    _, key = said(who)
    claim_name(services.store, found.name, LOGIN if signed_in(request) else key)
    return found


def said(who: Who) -> tuple[str, str]:
    """Name and key of what a browser says of itself.

    >>> said({"name": "  Ann   Lee ", "key": "k"}), said(None)
    (('Ann Lee', 'k'), ('anonymous', ''))
    """
    given = who if isinstance(who, Mapping) else {"name": who}
    name = " ".join(str(given.get("name") or "").split())[:MAX_NAME]
    return name or "anonymous", str(given.get("key") or "")


def oauth_is_on() -> bool:
    """True if people can sign in with Hugging Face: on a Space whose owner has switched it on."""
    wanted = bool(os.environ.get("SPACE_ID") and os.environ.get("OAUTH_CLIENT_ID"))
    return wanted and importlib.util.find_spec("authlib") is not None


class IdentityHandlers:
    """The name field at the top of the page; each method is one event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_load(self, stored: Who, request: gr.Request) -> tuple[dict[str, object], dict[str, str]]:
        """Fill the field when a page opens: login, else the browser's name, else a new pseudonym."""
        login = signed_in(request)
        name, key = said(stored)
        kept = {"name": "" if name == "anonymous" else name, "key": key}
        if login is not None:
            role = identify(self.services.store, self.services.access, login, login=True).role
            return gr.update(value=login, interactive=False, info=f"from your login · {role}"), kept
        kept["name"] = kept["name"] or pseudonym()
        return gr.update(value=kept["name"], interactive=True), kept

    def on_rename(self, typed: str, stored: Who) -> tuple[str, dict[str, str]]:
        """Keep a changed name in the browser; an emptied field gets a new pseudonym, a taken name a number."""
        name = " ".join(typed.split())[:MAX_NAME] or pseudonym()
        _, key = said(stored)
        free = free_name(self.services.store, name, key)
        if free != name:
            gr.Warning(f"{name} is somebody else here; you are {free} now.", title="That name is taken")
        return free, {"name": free, "key": key}


def build_name_field(services: Services, demo: gr.Blocks) -> gr.BrowserState:
    """The field, the sign-in button if there is one, and what the browser keeps of them.

    Returns:
        What the browser says of itself, `Who`: an input of every event that needs to know.
    """
    who = gr.BrowserState({}, storage_key=STORAGE_KEY, secret=STORAGE_SECRET)
    handlers = IdentityHandlers(services)
    if oauth_is_on():
        gr.LoginButton(size="sm", min_width=200, elem_id="sign-in")
    rater = gr.Textbox(label="Your name as rater", max_length=MAX_NAME, elem_id="rater", scale=0, min_width=240)
    quiet = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    demo.load(handlers.on_load, who, [rater, who], js=_WITH_KEY, **quiet)
    gr.on([rater.blur, rater.submit], handlers.on_rename, [rater, who], [rater, who], **quiet)
    return who


_WITH_KEY = "(who) => [{ ...(who && who.name ? { name: who.name } : {}), key: window.studio.key }]"
