"""Puts the tabs together into the page, and says how it is to be launched."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.store.settings import read_settings
from ser.errors import SerError
from ui.api.answers import build_answer_endpoints
from ui.api.training import build_training_endpoints
from ui.api.votes import build_vote_endpoints
from ui.backend import identity
from ui.backend.boundary import AT_HOME, Network, guard
from ui.backend.endpoint_guard import EndpointGuard
from ui.backend.jobs import DOWNLOAD
from ui.backend.services import Services
from ui.backend.upload_guard import ARCHIVE, UploadGuard
from ui.clips.tab import build_clips_tab, build_drawer
from ui.conversation.tab import build_conversation_tab, held
from ui.conversation.tab import is_on as conversation_is_on
from ui.insights.tab import build_insights_tab
from ui.languages import catalogue
from ui.live.routes import LiveRoutes
from ui.maintain.cards import build_maintain_cards
from ui.maintain.labels import LabelHandlers, labels_dialog
from ui.maintain.overview import OverviewHandlers
from ui.operations.routes import Operations, Traffic
from ui.parts import style
from ui.parts.calls import Act, build_calls
from ui.parts.delivery import Delivery
from ui.parts.errors import Page, shows_errors
from ui.parts.handlers import QUIET
from ui.parts.palette import keys_row
from ui.parts.presentation import escape
from ui.recognize.tab import build_recognize_tab
from ui.review.guidelines import GuidelinesHandlers, guidelines_dialog
from ui.review.tab import build_review_tab
from ui.train.tab import build_train_tab

TITLE = "Speech Emotion Studio"

CACHE_SWEEP = (600, 3600)
"""Seconds between Gradio's own looks at its cache and greatest age of a file in it: the net under `Uploads.sweep`."""

MOST_SESSIONS = 200
"""Sessions that Gradio keeps, 0.3 MB each: those used last. A page in front uses its own every few seconds, a program
none that it has left."""

MOST_QUEUED = 128
"""Events that may wait; recordings, of which fewer may, have a queue of their own (`ui.backend.turns`)."""

THREADS = 64
"""Threads of events: recordings that wait take `MOST_WAITING` of them, and votes need theirs."""

HEADER_EVERY = 30.0
"""Seconds between looks at when all was saved elsewhere."""

SMALLEST_COMPRESSED = 2000
"""Bytes under which compressing a response gains nothing."""


def build_app(services: Services) -> gr.Blocks:
    """Build the page.

    Args:
        services: the domain it shows.

    Returns:
        Blocks to be launched with `launch_options`.
    """
    with Page(title=TITLE, analytics_enabled=False, delete_cache=CACHE_SWEEP) as demo:
        with gr.Row(elem_classes="top", equal_height=True):
            header = gr.HTML(services.header(), elem_id="header", apply_default_css=False)
            # Before the name: the Tab key leads from there to the page, where single keys vote.
            gr.HTML(catalogue.menu(), elem_id="language-menu", apply_default_css=False)
            rater, who = identity.build_name_field(services)
        dialogs = keys_dialog(services.labels) + guidelines_dialog() + labels_dialog()
        gr.HTML(dialogs, apply_default_css=False, elem_id="keys")
        question = gr.HTML("", elem_id="label-question", apply_default_css=False)
        with gr.Tabs():
            with gr.Tab("Recognize", id="recognize", elem_id="tab-recognize"):
                regions = build_recognize_tab(services, demo, who)
                visitor_note = gr.HTML("", elem_id="visitor-note", apply_default_css=False)
            told: dict[str, Act] = {}
            if conversation_is_on(os.environ):
                with gr.Tab("Conversation", id="conversation-tab", elem_id="tab-conversation"):
                    told = build_conversation_tab(services)
            with gr.Tab("Review", id="review-tab", elem_id="tab-review"):
                acts = build_review_tab(services)
            with gr.Tab("Clips", id="clips-tab", elem_id="tab-clips"):
                acts = {**acts, **build_clips_tab(services)}
            with gr.Tab("Insights", id="insights", elem_id="tab-insights") as insights_tab:
                heading("Insights")
                build_insights_tab(services, insights_tab, who)
            with gr.Tab("Train", id="train", elem_id="tab-train") as train_tab:
                heading("Train")
                acts = {**acts, **build_train_tab(services, demo, train_tab, who, header)}
            with gr.Tab("Manage", id="manage", elem_id="tab-manage"):
                build_maintain_cards(services, demo, who)
                acts = {**acts, **OverviewHandlers(services).acts()}
            with gr.Tab("About", id="about", elem_id="tab-about"):
                heading("About")
                stored_note = build_about_tab(services.labels)
        build_drawer()
        label_handlers = LabelHandlers(services)
        handlers = PageHandlers(services, label_handlers)
        # One event: the page moves once while it opens, not with each answer.
        demo.load(
            shows_errors(handlers.on_load),
            who,
            [rater, who, question, visitor_note, stored_note],
            js=identity.WITH_KEY,
            queue=False,
            **QUIET,
        )
        if services.saver is not None:
            fresh = {"fn": services.header, "outputs": header, **QUIET}
            demo.load(**fresh)
            gr.Timer(HEADER_EVERY).tick(**fresh, trigger_mode="once")
        build_answer_endpoints(services)
        build_vote_endpoints(services)
        build_training_endpoints(services)
        build_calls({**acts, **regions, **told, **GuidelinesHandlers(services).acts(), **label_handlers.acts()})
        demo.unload(handlers.on_unload)
    # The queue's default of one run at a time per event would make people wait for each other's clicks.
    demo.queue(default_concurrency_limit=16, max_size=MOST_QUEUED)
    return demo


