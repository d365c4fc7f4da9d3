"""Puts the tabs together into the page, and says how it is to be launched."""

import gradio as gr

from ui import identity, style
from ui.about import build_about_tab
from ui.api import build_api
from ui.calls import build_calls
from ui.guidelines import GuidelinesHandlers, guidelines_dialog
from ui.history import build_history_tab
from ui.insights import build_insights_tab
from ui.keys import keys_dialog
from ui.maintain import build_maintain_cards
from ui.recognize import build_recognize_tab
from ui.review import build_review_tab
from ui.services import Services
from ui.train import build_train_tab

TITLE = "Speech Emotion Studio"

CACHE_SWEEP = (600, 3600)
"""Seconds between Gradio's own looks at its cache and greatest age of a file in it: the net under `Uploads.sweep`."""

MAX_UPLOAD = "256mb"
"""A minute of 32-bit stereo at 96 kHz takes 46 MB; the rest is for archives. Larger ones are for the command line."""


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

        demo.unload(on_unload)
    # The queue's default of one run at a time per event would make people wait for each other's clicks.
    demo.queue(default_concurrency_limit=16)
    return demo


def launch_options() -> dict[str, object]:
    """What `Blocks.launch` needs beside address and login."""
    return {
        "theme": style.theme(),
        "css": style.css(),
        "head": style.head(),
        "footer_links": ["api", "settings"],
        "max_file_size": MAX_UPLOAD,
        # Off: it would keep what people recorded and were told in their browser, and offer it for replay.
        "run_history": False,
        "ssr_mode": False,
        "show_error": False,
    }
