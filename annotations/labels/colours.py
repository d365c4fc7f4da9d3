"""Colours of labels, light and dark, and their contrast against the page. Pure."""

import colorsys
from collections.abc import Collection

SURFACE_LIGHT = "#ffffff"
SURFACE_DARK = "#17191e"
"""Backgrounds of the bars, light and dark; colours are checked against these."""

MIN_CONTRAST = 3.0
"""Of graphics. Source: WCAG 2.2, 1.4.11, https://www.w3.org/TR/WCAG22/#non-text-contrast"""

# Hues of Okabe & Ito's palette for colour-blind readers; on white the bright ones are darkened until they reach
# the 3:1 that graphics need, in order of lightness so that they stay apart in greyscale too.
# Source: Okabe & Ito 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/
EMOTION_COLOURS = {
    "anger": ("#d55e00", "#e8701a"),
    "disgust": ("#009e73", "#1fb088"),
    "fear": ("#b0578a", "#cc79a7"),
    "happiness": ("#b07a00", "#f0b429"),
    "neutral": ("#767676", "#a3a3a3"),
    "sadness": ("#0072b2", "#3d9be0"),
    "surprise": ("#2a8fc7", "#7cc7f0"),
}

Pair = tuple[str, str]


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


def free_pair(taken: Collection[Pair]) -> Pair:
    """Choose a pair of a light and a dark colour that no other label has: the palette's first, then further hues.

    >>> free_pair([])
    ('#d55e00', '#e8701a')
    """
    for pair in EMOTION_COLOURS.values():
        if pair not in taken:
            return pair
    # Hues a golden angle apart never come close to each other.
    step = 0
    while (pair := _pair((0.12 + step * 0.381966) % 1.0)) in taken:
        step += 1
    return pair


def _pair(hue: float) -> Pair:
    levels = [level / 100 for level in range(5, 100)]
    light = next(c for level in reversed(levels) if contrast_ratio(c := _hex(hue, level), SURFACE_LIGHT) >= 4.0)
    dark = next(c for level in levels if contrast_ratio(c := _hex(hue, level), SURFACE_DARK) >= 6.0)
    return light, dark


def _hex(hue: float, level: float) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(hue, level, 0.6))