def heading(name: str) -> None:
    """Head a tab for screen readers: what the cards in it are under."""
    gr.HTML(f"<h2>{name}</h2>", elem_classes="announcer", apply_default_css=False)


class PageHandlers:
    """Events of the page as a whole: it opens, and shows what depends on a person's role; it closes."""

    def __init__(self, services: Services, labels: LabelHandlers) -> None:
        self.services = services
        self.labels = labels

    def on_load(self, stored: identity.Who, request: gr.Request) -> tuple[object, identity.Who, str, str, str]:
        """Fill the name field, ask a maintainer about labels, tell visitors what they may do, and all what is stored.

        With what visitors are told, the style sheet hides the tabs in which they could do nothing.
        """
        name, who = identity.IdentityHandlers(self.services).on_load(stored, request)
        question = self.labels.on_question(who, request)
        return name, who, question, self._note(who, request), stored_html(self.services, os.environ)

    def on_unload(self, request: gr.Request) -> None:
        """Forget what a session has uploaded and the voices that it has adapted to."""
        session = str(request.session_hash)
        self.services.uploads.release(session)
        self.services.uploads.release(held(session))
        self.services.profiles.release(session)

    def _note(self, who: identity.Who, request: gr.Request) -> str:
        try:
            found = identity.person(self.services, request, who)
        except SerError:  # A name that is another's: the refusal comes with the first act.
            return REVIEWS
        if found.may("change settings"):
            return MANAGES
        return REVIEWS if found.may("review stored clips") else visitor_line()


MANAGES = '<span class="role manages" hidden></span>'
REVIEWS = '<span class="role" hidden></span>'
"""Tell the style sheet that the role is known, and whether it shows the manage tab."""


def visitor_line() -> str:
    """Tell a visitor what they may do, and where to sign in."""
    way = "Sign in at the top of the page" if identity.oauth_is_on() else "Ask a maintainer of this page for a login"
    return (
        '<p class="role visitor quiet">'
        "You are a visitor: you may analyse, correct, save and withdraw clips of your own. "
        f"{way} to label the clips of others.</p>"
    )


def launch_options(services: Services, network: Network = AT_HOME, traffic: Traffic | None = None) -> dict[str, object]:
    """Return the arguments of `Blocks.launch` except address and login.

    Args:
        services: of the page.
        network: where the server is.
        traffic: counts requests, for a stop that waits for them.
    """
    return {
        "theme": style.theme(),
        "css": style.css(services.labels),
        "footer_links": ["api", "settings"],
        "max_file_size": ARCHIVE,
        "max_threads": THREADS,
        "state_session_capacity": MOST_SESSIONS,
        # Off: it would keep people's recordings and answers in their browser, and offer it for replay.
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
        # Gradio would ask its own page whether it answers, and give up after 3 s: a busy machine could not start it.
        "_frontend": False,
        # Answers of calls; event streams are left as they are, and `Delivery` compresses documents and files.
        "app_kwargs": {
            "middleware": [
                Middleware(Operations, services=services, traffic=traffic or Traffic()),
                Middleware(GZipMiddleware, minimum_size=SMALLEST_COMPRESSED),
                Middleware(UploadGuard, services=services),
                Middleware(EndpointGuard),
                Middleware(Delivery, **delivered(services.labels)),
            ],
            "lifespan": guard(network),
            "routes": [Route(DOWNLOAD, services.jobs.download), *LiveRoutes(services).routes()],
        },
        "auth_message": "After three failures a login has to wait, each time longer.",
    }


