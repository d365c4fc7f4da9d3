"""The look of the seven emotions: one colour, one icon and one key each, the same everywhere on the page.

Pure; knows no component and no record.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ser.labels import EMOTIONS

SURFACE_LIGHT = "#ffffff"
SURFACE_DARK = "#17191e"
"""Backgrounds of the bars, light and dark; colours are checked against these."""

UNSURE = "unsure"
UNSURE_KEY = "U"


@dataclass(frozen=True)
class Look:
    """Appearance of an emotion.

    Attributes:
        light: colour on a light surface, at least 3:1 against it.
        dark: colour on a dark surface, at least 3:1 against it.
        key: on the keyboard.
        face: strokes of a 24 x 24 drawing, without its outline.
    """

    light: str
    dark: str
    key: str
    face: str


_EYES = '<path d="M8.6 10v.01M15.4 10v.01"/>'

# Hues of Okabe & Ito's palette for colour-blind readers; on white the bright ones are darkened until they reach
# the 3:1 that graphics need (WCAG 2.2, 1.4.11), in order of lightness so that they stay apart in greyscale too.
# Source: Okabe & Ito 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/
LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "anger": Look(
            "#d55e00",
            "#e8701a",
            "1",
            '<path d="m7 7.6 3 1.6M17 7.6l-3 1.6M8.5 16.5q3.5-3 7 0"/>' + _EYES.replace("10v", "11v"),
        ),
        "disgust": Look(
            "#009e73",
            "#1fb088",
            "2",
            '<path d="m7.2 9 2.6 1.2-2.6 1.2M16.8 9l-2.6 1.2 2.6 1.2M7.6 16q1.5-1.6 2.9 0t2.9 0 2.9 0"/>',
        ),
        "fear": Look(
            "#b0578a",
            "#cc79a7",
            "3",
            '<path d="m6.8 8.2 2.4-1.2M17.2 8.2l-2.4-1.2"/>' + _EYES + '<ellipse cx="12" cy="16" rx="2.6" ry="1.7"/>',
        ),
        "happiness": Look("#b07a00", "#f0b429", "4", _EYES + '<path d="M7.5 13.8q4.5 5.4 9 0z"/>'),
        "neutral": Look("#767676", "#a3a3a3", "5", _EYES + '<path d="M8 15.5h8"/>'),
        "sadness": Look(
            "#0072b2",
            "#3d9be0",
            "6",
            _EYES + '<path d="M8.2 16.8q3.8-3.6 7.6 0M16.6 12.2q1.2 1.6 0 2.2-1.2-.6 0-2.2"/>',
        ),
        "surprise": Look(
            "#2a8fc7",
            "#7cc7f0",
            "7",
            '<path d="M7.4 7q1.2-.9 2.4 0M14.2 7q1.2-.9 2.4 0"/>' + _EYES + '<circle cx="12" cy="15.6" r="2.2"/>',
        ),
    }
)


def icon(label: str) -> str:
    """A small drawn face for an emotion, coloured by the page's palette; hidden from screen readers.

    >>> icon("anger").startswith('<svg class="face emotion-anger"')
    True
    """
    return (
        f'<svg class="face emotion-{label}" viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9.2"/>'
        f"{LOOKS[label].face}</svg>"
    )


def label_choices() -> list[tuple[str, str]]:
    """(text with its key, value) for each vote, in the one order of the page.

    >>> label_choices()[0], label_choices()[-1]
    (('1 anger', 'anger'), ('U unsure', 'unsure'))
    """
    return [(f"{LOOKS[label].key} {label}", label) for label in EMOTIONS] + [(f"{UNSURE_KEY} {UNSURE}", UNSURE)]


def relative_luminance(colour: str) -> float:
    """Luminance of an `#rrggbb` colour, 0 black to 1 white.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance

    >>> relative_luminance("#ffffff")
    1.0
    """
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return round(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], 6)


def contrast_ratio(one: str, other: str) -> float:
    """Contrast between two colours, 1 to 21.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio

    >>> contrast_ratio("#000000", "#ffffff")
    21.0
    """
    lighter, darker = sorted((relative_luminance(one), relative_luminance(other)), reverse=True)
    return round((lighter + 0.05) / (darker + 0.05), 2)


def palette_css() -> str:
    """The colours as CSS variables `--emotion-LABEL`, and the icons for the vote buttons, for light and dark."""
    light = "".join(f"--emotion-{label}:{look.light};" for label, look in LOOKS.items())
    dark = "".join(f"--emotion-{label}:{look.dark};" for label, look in LOOKS.items())
    classes = "".join(f".emotion-{label}{{--emotion:var(--emotion-{label});}}" for label in LOOKS)
    buttons = "".join(
        f".votes label:has(input[value={label}]){{--emotion:var(--emotion-{label});--face:{_mask(look)};}}"
        for label, look in LOOKS.items()
    )
    return f":root{{{light}}}.dark{{{dark}}}{classes}{buttons}"


def _mask(look: Look) -> str:
    drawing = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='black' stroke-width='1.8' "
        "stroke-linecap='round' stroke-linejoin='round'><circle cx='12' cy='12' r='9.2'/>"
        + look.face.replace('"', "'")
        + "</svg>"
    )
    return 'url("data:image/svg+xml,' + drawing.replace("#", "%23").replace("<", "%3C").replace(">", "%3E") + '")'
