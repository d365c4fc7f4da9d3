"""Cards before there is an answer, and the lines around an answer, as HTML. Pure; knows no component."""

from collections.abc import Sequence

from ser.types import Recognition
from ui.parts.palette import SEVEN, Texts
from ui.parts.presentation import as_written, bars, clock, escape, legend


def empty_card(texts: Texts = SEVEN) -> str:
    """The answer's place before there is one."""
    return (
        '<div class="answer empty"><div class="headline"><div><p class="label">Ready</p>'
        '<p class="parts">Record or upload up to 60 seconds of speech.</p></div></div>'
        + bars(None, texts=texts)
        + legend(False)
        + '<p class="transcript quiet">The transcript appears here.</p><ul class="notes" role="list"></ul></div>'
    )


def listening_card(texts: Texts = SEVEN, place: int = 0) -> str:
    """The answer's place while the voice is analysed, or while it waits: with its place in the queue, from 1."""
    return (
        empty_card(texts)
        .replace("answer empty", "answer empty busy", 1)
        .replace("Ready", "Waiting …" if place else "Listening …", 1)
        .replace(
            "Record or upload up to 60 seconds of speech.",
            f"Place {place} in the queue." if place else "The voice comes first, then the words.",
            1,
        )
    )


def refusal_card(message: str, texts: Texts = SEVEN) -> str:
    """Draw the answer's place for a refused clip: the reason, and what to do."""
    return (
        '<div class="answer empty refused"><div class="headline"><div><p class="label">Could not analyse this clip</p>'
        f'<p class="parts" role="alert">{escape(message)}</p></div></div>'
        + bars(None, texts=texts)
        + legend(False)
        + '<p class="transcript quiet"></p><ul class="notes" role="list"></ul></div>'
    )


def clip_line(duration: float, notes: Sequence[str], stored: str) -> str:
    """Duration, quality and whether anything is stored, in one line."""
    quality = (
        "clean" if not notes else escape(notes[0]).rstrip(".").lower() if len(notes) == 1 else f"{len(notes)} notes"
    )
    return f'<p class="clip-line">{clock(duration)} · {quality} · {escape(stored)}</p>'


def details_table(recognition: Recognition) -> str:
    """Seconds spent in each step, and the models."""
    times = "".join(
        f"<tr><th>{step.replace('_', ' ')}</th><td>{seconds:.3f} s</td></tr>"
        for step, seconds in recognition.timings.as_dict().items()
    )
    models = "".join(
        f"<tr><th>{escape(part)}</th><td>{as_written(name)}</td></tr>" for part, name in recognition.models.items()
    )
    return (
        '<div class="details"><table><caption>Time</caption>' + times + "</table>"
        "<table><caption>Models</caption>" + models + "</table></div>"
    )
