"""The last tab: what this is, its limits, what is stored and how to withdraw, the keys."""

from pathlib import Path

import gradio as gr

from ui.keys import keys_table

PAGE = Path(__file__).parent / "assets" / "about.html"


def about_html() -> str:
    """The text of the tab."""
    return PAGE.read_text(encoding="utf-8").replace("{keys}", keys_table())


def build_about_tab() -> None:
    """Lay out the tab; it has no events."""
    gr.HTML(about_html(), elem_id="about", elem_classes="panel", apply_default_css=False)
