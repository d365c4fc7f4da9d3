"""A live microphone: the answer rolls, a strip grows, and what was said goes on as a recording."""

from collections.abc import Callable
from typing import Any

import gradio as gr
import numpy as np

from ser.errors import SerError
from ser.timeline.live import EVERY, LiveAnswer
from ser.types import SAMPLING_RATE, Signal
from ui.api import MAX_TIMELINE_DURATION
from ui.backend.identity import charge, label_texts
from ui.backend.services import Services
from ui.parts.errors import shows_errors
from ui.parts.palette import Texts, css_class, icon
from ui.parts.presentation import as_written, clock, escape, percent, status_line
from ui.recognize.capture import Capture

MOST_STREAMS = 16
"""Streams whose blocks are taken at the same time: those that are told to wait are told at once."""

ASK = '<p class="quiet live-ask">Press Record and speak: the feeling of the last three seconds is shown as you go.</p>'


class LiveHandlers:
    """The microphone's events."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_start(self, request: gr.Request) -> str:
        """The microphone is switched on."""
        self.services.live.open(str(request.session_hash))
        return status_line("Listening …", "quiet")

    def on_stream(self, block: Any, request: gr.Request) -> Any:
        """The next block of sound has come; what is wrong is said in its place, as blocks come twice a second."""
        try:
            return self._answer(block, request)
        except SerError as error:
            return status_line(str(error), "gentle")

    def _answer(self, block: Any, request: gr.Request) -> Any:
        session = str(request.session_hash)
        live = self.services.live.get(session, self.services.recognizer.live)
        if live is None or block is None:
            return gr.skip()
        before, rate, samples = live.timeline.seconds, int(block[0]), to_float(np.asarray(block[1]))
        if before >= MAX_TIMELINE_DURATION:
            full = f"{clock(MAX_TIMELINE_DURATION, tenths=False)} are full. Press Stop: the recording is kept."
            return status_line(full, "gentle")
        if not before or before // 60 != (before + len(samples) / max(1, rate)) // 60:
            charge(self.services, request, "recognitions")
        answer, labels = live.push(rate, samples), self.services.labels
        if answer is None:
            return gr.skip()
        return live_html(answer, labels.scores, label_texts(labels, request), live.missing)

    def on_stop(self, request: gr.Request) -> tuple[Any, str]:
        """The stream has ended: what was recorded goes on as if it had been uploaded."""
        live = self.services.live.end(str(request.session_hash))
        if live is None:
            return gr.skip(), ASK
        signal = live.timeline.signal
        if len(signal) < SAMPLING_RATE / 4:
            return gr.skip(), status_line("Nothing was recorded. Press Record and speak.", "gentle")
        said = f"{clock(len(signal) / SAMPLING_RATE)} recorded: the answer to the whole stands above."
        recorded = (SAMPLING_RATE, np.rint(signal * 32767).astype(np.int16))
        return recorded, missing_line(live.missing) + status_line(said)


def to_float(samples: np.ndarray) -> Signal:
    """Samples at full scale ±1.

    >>> to_float(np.array([16384], dtype=np.int16)).tolist()
    [0.5]
    """
    if np.issubdtype(samples.dtype, np.integer):
        return np.asarray(samples / float(-np.iinfo(samples.dtype).min), dtype=np.float32)
    return np.asarray(samples, dtype=np.float32)


def missing_line(seconds: float) -> str:
    """Say that sound is missing, if any is."""
    lost = f"{clock(seconds)} of sound have not arrived: the machine or the network is too slow. Record a clip instead."
    return status_line(lost, "gentle") if seconds else ""


def live_html(answer: LiveAnswer, scores: Callable[[Any], Any], texts: Texts, missing: float = 0.0) -> str:
    """Draw the rolling answer, the strip, and the words of each utterance.

    Args:
        answer: the state of the stream.
        scores: brings {label: probability} to the labels of the store.
        texts: their names.
        missing: seconds of sound that have not arrived.
    """

    def best(given: Any) -> tuple[str, float]:
        known = {label: share for label, share in scores(given.as_dict()).items() if share is not None}
        label = max(known, key=lambda name: known[name], default="")
        return label, known.get(label, 0.0)

    now = '<p class="live-now quiet"><strong>…</strong></p>'
    if answer.scores is not None:
        label, share = best(answer.scores)
        doubt = '<span class="quiet">not sure</span>' if answer.unsure else ""
        now = (
            f'<p class="live-now {css_class(label)}">{icon(label)}<strong>{escape(texts.get(label, label))}</strong> '
            f'<span class="number">{percent(share)}</span> {doubt}</p>'
        )
    total = max(answer.seconds, 10.0)
    marks, lines = [], []
    for region in answer.regions:
        label, share = best(region.scores)
        name = escape(texts.get(label, label))
        place = f"left:{100 * region.start / total:.2f}%;width:{100 * (region.end - region.start) / total:.2f}%"
        marks.append(f'<i class="{css_class(label)}" style="{place}" title="{name}"></i>')
        words = as_written(region.transcript) if region.transcript else ""
        lines.append(
            f'<li><span class="number">{clock(region.start, tenths=False)}</span> <strong>{name}</strong> '
            f"{percent(share)} {words}</li>"
        )
    reading = '<li class="quiet">reading the words …</li>' if answer.waiting else ""
    return (
        f'<div class="live" role="region" aria-label="Live">{now}<div class="live-strip" aria-hidden="true">'
        f'{"".join(marks)}</div><p class="quiet live-clock">{clock(answer.seconds, tenths=False)}</p>'
        f'{missing_line(missing)}<ol class="live-lines" role="list">{"".join(lines[-30:])}{reading}</ol></div>'
    )


def build_live(services: Services, capture: Capture) -> gr.events.Dependency:
    """Lay out the panel and connect its events; returns the one after which the recording stands in its usual place."""
    handlers = LiveHandlers(services)
    with gr.Accordion("Live", open=False, elem_id="recognize-live-panel"):
        microphone = gr.Audio(
            label="Live microphone",
            sources=["microphone"],
            streaming=True,
            type="numpy",
            elem_id="live-audio",
            buttons=[],
            waveform_options=gr.WaveformOptions(sample_rate=SAMPLING_RATE),
        )
        place = gr.HTML(ASK, elem_id="live-place", apply_default_css=False)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    microphone.start_recording(shows_errors(handlers.on_start), None, place, **quiet)
    microphone.stream(
        shows_errors(handlers.on_stream),
        microphone,
        place,
        stream_every=EVERY,
        time_limit=int(MAX_TIMELINE_DURATION) + 60,
        concurrency_limit=MOST_STREAMS,
        concurrency_id="live",
        **quiet,
    )
    return microphone.stop_recording(shows_errors(handlers.on_stop), None, [capture.audio, place], queue=False, **quiet)
