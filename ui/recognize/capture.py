"""Sources of a clip on the recognise tab: drop zone, microphone with its limit, examples. Knows no handler."""

from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ser.config import EMBEDDED
from ser.types import SAMPLING_RATE
from ui.parts.presentation import clock, escape
from ui.recognize.examples import EXAMPLES_SCRIPT, FOLDER, examples_row


@dataclass(frozen=True)
class Capture:
    """The components of the column.

    Attributes:
        audio: the recording.
        beginning: analyses the beginning of one that is too long; shown only then.
        whole: shows the whole of such a one over time.
        examples: its value is the label of the example that was clicked last.
        clip_line: length and quality.
        clear: takes the clip away.
    """

    audio: gr.Audio
    beginning: gr.Button
    whole: gr.Button
    examples: gr.HTML
    clip_line: gr.HTML
    clear: gr.Button


def build_capture(limit: float | None, clip_line: str) -> Capture:
    """Lay out the column.

    Args:
        limit: seconds that a recording may last; None for no limit.
        clip_line: what stands there before there is a clip, as HTML.
    """
    # Served from where they lie: a copy in the cache would be swept away while somebody listens.
    gr.set_static_paths([FOLDER])
    audio = gr.Audio(
        label="Speech",
        sources=["upload", "microphone"],
        type="filepath",
        elem_id="recognize-audio",
        editable=False,
        buttons=[],
        waveform_options=gr.WaveformOptions(sample_rate=SAMPLING_RATE),
    )
    gr.HTML(record_line(limit), elem_id="record-line", apply_default_css=False)
    with gr.Row(elem_classes="too-long"):
        first = f"Analyse the first {limit or 0:g} seconds"
        beginning = gr.Button(first, visible=False, variant="primary", elem_id="use-beginning")
        whole = gr.Button("Show all of it over time", visible=False, elem_id="use-timeline")
    examples = gr.HTML(
        html_template=examples_row(), js_on_load=EXAMPLES_SCRIPT, elem_id="examples", apply_default_css=False
    )
    with gr.Row(elem_classes="under-audio"):
        line = gr.HTML(clip_line, elem_id="clip-line", apply_default_css=False)
        clear = gr.Button("Clear", size="sm", scale=0, min_width=88, elem_id="recognize-clear")
    return Capture(audio, beginning, whole, examples, line, clear)


def record_line(limit: float | None) -> str:
    """Draw the clock of a recording with its limit, and the place of what is wrong with the microphone.

    >>> "up to 1:00" in record_line(60.0), "up to" in record_line(None)
    (True, False)
    """
    most = f" data-limit='{limit:g}'" if limit else ""
    words = f"up to {clock(limit, tenths=False)}" if limit else "as long as you like"
    return (
        f'<p class="record-clock"{most}><span class="now" role="timer">0:00</span> · {words}</p>'
        '<p class="status gentle microphone-trouble" role="alert" hidden></p>'
    )


def trained_line(base: str) -> str:
    """Tell on what the model that the page came with was trained, and where it is weak.

    Args:
        base: name or place of that model.
    """
    trained = (
        "Trained on acted speech in English, German and Polish, and on what people corrected here"
        if base.startswith(EMBEDDED)
        else f"Trained as the model card of {escape(Path(base).name)} says, and on what people corrected here"
    )
    return f'<p class="trained quiet">{trained}. Weaker on spontaneous speech, children, accents and noise.</p>'
