"""The look of labels: one colour, one icon and one key each, the same everywhere on the page.

Pure; knows no component and no record.
"""

from collections.abc import Mapping
from html import escape
from types import MappingProxyType

from annotations.labels.colours import EMOTION_COLOURS
from annotations.labels.label_set import DEFAULT, LabelSet, slug

Texts = Mapping[str, str]
"""{label: name to show}, in the reader's language; others are shown by name."""

NO_TEXTS: Texts = MappingProxyType({})
SEVEN: Texts = MappingProxyType({emotion: emotion for emotion in DEFAULT.names})

UNSURE = "unsure"
UNSURE_KEY = "U"


_EYES = '<path d="M8.6 10v.01M15.4 10v.01"/>'

# Strokes of a 24 x 24 drawing, without its outline.
FACES: Mapping[str, str] = MappingProxyType(
    {
        "anger": '<path d="m7 7.6 3 1.6M17 7.6l-3 1.6M8.5 16.5q3.5-3 7 0"/>' + _EYES.replace("10v", "11v"),
        "disgust": '<path d="m7.2 9 2.6 1.2-2.6 1.2M16.8 9l-2.6 1.2 2.6 1.2M7.6 16q1.5-1.6 2.9 0t2.9 0 2.9 0"/>',
        "fear": '<path d="m6.8 8.2 2.4-1.2M17.2 8.2l-2.4-1.2"/>'
        + _EYES
        + '<ellipse cx="12" cy="16" rx="2.6" ry="1.7"/>',
        "happiness": _EYES + '<path d="M7.5 13.8q4.5 5.4 9 0z"/>',
        "neutral": _EYES + '<path d="M8 15.5h8"/>',
        "sadness": _EYES + '<path d="M8.2 16.8q3.8-3.6 7.6 0M16.6 12.2q1.2 1.6 0 2.2-1.2-.6 0-2.2"/>',
        "surprise": '<path d="M7.4 7q1.2-.9 2.4 0M14.2 7q1.2-.9 2.4 0"/>'
        + _EYES
        + '<circle cx="12" cy="15.6" r="2.2"/>',
    }
)


def face(label: str) -> str:
    """Strokes of a label's drawing: a face for the seven, the first letter for others.

    >>> face("calm")
    '<text x="12" y="16.2" text-anchor="middle" class="letter">C</text>'
    """
    letter = f'<text x="12" y="16.2" text-anchor="middle" class="letter">{escape(label[:1].upper())}</text>'
    return FACES.get(label, letter)


def css_class(label: str) -> str:
    """The class that gives an element a label's colour.

    >>> css_class("in distress")
    'emotion-in-distress'
    """
    return f"emotion-{slug(label)}"


def icon(label: str) -> str:
    """A small drawing for a label, coloured by the page's palette; hidden from screen readers.

    >>> icon("anger").startswith('<svg class="face emotion-anger"')
    True
    """
    return (
        f'<svg class="face {css_class(label)}" viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="9.2"/>'
        f"{face(label)}</svg>"
    )


def label_choices(labels: LabelSet = DEFAULT, texts: Texts = NO_TEXTS) -> list[tuple[str, str]]:
    """(text with its key, value) for each vote, in the one order of the page; `texts` are names to show.

    >>> label_choices()[0], label_choices()[-1]
    (('1 anger', 'anger'), ('U unsure', 'unsure'))
    """
    own = [(f"{label.key.upper()} {texts.get(label.name, label.name)}", label.name) for label in labels]
    return [*own, (f"{UNSURE_KEY} {UNSURE}", UNSURE)]


def script_keys(labels: LabelSet = DEFAULT) -> list[str]:
    """Keys of the votes in the order of the page, as the scripts compare them.

    >>> script_keys()[-2:]
    ['7', 'u']
    """
    return [*(label.key for label in labels), UNSURE_KEY.lower()]


def keys_row(labels: LabelSet = DEFAULT, texts: Texts = NO_TEXTS) -> str:
    """Cells of the row about labels in the table of keys."""
    names = ", ".join(texts.get(name, name) for name in labels.names)
    return f"<th scope='row'><kbd>{key_range(labels).replace(' to ', ' – ')}</kbd></th><td>choose {escape(names)}</td>"


def key_range(labels: LabelSet = DEFAULT) -> str:
    """The keys of the labels in words.

    >>> key_range()
    '1 to 7'
    """
    keys = [label.key for label in labels]
    row = keys == [str(place) for place in range(1, len(keys) + 1)]
    return f"1 to {len(keys)}" if row else " ".join(keys).upper()


def palette_css(labels: LabelSet = DEFAULT) -> str:
    """The colours as CSS variables `--emotion-LABEL`, and the icons for the vote buttons, for light and dark.

    The seven are always among them: votes of before are shown as they were given.
    """
    colours = {**EMOTION_COLOURS, **{own.name: (own.light, own.dark) for own in labels}}
    light = "".join(f"--{css_class(label)}:{pair[0]};" for label, pair in colours.items())
    dark = "".join(f"--{css_class(label)}:{pair[1]};" for label, pair in colours.items())
    classes = "".join(f".{css_class(label)}{{--emotion:var(--{css_class(label)});}}" for label in colours)
    buttons = "".join(
        f'.votes label:has(input[value="{label}"]){{--emotion:var(--{css_class(label)});--face:{_mask(label)};}}'
        for label in labels.names
    )
    # The row of votes was drawn for seven labels and unsure; other numbers wrap as they need.
    longest = max(map(len, labels.names))
    wide, narrow = (8, 4) if longest <= 11 else (5, 3) if longest <= 18 else (3, 2)
    columns = f"--vote-columns:{_columns(len(labels) + 1, wide)};--narrow-columns:{_columns(len(labels) + 1, narrow)};"
    rows = "" if labels.names == DEFAULT.names else f".votes .wrap{{{columns}}}"
    return f":root{{{light}}}.dark{{{dark}}}{classes}{buttons}{rows}"


def _columns(votes: int, most: int) -> int:
    """Columns of the vote buttons, at most so many: rows as even as they can be."""
    return -(-votes // -(-votes // most))


def _mask(label: str) -> str:
    drawing = (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='black' stroke-width='1.8' "
        "stroke-linecap='round' stroke-linejoin='round'><circle cx='12' cy='12' r='9.2'/>"
        + face(label)
        .replace(
            'class="letter"', 'font-size="11" font-family="sans-serif" font-weight="700" fill="black" stroke="none"'
        )
        .replace('"', "'")
        + "</svg>"
    )
    return 'url("data:image/svg+xml,' + drawing.replace("#", "%23").replace("<", "%3C").replace(">", "%3E") + '")'
