"""Who is voting: the login where there is one, else a pseudonym that stays in the browser."""

import secrets

import gradio as gr

STORAGE_KEY = "speech-emotion-studio-rater"
PREFERENCES_KEY = "speech-emotion-studio-preferences"
# Fixed, so that the browser's own entry can be read after a restart. It guards no secret: it holds a pseudonym.
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
    """A name that tells nothing of the person, such as `quiet-heron-417`."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{secrets.randbelow(900) + 100}"


def rater_name(request: gr.Request | None, typed: str | None) -> str:
    """The name a vote is stored under.

    Args:
        request: of the event; its login, where there is one, always wins.
        typed: what stands in the field of the page, or what an API caller gave.

    Returns:
        At most `MAX_NAME` characters, never empty.
    """
    if request is not None and request.username:
        return str(request.username)[:MAX_NAME]
    return " ".join((typed or "").split())[:MAX_NAME] or "anonymous"


def on_load(stored: str | None, request: gr.Request) -> tuple[dict[str, object], str]:
    """Fill the name field when a page opens: login, else the browser's pseudonym, else a new one."""
    if request is not None and request.username:
        return gr.update(value=str(request.username), interactive=False, info="from your login"), stored or ""
    name = stored or pseudonym()
    return gr.update(value=name, interactive=True), name


def on_rename(typed: str) -> tuple[str, str]:
    """Keep a changed name in the browser; an emptied field gets a new pseudonym."""
    name = " ".join(typed.split())[:MAX_NAME] or pseudonym()
    return name, name


def on_load_preferences(stored: dict[str, bool] | None) -> tuple[bool, bool]:
    """Blind and one-key-saves as the browser remembers them."""
    kept = stored or {}
    return bool(kept.get("blind")), bool(kept.get("quick"))


def on_preference(blind: bool, quick: bool) -> dict[str, bool]:
    """Remember both."""
    return {"blind": blind, "quick": quick}
