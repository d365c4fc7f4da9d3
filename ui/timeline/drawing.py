"""A timeline as the values that the page's script draws it from, in an element of its own. Pure."""

import json

from annotations.labels.label_set import LabelSet
from ser.timeline.formats import FORMATS
from ser.timeline.regions import Timeline
from ser.types import Signal
from ser.wording import counted
from ui.parts.palette import UNSURE, UNSURE_KEY, css_class, icon
from ui.parts.player import HEIGHT, WIDTH, waveform
from ui.parts.presentation import escape, percent
from ui.recognize.form import CONSENT_CHOICES, CONSENT_QUESTION
from ui.timeline.regions import in_labels, page_regions

BINS_A_SECOND, MOST_BINS = 20, 8000
"""Bars of the waveform."""


def timeline_html(timeline: Timeline, signal: Signal, labels: LabelSet, *, token: str, path: str) -> str:
    """The element that the script fills; without the script it says what was found.

    Args:
        timeline: to draw.
        signal: of the recording.
        labels: of the store.
        token: under which the server keeps the timeline.
        path: of the recording, as Gradio serves it to its own session.
    """
    names = [
        {"name": label.name, "key": label.key, "css": css_class(label.name), "icon": icon(label.name)}
        for label in labels
    ]
    names.append({"name": UNSURE, "key": UNSURE_KEY.lower(), "css": "", "icon": ""})
    values = {
        "token": token,
        "path": path,
        "duration": round(timeline.duration, 3),
        "regions": page_regions(timeline, labels),
        "labels": names,
        "notes": list(timeline.notes),
        "formats": list(FORMATS),
        "consent": CONSENT_CHOICES,
        "question": CONSENT_QUESTION,
        "wave": waveform(signal, min(MOST_BINS, max(200, round(BINS_A_SECOND * timeline.duration)))),
        "box": [WIDTH, HEIGHT],
    }
    summary = in_labels(timeline, labels).summary
    shares = ", ".join(f"{label} {percent(share)}" for label, share in summary.items())
    said = f"Of the speech: {shares}"
    return (
        f'<div class="timeline" tabindex="0" role="region" aria-label="Feeling over time" '
        f'data-timeline="{escape(json.dumps(values, ensure_ascii=False))}">'
        f'<p class="tl-said" role="status">{counted(len(timeline.regions), "region")} · {said}</p></div>'
    )
