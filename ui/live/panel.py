"""A live microphone: the answer rolls, a strip grows, and what was said goes on as a recording.

The sound comes by `ui.live.routes`; what stands on the page is drawn by `assets/live.js`.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ser.timeline.live import LiveAnswer
from ser.types import SAMPLING_RATE
from ui.backend.identity import owner_of
from ui.backend.limits import MAX_TIMELINE_DURATION
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.palette import Texts, css_class, icon
from ui.parts.presentation import as_written, clock, escape, percent
from ui.recognize.capture import Capture

PANEL = f"""<div class="live" role="region" aria-label="Live microphone" data-limit="{MAX_TIMELINE_DURATION:g}">
<p class="live-tools act-card"><button type="button" id="live-record">Record</button>
<span class="live-level" aria-hidden="true"><i></i></span>
<span class="live-clock" role="timer">0:00</span></p>
<p class="status gentle live-trouble" role="alert" hidden></p>
<p class="quiet live-ask">Press Record and speak: the feeling of the last three seconds is shown as you go.</p>
<p class="status good live-said" role="status"></p>
<div class="live-answer" hidden><div class="live-now"></div><div class="live-strip" aria-hidden="true"></div>
<div role="log" aria-label="Words"><ol class="live-lines" role="list"></ol></div>
<p class="quiet live-reading" hidden>reading the words …</p></div></div>"""


class LiveHandlers:
    """The panel's event."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_stop(self, number: str, request: gr.Request) -> tuple[int, Any]:
        """All of the sound has come: what was recorded goes on as if it had been uploaded."""
        return SAMPLING_RATE, self.services.live.end(number, owner_of(request)).recording()


def live_state(answer: LiveAnswer, scores: Callable[[Any], Any], texts: Texts, drawn: int = 0) -> dict[str, object]:
    """Draw the rolling answer, and the regions that have come since, on the strip and with their words.

    Args:
        answer: the state of the stream.
        scores: brings {label: probability} to the labels of the store.
        texts: their names.
        drawn: regions that stand on the page already.
    """

    def best(given: Any) -> tuple[str, float]:
        known = {label: share for label, share in scores(given.as_dict()).items() if share is not None}
        label = max(known, key=lambda name: known[name], default="")
        return label, known.get(label, 0.0)

    now = '<p class="quiet"><strong>…</strong></p>'
    if answer.scores is not None:
        label, share = best(answer.scores)
        doubt = '<span class="quiet">not sure</span>' if answer.unsure else ""
        now = (
            f'<p class="{css_class(label)}">{icon(label)}<strong>{escape(texts.get(label, label))}</strong> '
            f'<span class="number">{percent(share)}</span> {doubt}</p>'
        )
    marks, lines = [], []
    for region in answer.regions[drawn:]:
        label, share = best(region.scores)
        name = escape(texts.get(label, label))
        place = f"--start:{region.start:.2f};--length:{region.end - region.start:.2f}"
        marks.append(f'<i class="{css_class(label)}" style="{place}" title="{name}"></i>')
        words = as_written(region.transcript) if region.transcript else ""
        lines.append(
            f'<li><span class="number">{clock(region.start, tenths=False)}</span> <strong>{name}</strong> '
            f"{percent(share)} {words}</li>"
        )
    return {
        "seconds": round(answer.seconds, 3),
        "now": now,
        "marks": "".join(marks),
        "lines": "".join(lines),
        "drawn": len(answer.regions),
        "reading": answer.waiting > 0,
    }


def build_live(services: Services, capture: Capture) -> gr.events.Dependency:
    """Lay out the panel and connect its event; returns the one after which the recording stands in its usual place."""
    with gr.Accordion("Live", open=False, elem_id="recognize-live-panel"):
        gr.HTML(PANEL, elem_id="live-place", apply_default_css=False)
    # Pressed by the panel's script, once all of the sound has been sent.
    sent, number = gr.Button("", elem_id="live-sent", elem_classes="pressed-by-script"), gr.Textbox(visible=False)
    return sent.click(
        shows_errors(LiveHandlers(services).on_stop),
        number,
        capture.audio,
        js="() => [document.getElementById('live-sent').dataset.number]",
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
