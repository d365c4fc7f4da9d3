"""Theme, style sheet and scripts of the page. The accent is ink: colour is kept for emotions."""

import hashlib
import json
import re
from pathlib import Path

import gradio as gr

from annotations.labels.colours import SURFACE_DARK
from annotations.labels.label_set import DEFAULT, LabelSet
from ui.languages.catalogue import settings
from ui.parts.palette import key_range, palette_css, script_keys

ASSETS = Path(__file__).parents[1] / "assets"
SHEETS = (
    "page.css",
    "recognize.css",
    "timeline.css",
    "review.css",
    "insights.css",
    "training.css",
    "clips.css",
    "conversation.css",
)
SCRIPTS = (
    "studio.js",
    "translate.js",
    "microphone.js",
    "recognize.js",
    "player.js",
    "regions.js",
    "timeline.js",
    "listen.js",
    "conversation.js",
    "drawer.js",
    "clips.js",
    "manage.js",
    "versions.js",
    "address.js",
    "insights.js",
    "review_form.js",
    "review_progress.js",
    "review.js",
    "review_options.js",
    "guidelines.js",
    "labels.js",
    "keys.js",
)
"""Scripts in the order in which they need each other."""


COLOURS = {
    "body_background_fill": "#f6f7f9",
    "body_background_fill_dark": "#0e1013",
    "body_text_color": "#1c2430",
    "body_text_color_dark": "#e6e9ee",
    "body_text_color_subdued": "#566072",
    "body_text_color_subdued_dark": "#a2abba",
    "background_fill_primary": "#ffffff",
    "background_fill_primary_dark": SURFACE_DARK,
    "block_background_fill": "#ffffff",
    "block_background_fill_dark": SURFACE_DARK,
    "block_border_color": "#e0e4ea",
    "block_border_color_dark": "#2a2e36",
    "block_label_text_color": "#566072",
    "block_label_text_color_dark": "#a2abba",
    "block_label_background_fill_dark": SURFACE_DARK,
    "checkbox_background_color_dark": "#101216",
    "checkbox_border_color": "#8a93a3",
    "checkbox_border_color_dark": "#6b7484",
    "checkbox_background_color_selected": "#1f2937",
    "checkbox_background_color_selected_dark": "#4b5563",
    "checkbox_label_background_fill": "#ffffff",
    "checkbox_label_background_fill_dark": SURFACE_DARK,
    "block_title_text_color": "#1c2430",
    "block_title_text_color_dark": "#e6e9ee",
    "block_title_text_weight": "600",
    "block_info_text_color": "#566072",
    "block_info_text_color_dark": "#a2abba",
    "block_shadow": "none",
    "input_background_fill": "#ffffff",
    "input_background_fill_dark": "#101216",
    "input_border_color": "#8a93a3",
    "input_border_color_dark": "#6b7484",
    "input_border_width": "1px",
    "button_primary_background_fill": "#1f2937",
    "button_primary_background_fill_hover": "#374151",
    "button_primary_background_fill_dark": "#e6e9ee",
    "button_primary_background_fill_hover_dark": "#ffffff",
    "button_primary_text_color": "#ffffff",
    "button_primary_text_color_dark": "#12151a",
    "button_secondary_background_fill": "#ffffff",
    "button_secondary_background_fill_hover": "#eef1f5",
    "button_secondary_background_fill_dark": "#22262e",
    "button_secondary_background_fill_hover_dark": "#2d323c",
    "button_secondary_border_color": "#c4cad4",
    "button_secondary_border_color_dark": "#3a404b",
    "button_border_width": "1px",
    "button_secondary_text_color": "#1c2430",
    "button_secondary_text_color_dark": "#e6e9ee",
}
"""Gradio's theme variables, in light and dark; text is at least 4.5:1 against what it stands on."""


def theme() -> gr.themes.Base:
    """Quiet greys, bundled fonts: nothing is fetched from elsewhere."""
    # Bold and not semi-bold: of that one Gradio bundles only the letters of its own start page.
    plex = gr.themes.utils.fonts.LocalFont("IBM Plex Sans", weights=(400, 700))
    return gr.themes.Base(
        primary_hue=gr.themes.colors.slate,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=[plex, "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(**COLOURS)


def css(labels: LabelSet = DEFAULT) -> str:
    """The style sheet, the palette included."""
    return palette_css(labels) + SHEET_COMMENT.sub("", "".join(map(_asset, SHEETS)))


def head() -> str:
    """Return the document's head: colours around the page on a phone, and the fonts.

    The browser would ask for the fonts only once the page is drawn, and lines would move when they come.
    """
    frame = (ASSETS / "frame.css").read_text(encoding="utf-8")
    fonts = "".join(
        f'<link rel="preload" as="font" type="font/woff2" crossorigin href="static/fonts/IBMPlexSans/IBMPlexSans-'
        f'{weight}.woff2">'
        for weight in ("Regular", "Bold")
    )
    return f'<meta name="color-scheme" content="light dark">{fonts}<style>{frame}</style>'


def script(labels: LabelSet = DEFAULT) -> str:
    """The page's scripts with what they know of labels and languages, as one file."""
    known = {"studioKeys": script_keys(labels), "studioKeyRange": key_range(labels), "studioLive": live_address()}
    told = "".join(f"window.{name} = {json.dumps(value)};\n" for name, value in known.items())
    languages = f"window.studioLanguages = {settings(labels)};\n"
    return told + languages + SCRIPT_COMMENT.sub("", "".join(map(_asset, SCRIPTS)))


def live_script() -> str:
    """The script of the live microphone, which a browser asks for once its panel is opened."""
    return SCRIPT_COMMENT.sub("", _asset("live.js"))


def live_address() -> str:
    """The address of the live script, relative to the page; it changes with the script, so that they keep it."""
    return f"studio/live.{hashlib.sha256(live_script().encode()).hexdigest()[:12]}.js"


SHEET_COMMENT = re.compile(r"[ \t]*/\*.*?\*/[ \t]*\n?", re.DOTALL)
SCRIPT_COMMENT = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
"""Lines that nobody's browser needs, a tenth of what is sent."""


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
