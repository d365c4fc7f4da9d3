"""Puts the tabs together into the page, and says how it is to be launched."""

import gradio as gr

from ui import identity, style
from ui.about import build_about_tab
from ui.api import build_api
from ui.history import build_history_tab
from ui.keys import keys_dialog
from ui.recognize import build_recognize_tab
from ui.review import build_review_tab
from ui.services import Services
from ui.train import build_train_tab

TITLE = "Speech Emotion Studio"

CACHE_SWEEP = (600, 3600)
"""Seconds between looks at Gradio's cache and greatest age of a file in it: the net under `Uploads`."""

MAX_UPLOAD = "64mb"
"""A minute of 32-bit stereo at 96 kHz takes 46 MB; longer recordings are for the command line."""


def build_app(services: Services) -> gr.Blocks:
    """Build the page.

    Args:
        services: the domain it shows.

    Returns:
        Blocks to be launched with `launch_options`.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CACHE_SWEEP) as demo:
        stored_name = gr.BrowserState("", storage_key=identity.STORAGE_KEY, secret=identity.STORAGE_SECRET)
        preferences = gr.BrowserState({}, storage_key=identity.PREFERENCES_KEY, secret=identity.STORAGE_SECRET)
        with gr.Row(elem_classes="top", equal_height=True):
            header = gr.HTML(services.header(), elem_id="header", apply_default_css=False)
            rater = gr.Textbox(
                label="Your name as rater", max_length=identity.MAX_NAME, elem_id="rater", scale=0, min_width=240
            )
        gr.HTML(keys_dialog(), apply_default_css=False, elem_id="keys")
        with gr.Tabs():
            with gr.Tab("Recognize", id="recognize"):
                build_recognize_tab(services, rater)
            with gr.Tab("Review", id="review") as review_tab:
                blind, quick = build_review_tab(services, review_tab, rater)
            with gr.Tab("Train", id="train"):
                build_train_tab(services, demo, rater, header)
            with gr.Tab("History", id="history") as history_tab:
                build_history_tab(services, history_tab, rater)
            with gr.Tab("About", id="about"):
                build_about_tab()
        build_api(services)
        _remember(demo, rater, stored_name, preferences, blind, quick)

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


def _remember(
    demo: gr.Blocks,
    rater: gr.Textbox,
    stored_name: gr.BrowserState,
    preferences: gr.BrowserState,
    blind: gr.Checkbox,
    quick: gr.Checkbox,
) -> None:
    """Keep name and choices in the browser."""
    quiet = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
    demo.load(identity.on_load, stored_name, [rater, stored_name], **quiet)
    gr.on([rater.blur, rater.submit], identity.on_rename, rater, [rater, stored_name], **quiet)
    demo.load(identity.on_load_preferences, preferences, [blind, quick], **quiet)
    gr.on([blind.input, quick.input], identity.on_preference, [blind, quick], preferences, **quiet)
