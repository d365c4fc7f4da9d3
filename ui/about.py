"""The last tab: what this is, its limits, what corrections teach, what is stored and how to withdraw, the keys."""

import base64
from pathlib import Path

import gradio as gr

from ui.keys import keys_table

ASSETS = Path(__file__).parent / "assets"


def about_html() -> str:
    """The text of the tab, with its picture in it."""
    curve = base64.b64encode((ASSETS / "learning_curve.png").read_bytes()).decode("ascii")
    text = (ASSETS / "about.html").read_text(encoding="utf-8")
    return text.replace("{keys}", keys_table()).replace("{curve}", f"data:image/png;base64,{curve}")


def build_about_tab() -> None:
    """Lay out the tab; it has no events."""
    gr.HTML(about_html(), elem_id="about", elem_classes="panel", apply_default_css=False)