def delivered(labels: LabelSet) -> dict[str, Any]:
    """Return the arguments of `Delivery`: what the document begins with, the scripts, what is asked for later."""
    others = {language.address: language.packed() for language in catalogue.list_languages()}
    others[style.live_address()] = style.live_script().encode()
    login = (ASSETS / "login.js").read_text(encoding="utf-8")
    return {"head": style.head(), "login": login, "script": style.script(labels).encode(), "others": others}


ASSETS = Path(__file__).parent / "assets"


def about_html(labels: LabelSet = DEFAULT) -> str:
    """The text of the tab."""
    return (ASSETS / "about.html").read_text(encoding="utf-8").replace("{keys}", keys_table(labels))


def build_about_tab(labels: LabelSet) -> gr.HTML:
    """Lay out the tab; returns the part on what is stored here, which is filled when a page opens."""
    stored = gr.HTML("", elem_id="about-stored", elem_classes="panel about", apply_default_css=False)
    gr.HTML(about_html(labels), elem_id="about", elem_classes="panel", apply_default_css=False)
    return stored


def stored_html(services: Services, environ: Mapping[str, str]) -> str:
    """Describe where and how long clips are stored, how transcripts are kept, and whom to ask, by the present settings.

    Args:
        services: of the page.
        environ: variables; `SER_CONTACT` names whom to ask.
    """
    settings, space = read_settings(services.store), environ.get("SPACE_ID", "")
    copied = bool(environ.get("SER_STORE")) or getattr(services, "saver", None) is not None
    where = "On the machine that serves this page" + (", and as a copy at another place." if copied else " alone.")
    if space and not copied:
        where += " Its disk is emptied at every restart: what you save here may be gone tomorrow."
    days = settings.retention_days
    long = f"{days} days, or until you withdraw it." if days else "Until you withdraw it: no other time is set."
    words = {
        None: "As recognised or corrected.",
        "export": "As recognised or corrected; in exports names and numbers are masked, as far as rules find them.",
        "store": "With names and numbers masked, as far as rules find them.",
    }[settings.mask_transcripts]
    owner = f"Who runs the Space {space}, under its discussions." if space else "The person who gave you this address."
    asked = environ.get("SER_CONTACT", "").strip() or owner
    rows = (("Where clips are stored", where), ("How long", long), ("Transcripts", words), ("Whom to ask", asked))
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(said)}</dd>" for name, said in rows) + "</dl>"


KEYS = (
    ("U", "unsure: no emotion can be named"),
    ("Enter", "save; on Review the next clip comes and plays"),
    ("S", "Review: skip this clip"),
    ("Z", "Review: undo the last vote, its clip comes back"),
    ("E", "edit the transcript; Esc leaves it"),
    ("Space", "play or pause"),
    ("← →", "Review: two seconds back or on"),
    ("B", "Review: hide or show the model's answer"),
    ("D", "Review: intensity, mixed emotions, valence, arousal, comment"),
    ("G", "the guidelines; Esc leaves them"),
    ("?", "show these keys"),
)


def keys_table(labels: LabelSet = DEFAULT) -> str:
    """The keys as an HTML table."""
    rows = "".join(f"<tr><th scope='row'><kbd>{key}</kbd></th><td>{meaning}</td></tr>" for key, meaning in KEYS)
    return f'<table class="keys"><tr class="label-keys">{keys_row(labels)}</tr>{rows}</table>'


def keys_dialog(labels: LabelSet = DEFAULT) -> str:
    """The help window; the page's script opens it."""
    return (
        '<dialog id="keys-dialog" aria-label="Keys"><h2>Keys</h2>'
        + keys_table(labels)
        + "<p>Shortcuts are off while you "
        'type.</p><form method="dialog"><button>Close</button></form></dialog>'
    )
