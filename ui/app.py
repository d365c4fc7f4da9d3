"""Puts the tabs together into the page, and says how it is to be launched."""

from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from ui.api import build_api
from ui.backend import identity
from ui.backend.boundary import AT_HOME, Network, guard
from ui.backend.endpoint_guard import EndpointGuard
from ui.backend.services import Services
from ui.backend.upload_guard import ARCHIVE, UploadGuard
from ui.history import build_history_tab
from ui.insights.tab import build_insights_tab
from ui.maintain.cards import build_maintain_cards
from ui.parts import style
from ui.parts.calls import build_calls
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

SMALLEST_COMPRESSED = 2000
"""Bytes under which compressing a response gains nothing."""


def build_app(services: Services) -> gr.Blocks:
    """Build the page.

    Args:
        services: the domain it shows.

    Returns:
        Blocks to be launched with `launch_options`.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CACHE_SWEEP) as demo:
        with gr.Row(elem_classes="top", equal_height=True):
            header = gr.HTML(services.header(), elem_id="header", apply_default_css=False)
            who = identity.build_name_field(services, demo)
        gr.HTML(keys_dialog() + guidelines_dialog(), apply_default_css=False, elem_id="keys")
        with gr.Tabs():
            with gr.Tab("Recognize", id="recognize"):
                build_recognize_tab(services, who)
            with gr.Tab("Review", id="review-tab"):
                acts = build_review_tab(services)
                build_maintain_cards(services, demo, who)
            with gr.Tab("Insights", id="insights") as insights_tab:
                build_insights_tab(services, insights_tab, who)
            with gr.Tab("Train", id="train") as train_tab:
                build_train_tab(services, demo, train_tab, who, header)
            with gr.Tab("History", id="history") as history_tab:
                build_history_tab(services, history_tab, who)
            with gr.Tab("About", id="about"):
                build_about_tab()
        build_api(services)
        build_calls({**acts, **GuidelinesHandlers(services).acts()})

        def on_unload(request: gr.Request) -> None:
            services.uploads.release(str(request.session_hash))
            services.profiles.release(str(request.session_hash))

        demo.unload(on_unload)
    # The queue's default of one run at a time per event would make people wait for each other's clicks.
    demo.queue(default_concurrency_limit=16, max_size=MOST_QUEUED)
    return demo


def launch_options(services: Services, network: Network = AT_HOME) -> dict[str, object]:
    """Return the arguments of `Blocks.launch` except address and login.

    Args:
        services: of the page.
        network: where the server is.
    """
    return {
        "theme": style.theme(),
        "css": style.css(),
        "head": style.head(),
        "footer_links": ["api", "settings"],
        "max_file_size": ARCHIVE,
        "max_threads": THREADS,
        "state_session_capacity": MOST_SESSIONS,
        # Off: it would keep people's recordings and answers in their browser, and offer it for replay.
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
        # The page is 378 kB of HTML as it is, 106 kB compressed; event streams are left as they are.
        "app_kwargs": {
            "middleware": [
                Middleware(GZipMiddleware, minimum_size=SMALLEST_COMPRESSED),
                Middleware(UploadGuard, services=services),
                Middleware(EndpointGuard),
            ],
            "lifespan": guard(network),
        },
        "auth_message": "After three failures a login has to wait, each time longer.",
    }


ASSETS = Path(__file__).parent / "assets"


def about_html() -> str:
    """The text of the tab."""
    return (ASSETS / "about.html").read_text(encoding="utf-8").replace("{keys}", keys_table())


def build_about_tab() -> None:
    """Lay out the tab; it has no events."""
    gr.HTML(about_html(), elem_id="about", elem_classes="panel", apply_default_css=False)


KEYS = (
    ("1 – 7", "choose anger, disgust, fear, happiness, neutral, sadness, surprise"),
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


def keys_table() -> str:
    """The keys as an HTML table."""
    rows = "".join(f"<tr><th scope='row'><kbd>{key}</kbd></th><td>{meaning}</td></tr>" for key, meaning in KEYS)
    return f'<table class="keys">{rows}</table>'


def keys_dialog() -> str:
    """The help window; the page's script opens it."""
    return (
        '<dialog id="keys-dialog" aria-label="Keys"><h2>Keys</h2>' + keys_table() + "<p>Shortcuts are off while you "
        'type.</p><form method="dialog"><button>Close</button></form></dialog>'
    )
